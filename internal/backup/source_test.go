package backup_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// A store that hangs stands in nobody's way who recovers, whether it takes connections and
// says nothing, or is a directory whose server is away: there every call blocks that opens
// a file. A list and a whole backup come from the other one, and an object that is in no
// other store is waited for no longer than patience lasts.
func TestRecoveryBesideAStoreThatHangs(t *testing.T) {
	b := newBed(t, 1)
	b.patience = time.Second
	b.restartSource()
	b.record()
	last := b.put("/a", "1")
	b.stored(last)
	b.stopRecording()

	blocked := t.TempDir()
	if err := os.Mkdir(filepath.Join(blocked, clusterID), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range append(b.objects(0, "full"), b.objects(0, "delta")...) {
		pipe(t, filepath.Join(blocked, clusterID, filepath.Base(path)))
	}
	const alone = "full-20200101T000000Z-1.zst.age"
	pipe(t, filepath.Join(blocked, clusterID, alone))
	b.others = []string{silentStore(t), "file://" + blocked}
	for range 6 { // more often than calls may hang
		began := time.Now()
		if status := b.status(alone); status != http.StatusServiceUnavailable {
			t.Errorf("what only a store has that hangs: %d", status)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("that took %s", took)
		}
	}
	b.stopEtcd()
	if err := os.RemoveAll(b.data); err != nil {
		t.Fatal(err)
	}
	if said := b.recover("beside"); said.Revision != last {
		t.Errorf("report %+v, want revision %d", said, last)
	}
}

// pipe makes a file that whoever opens it waits at.
func pipe(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // whoever waits goes on
		if file, err := os.OpenFile(path, os.O_RDWR, 0); err == nil {
			file.Close()
		}
	})
}

// Of two stores the one that is behind does not decide at once when the other is away for a
// moment; it does when that has not come back.
func TestStoreThatIsBehindIsWaitedFor(t *testing.T) {
	b := newBed(t, 2)
	b.record()
	b.eventually("both stores have a snapshot", func() error {
		if len(b.objects(0, "full")) != 1 || len(b.objects(1, "full")) != 1 {
			return errors.New("not yet")
		}
		return nil
	})
	b.stopRecording()
	older := b.stores[1] + ".older"
	if err := os.CopyFS(older, os.DirFS(b.stores[1])); err != nil {
		t.Fatal(err)
	}
	b.record()
	b.reached = b.put("/a", "1")
	b.stored(b.reached)
	b.stopRecording()
	if err := os.RemoveAll(b.stores[1]); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(older, b.stores[1]); err != nil {
		t.Fatal(err)
	}

	away := b.stores[0] + ".away"
	b.await = time.Second
	b.restartSource()
	if err := os.Rename(b.stores[0], away); err != nil {
		t.Fatal(err)
	}
	if status := b.status(""); status != http.StatusServiceUnavailable {
		t.Errorf("the one that is behind decides at once: %d", status)
	}
	if err := os.Rename(away, b.stores[0]); err != nil {
		t.Fatal(err)
	}
	if status := b.status(""); status != http.StatusOK {
		t.Errorf("both are there: %d", status)
	}
	if err := os.Rename(b.stores[0], away); err != nil {
		t.Fatal(err)
	}
	var seen []int
	b.eventually("the one that is behind decides alone", func() error {
		status := b.status("")
		seen = append(seen, status)
		if status != http.StatusOK {
			return errors.New("it does not")
		}
		return nil
	})
	if !slices.Contains(seen, http.StatusServiceUnavailable) {
		t.Errorf("it was not waited for: %v", seen)
	}
}

// What is small is read from the store once, and what is large comes whole too.
func TestObjectsAreGivenBackWhole(t *testing.T) {
	b := newBed(t, 1)
	value := make([]byte, 1<<20)
	for n := range 12 {
		_, _ = rand.Read(value)
		b.put(fmt.Sprint(n), string(value))
	}
	b.record()
	b.stored(b.put("/a", "1"))
	b.stored(b.put("/a", "2")) // which the snapshot does not have
	b.stopRecording()
	get := func(name string) []byte {
		t.Helper()
		answer, err := http.Get(b.source.URL + "/backups/" + clusterID + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d, %v", name, answer.StatusCode, err)
		}
		return text
	}
	full := get(filepath.Base(b.objects(0, "full")[0]))
	if size := len(full) - sha256.Size; size < 12<<20 || sha256.Sum256(full[:size]) != [sha256.Size]byte(full[size:]) {
		t.Errorf("a snapshot has %d bytes, and not the hash that it ends with", size)
	}
	delta := b.objects(0, "delta")[0]
	want := get(filepath.Base(delta))
	sealed, err := os.ReadFile(delta)
	if err != nil {
		t.Fatal(err)
	}
	b.stores[0] = t.TempDir()
	if err := os.Mkdir(filepath.Join(b.stores[0], clusterID), 0o700); err != nil {
		t.Fatal(err)
	}
	b.patience = 20 * time.Second
	b.restartSource()
	once := filepath.Join(b.stores[0], clusterID, filepath.Base(delta))
	pipe(t, once)
	go func() { _ = os.WriteFile(once, sealed, 0o600) }()
	if got := get(filepath.Base(delta)); !bytes.Equal(got, want) {
		t.Errorf("a delta has %d bytes, want %d", len(got), len(want))
	}
}
