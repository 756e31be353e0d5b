package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// bed is a running etcd and a store beside it.
type bed struct {
	t        *testing.T
	endpoint string
	client   *clientv3.Client
	store    string
	identity *age.X25519Identity
	at       time.Time
	timeout  time.Duration
}

func newBed(t *testing.T) *bed {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, store: t.TempDir(), identity: identity, at: time.Date(2026, 11, 24, 22, 0, 0, 0, time.UTC), timeout: time.Minute}
	b.endpoint, b.client = startEtcd(t, filepath.Join(t.TempDir(), "data"))
	return b
}

// startEtcd runs an etcd on a data directory until the test ends.
func startEtcd(t *testing.T, dir string) (string, *clientv3.Client) {
	t.Helper()
	config := embed.NewConfig()
	config.Name, config.Dir, config.LogLevel = "etcd-0", dir, "fatal"
	client, peer := freeURL(t), freeURL(t)
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.InitialCluster = config.Name + "=" + peer.String()
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	select {
	case <-etcd.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		t.Fatal("etcd does not come up")
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{client.String()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return client.String(), c
}

func freeURL(t *testing.T) url.URL {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return url.URL{Scheme: "http", Host: listener.Addr().String()}
}

func (b *bed) put(key, value string) {
	b.t.Helper()
	if _, err := b.client.Put(b.t.Context(), key, value); err != nil {
		b.t.Fatal(err)
	}
}

// backup is one a minute after the last.
func (b *bed) backup(keep int) (report, error) {
	b.at = b.at.Add(time.Minute)
	at := b.at
	backing := backing{
		saving: saving{endpoint: b.endpoint}, scratch: b.t.TempDir(), store: "file://" + b.store,
		recipient: b.identity.Recipient().String(), keep: keep, reportTo: filepath.Join(b.t.TempDir(), "report"),
		timeout: b.timeout, now: func() time.Time { return at },
	}
	var out bytes.Buffer
	err := backing.run(b.t.Context(), &out)
	var said report
	if err == nil {
		if err := json.Unmarshal(out.Bytes(), &said); err != nil {
			b.t.Fatalf("the report %q: %v", out.String(), err)
		}
		if written, err := os.ReadFile(backing.reportTo); err != nil || string(written)+"\n" != out.String() {
			b.t.Errorf("the report in the file is %q (%v), that on the output %q", written, err, out.String())
		}
	}
	if left := listed(b.t, backing.scratch); len(left) > 0 {
		b.t.Errorf("plain data are left in scratch: %v", left)
	}
	return said, err
}

func (b *bed) mustBackup(keep int) report {
	b.t.Helper()
	said, err := b.backup(keep)
	if err != nil {
		b.t.Fatal(err)
	}
	return said
}

// fetch opens a backup.
func (b *bed) fetch(name string, identity *age.X25519Identity) (string, error) {
	b.t.Helper()
	dir := b.t.TempDir()
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte(identity.String()+"\n"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	to := filepath.Join(dir, "fetched.db")
	err := fetching{store: "file://" + b.store, name: name, identity: key, to: to}.run(b.t.Context())
	if left := listed(b.t, dir); err != nil && len(left) != 1 {
		b.t.Errorf("a backup that does not open leaves %v", left)
	}
	return to, err
}

func listed(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := []string{}
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}

// What a backup holds comes back in another etcd: everything up to its revision,
// and nothing else.
func TestBackupBringsBackWhatWas(t *testing.T) {
	b := newBed(t)
	secret := "/registry/secrets/default/" + strings.Repeat("known", 20)
	for i := range 200 {
		b.put(fmt.Sprintf("%s-%d", secret, i), strings.Repeat("value", 100))
	}
	before, err := b.client.Get(t.Context(), "any")
	if err != nil {
		t.Fatal(err)
	}
	said := b.mustBackup(1)
	b.put("/later", "1")

	if said.Revision != before.Header.Revision || said.Name != nameOf(said.Revision, b.at) || !said.Time.Equal(b.at) || said.Warning != "" {
		t.Errorf("report %+v, etcd was at %d", said, before.Header.Revision)
	}
	sealed, err := os.ReadFile(filepath.Join(b.store, said.Name))
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(sealed)) != said.Size || len(sealed) > 100_000 {
		t.Errorf("the object has %d bytes, the report says %d; 130 kB of repetition compress better", len(sealed), said.Size)
	}
	if bytes.Contains(sealed, []byte("known")) || bytes.Contains(sealed, []byte("registry")) {
		t.Error("the object shows what it holds")
	}

	fetched, err := b.fetch(said.Name, b.identity)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	restored := restoring{from: fetched, dataDir: data, name: "etcd-0", peer: "http://127.0.0.1:2380", token: "scratch"}
	if err := restored.run(); err != nil {
		t.Fatal(err)
	}
	_, scratch := startEtcd(t, data)
	compare(t, scratch, before, secret)
}

// compare looks for the keys of before in an etcd that was made of its backup.
func compare(t *testing.T, scratch *clientv3.Client, before *clientv3.GetResponse, secret string) {
	t.Helper()
	got, err := scratch.Get(t.Context(), secret, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) != 200 {
		t.Errorf("%d keys came back of 200", len(got.Kvs))
	}
	newest := int64(0)
	for _, kv := range got.Kvs {
		newest = max(newest, kv.ModRevision)
	}
	if newest != before.Header.Revision {
		t.Errorf("the last write has revision %d, it had %d", newest, before.Header.Revision)
	}
	if later, err := scratch.Get(t.Context(), "/later"); err != nil || later.Count != 0 {
		t.Errorf("what was written after the backup is there: %v %v", later, err)
	}
	if got.Header.Revision < before.Header.Revision+revisionBump {
		t.Errorf("the restored etcd is at %d: watches would not notice", got.Header.Revision)
	}
}

// A backup that was changed, was cut off or is sealed for somebody else opens for
// nobody: it is told from a good one without any record of it.
func TestDamagedBackupsDoNotOpen(t *testing.T) {
	b := newBed(t)
	b.put("a", strings.Repeat("b", 100_000))
	said := b.mustBackup(1)
	path := filepath.Join(b.store, said.Name)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for why, content := range map[string][]byte{
		"one bit": func() []byte { c := slices.Clone(whole); c[len(c)-20] ^= 1; return c }(),
		"cut off": whole[:len(whole)-10],
		"empty":   {},
		"longer":  append(slices.Clone(whole), 0),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := b.fetch(said.Name, b.identity); err == nil {
			t.Errorf("%s: it opens", why)
		}
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.fetch(said.Name, stranger); err == nil {
		t.Error("another cluster's key opens it")
	}
	if _, err := b.fetch(said.Name, b.identity); err != nil {
		t.Errorf("the whole one does not open: %v", err)
	}
}

// Retention keeps the newest, removes what interrupted backups left, and leaves
// alone what is none of its own.
func TestRetention(t *testing.T) {
	b := newBed(t)
	b.put("a", "1")
	var made []string
	for range 4 {
		made = append(made, b.mustBackup(10).Name)
	}
	half := nameOf(9, b.at) + ".18a1.tmp"
	for _, name := range []string{"notes.txt", half} {
		if err := os.WriteFile(filepath.Join(b.store, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// An etcd that was put back by hand counts from the start again.
	old := nameOf(900, b.at.Add(-time.Hour))
	if err := os.WriteFile(filepath.Join(b.store, old), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	newest := b.mustBackup(3).Name
	want := []string{made[2], made[3], newest, "notes.txt"}
	if got := listed(t, b.store); !slices.Equal(got, want) {
		t.Errorf("the store holds %v, want %v", got, want)
	}
}

// A backup that cannot be made says why, and leaves what there was.
func TestFailuresLeaveTheStoreAsItWas(t *testing.T) {
	b := newBed(t)
	good := b.mustBackup(1).Name
	store := b.store
	for _, c := range []struct {
		why  string
		with func()
		want string
	}{
		{"a store that is not mounted must not become a directory of the container", func() { b.store = filepath.Join(store, "missing") }, "open the store"},
		{"an etcd that does not answer is not waited for for ever", func() { b.store, b.endpoint, b.timeout = store, "http://127.0.0.1:1", time.Second }, "save a snapshot"},
	} {
		c.with()
		if _, err := b.backup(1); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.why, err, c.want)
		}
		if got := listed(t, store); !slices.Equal(got, []string{good}) {
			t.Errorf("%s: the store holds %v", c.why, got)
		}
	}
}

// What fails half-way through writing gives no object, and neither does a store
// without room.
func TestWritingIsAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	s, err := openStore(t.Context(), "file://"+dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if _, err := s.put(t.Context(), nameOf(1, time.Now()), func(w io.Writer) error {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			return err
		}
		return fmt.Errorf("no space left on device")
	}); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("a write that failed: %v", err)
	}
	if got := listed(t, dir); len(got) > 0 {
		t.Errorf("half an object is left: %v", got)
	}
	if err := s.hasRoom(1 << 60); err == nil || !strings.Contains(err.Error(), "the store is full") {
		t.Errorf("a store without room: %v", err)
	}
}
