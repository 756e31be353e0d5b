package backup_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/util/wait"

	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/testenv"
)

const clusterID = "c0ffee"

// bed is a real etcd that is recorded, and what gives its backups back.
type bed struct {
	t            testing.TB
	data         string
	client, peer string
	process      *testenv.Process
	key          string
	stores       []string
	// others are URLs of further stores.
	others        []string
	source        *httptest.Server
	schedule      backup.Schedule
	recorder      *backup.Recorder
	stopRecording func()
	etcd          *clientv3.Client
	// flags are etcd's besides.
	flags []string
	// reached is what is known to have been stored, patience how long the source waits for
	// a store, and await for one that reaches that.
	reached         int64
	patience, await time.Duration
	// turns are the recorder's, and takes is how long a store may take nothing; emptied gets
	// what the recorder says of stores that were emptied.
	turns   *backup.Turns
	reads   *backup.Reads
	takes   time.Duration
	emptied chan string
	// connect is how recorders reach etcd; nil means directly.
	connect func(context.Context) (clientv3.Config, error)
	// disputed is the revision that recorders last said is disputed.
	disputed atomic.Int64
	// rolledBack and doubtful are what recorders are told of the one before.
	rolledBack, doubtful bool
	// members are how all of etcd's are reached; none where one answers for all.
	members []string
	// told gets what the recorder says of an etcd that has less, whenever it tells of news.
	told chan backup.State
}

func newBed(t testing.TB, stores int) *bed {
	t.Helper()
	ports, err := testenv.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{
		t: t, data: filepath.Join(t.TempDir(), "data"),
		client: fmt.Sprintf("http://127.0.0.1:%d", ports[0]), peer: fmt.Sprintf("http://127.0.0.1:%d", ports[1]),
		emptied:  make(chan string, 16),
		schedule: backup.Schedule{Full: time.Hour, Delta: 200 * time.Millisecond, Keep: backup.Retention{All: time.Hour}},
	}
	for range stores {
		b.stores = append(b.stores, t.TempDir())
	}
	if b.key, err = backup.NewKey(); err != nil {
		t.Fatal(err)
	}
	b.restartSource()
	b.startEtcd()
	return b
}

// restartSource has the source be what the bed says now.
func (b *bed) restartSource() {
	handler := backup.Source{
		Allow: func(r *http.Request, id string) error {
			if r.Header.Get("Stranger") != "" || id != clusterID {
				return errors.New("not your cluster")
			}
			return nil
		},
		Vault: func(context.Context, string) (backup.Vault, error) {
			return backup.Vault{Stores: b.urls(), Key: b.key, Reached: b.reached}, nil
		},
		Patience: b.patience, Await: b.await,
		Log: slog.New(slog.DiscardHandler),
	}.Handler()
	b.source = httptest.NewServer(handler)
	b.t.Cleanup(b.source.Close)
}

// status is what the source answers for an object; for the list if it has no name.
func (b *bed) status(name string) int {
	b.t.Helper()
	address := b.source.URL + "/backups/" + clusterID
	if name != "" {
		address += "/" + name
	}
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

func (b *bed) urls() []string {
	urls := slices.Clone(b.others)
	for _, dir := range b.stores {
		urls = append(urls, "file://"+dir)
	}
	return urls
}

func (b *bed) startEtcd() {
	b.t.Helper()
	argv := []string{
		testenv.Program(b.t, testenv.Etcd), "--name=etcd-0", "--data-dir=" + b.data, "--listen-client-urls=" + b.client, "--advertise-client-urls=" + b.client,
		"--listen-peer-urls=" + b.peer, "--initial-advertise-peer-urls=" + b.peer, "--initial-cluster=etcd-0=" + b.peer, "--log-level=error",
	}
	process, err := testenv.StartProcess(filepath.Join(b.t.TempDir(), "etcd.log"), nil, append(argv, b.flags...)...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.process = process
	b.t.Cleanup(process.Kill)
	if b.etcd, err = clientv3.New(clientv3.Config{Endpoints: []string{b.client}, Logger: zap.NewNop(), DialTimeout: 20 * time.Second}); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.etcd.Close() })
	b.eventually("etcd answers", func() error {
		_, err := b.etcd.Get(b.t.Context(), "a")
		return err
	})
}

func (b *bed) stopEtcd() { b.etcd.Close(); b.process.Kill() }

// record starts a recorder; stopRecording ends it.
func (b *bed) record() {
	config := backup.Config{
		ClusterID: clusterID, Stores: b.urls(), Key: b.key, Schedule: b.schedule, Log: slog.New(slog.DiscardHandler), Scratch: b.t.TempDir(), RolledBack: b.rolledBack, Doubtful: b.doubtful,
		Turns: b.turns, Reads: b.reads, Patience: b.takes, OnEmptied: func(store string) { b.emptied <- store }, OnDisputed: b.disputed.Store,
		Connect: func(context.Context) (clientv3.Config, error) {
			return clientv3.Config{Endpoints: []string{b.client}, Logger: zap.NewNop(), DialTimeout: 5 * time.Second}, nil
		},
	}
	if len(b.members) > 0 {
		config.Members = func(context.Context) ([]string, error) { return b.members, nil }
	}
	if b.connect != nil {
		config.Connect = b.connect
	}
	var recorder *backup.Recorder
	config.OnChange = func() {
		if state := recorder.State(); state.RolledBack && b.told != nil {
			select {
			case b.told <- state:
			default:
			}
		}
	}
	recorder = backup.NewRecorder(config)
	b.recorder = recorder
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.recorder.Run(ctx)
	}()
	b.stopRecording = func() { cancel(); <-done }
	b.t.Cleanup(func() { b.stopRecording() })
}

func (b *bed) put(key, value string) int64 {
	b.t.Helper()
	response, err := b.etcd.Put(b.t.Context(), key, value)
	if err != nil {
		b.t.Fatal(err)
	}
	return response.Header.Revision
}

// stored waits until a revision is in a store.
func (b *bed) stored(revision int64) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("revision %d is stored", revision), func() error {
		if state := b.recorder.State(); state.Revision < revision || state.RecoveryPoint.IsZero() {
			return fmt.Errorf("state %+v", state)
		}
		return nil
	})
}

func (b *bed) eventually(what string, check func() error) {
	b.t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(b.t.Context(), 50*time.Millisecond, 3*time.Minute, true, func(context.Context) (bool, error) {
		last = check()
		return last == nil, nil
	})
	if err != nil {
		b.t.Fatalf("%s: %v", what, last)
	}
}

// recovered is the report of `etcd-snapshot recover`.
type recovered struct {
	Restored bool     `json:"restored"`
	Revision int64    `json:"revision"`
	Damaged  []string `json:"damaged"`
	Deltas   int      `json:"deltas"`
	Keys     int64    `json:"keys"`
}

func (b *bed) recover(id string) recovered {
	b.t.Helper()
	command := exec.Command(testenv.Program(b.t, testenv.EtcdSnapshot), "recover", "--source", b.source.URL+"/backups/"+clusterID,
		"--data-dir", b.data, "--name", "etcd-0", "--peer", b.peer, "--token", "etcd-cluster", "--id", id)
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaints
	if err := command.Run(); err != nil {
		b.t.Fatalf("recover: %v\n%s", err, complaints.String())
	}
	var said recovered
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		b.t.Fatalf("report %q: %v", out.String(), err)
	}
	return said
}

func (b *bed) value(key string) string {
	b.t.Helper()
	response, err := b.etcd.Get(b.t.Context(), key)
	if err != nil {
		b.t.Fatal(err)
	}
	if response.Count == 0 {
		return ""
	}
	return string(response.Kvs[0].Value)
}

func (b *bed) objects(store int, kind string) []string {
	b.t.Helper()
	found, err := filepath.Glob(filepath.Join(b.stores[store], clusterID, kind+"-*.zst.age"))
	if err != nil {
		b.t.Fatal(err)
	}
	slices.Sort(found)
	return found
}
