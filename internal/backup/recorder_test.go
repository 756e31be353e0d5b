package backup_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/backup"
)

// Where somebody waits, what is written is stored at once, however seldom deltas are.
func TestHurriedRecorder(t *testing.T) {
	b := newBed(t, 1)
	b.schedule.Delta = time.Hour
	b.put("/registry/a", "1")
	b.record()
	b.stored(1)
	last := b.put("/registry/a", "2")
	b.recorder.Hurry()
	b.stored(last)
}

// Everything that was stored comes back after the loss of etcd's data: the snapshot, what
// was written and what was deleted since, across a restart of the recorder and of etcd,
// and after a second loss. Nothing stored shows what it holds.
func TestRecordedIsRecovered(t *testing.T) {
	b := newBed(t, 1)
	b.put("/registry/secrets/known", "before")
	b.record()
	b.stored(1)
	b.put("/registry/a", "1")
	b.put("/registry/gone", "1")
	if _, err := b.etcd.Delete(t.Context(), "/registry/gone"); err != nil {
		t.Fatal(err)
	}
	b.stored(b.put("/registry/a", "2"))
	b.stopRecording()
	unwatched := b.put("/registry/unwatched", "1")
	b.record()
	b.stored(unwatched)
	if fulls := b.objects(0, "full"); len(fulls) != 1 {
		t.Errorf("a recorder that goes on makes another snapshot: %v", fulls)
	}
	last := b.put("/registry/last", "1")
	b.stored(last)
	b.stopRecording()
	b.stopEtcd()

	for _, path := range append(b.objects(0, "full"), b.objects(0, "delta")...) {
		if raw, err := os.ReadFile(path); err != nil || bytes.Contains(raw, []byte("registry")) {
			t.Errorf("%s shows what it holds (%v)", path, err)
		}
	}
	if err := os.RemoveAll(b.data); err != nil {
		t.Fatal(err)
	}
	said := b.recover("first")
	if !said.Restored || said.Revision != last || said.Deltas < 2 {
		t.Errorf("report %+v, etcd was at %d", said, last)
	}
	b.startEtcd()
	for key, want := range map[string]string{
		"/registry/secrets/known": "before", "/registry/a": "2", "/registry/gone": "", "/registry/unwatched": "1", "/registry/last": "1",
	} {
		if got := b.value(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}

	// The history is another one now: it is begun anew, and can be lost again.
	b.record()
	b.stored(b.put("/registry/second", "1"))
	b.stopRecording()
	if fulls := b.objects(0, "full"); len(fulls) != 2 {
		t.Errorf("no snapshot of the recovered etcd: %v", fulls)
	}
	b.stopEtcd()
	if err := os.RemoveAll(b.data); err != nil {
		t.Fatal(err)
	}
	b.recover("second")
	b.startEtcd()
	if b.value("/registry/second") != "1" || b.value("/registry/a") != "2" {
		t.Error("the second loss loses")
	}
}

// A recorder that was away for longer than etcd keeps revisions makes a snapshot, also
// one that takes longer than etcd's refusal of the watch. It becomes the newest even if
// a clock was ahead when the one before was made.
func TestGapIsClosedBySnapshot(t *testing.T) {
	b := newBed(t, 1)
	value := make([]byte, 1<<20)
	for i := range 60 {
		if _, err := rand.Read(value); err != nil {
			t.Fatal(err)
		}
		b.put(fmt.Sprintf("/large-%d", i), string(value))
	}
	b.record()
	b.stored(1)
	b.stopRecording()
	early := b.objects(0, "full")[0]
	future := time.Now().UTC().Add(2 * time.Hour).Format("full-20060102T150405Z")
	parts := strings.SplitAfterN(filepath.Base(early), "-", 3)
	if err := os.Rename(early, filepath.Join(filepath.Dir(early), future+"-"+parts[2])); err != nil {
		t.Fatal(err)
	}
	var revision int64
	for i := range 10 {
		revision = b.put("/a", fmt.Sprint(i))
	}
	if _, err := b.etcd.Compact(t.Context(), revision); err != nil {
		t.Fatal(err)
	}
	b.put("/a", "after")
	b.record()
	b.eventually("a second snapshot", func() error {
		if n := len(b.objects(0, "full")); n < 2 {
			return fmt.Errorf("%d snapshots", n)
		}
		return nil
	})
	last := b.put("/b", "1")
	b.stored(last)
	b.stopRecording()
	b.stopEtcd()
	if err := os.RemoveAll(b.data); err != nil {
		t.Fatal(err)
	}
	if said := b.recover("gap"); said.Revision != last {
		t.Errorf("report %+v, want revision %d", said, last)
	}
	b.startEtcd()
	if b.value("/a") != "after" || b.value("/b") != "1" {
		t.Error("what was written in the gap, or after it, is lost")
	}
}

// An etcd that was emptied is not taken for the newest state of the cluster.
func TestEmptiedEtcdIsNotRecorded(t *testing.T) {
	b := newBed(t, 1)
	b.record()
	for i := range 300 {
		b.put("/a", fmt.Sprint(i))
	}
	b.stored(b.put("/a", "last"))
	b.stopEtcd()
	if err := os.RemoveAll(b.data); err != nil {
		t.Fatal(err)
	}
	b.startEtcd()
	b.eventually("the loss shows", func() error {
		if said := b.recorder.State().Etcd; !strings.Contains(said, backup.ErrLost.Error()) {
			return fmt.Errorf("it says %q", said)
		}
		return nil
	})
	if fulls := b.objects(0, "full"); len(fulls) != 1 {
		t.Errorf("the empty etcd was backed up: %v", fulls)
	}

	// Nor when it has gone on past what was recorded, also by the next recorder.
	deltas := b.objects(0, "delta")
	for again := range 2 {
		for i := range 400 {
			b.put("/other", fmt.Sprint(i))
		}
		b.eventually("it is seen that etcd has gone on", func() error {
			if state := b.recorder.State(); !state.RolledBack || !strings.Contains(state.Etcd, "has gone on") {
				return fmt.Errorf("it says %q", state.Etcd)
			}
			return nil
		})
		if now := append(b.objects(0, "full"), b.objects(0, "delta")...); len(now) != 1+len(deltas) {
			t.Errorf("another history was recorded: %v", now)
		}
		if again == 0 {
			b.stopRecording()
			b.rolledBack = true
			b.record()
		}
	}
	b.rolledBack = false
	b.stopRecording()
	b.stopEtcd()
	if err := os.RemoveAll(b.data); err != nil {
		t.Fatal(err)
	}
	b.startEtcd()
	b.record()

	// Nor by a recorder that could not see at its start what was stored.
	b.stopRecording()
	away := b.stores[0] + ".away"
	if err := os.Rename(b.stores[0], away); err != nil {
		t.Fatal(err)
	}
	b.record()
	b.eventually("the store is missed", func() error {
		b.put("/a", "new")
		if b.recorder.State().Stores[0].Error == "" {
			return errors.New("it is not")
		}
		return nil
	})
	if err := os.Rename(away, b.stores[0]); err != nil {
		t.Fatal(err)
	}
	b.eventually("the loss shows", func() error {
		if said := b.recorder.State().Etcd; !strings.Contains(said, backup.ErrLost.Error()) {
			return fmt.Errorf("it says %q", said)
		}
		return nil
	})
	if fulls := b.objects(0, "full"); len(fulls) != 1 {
		t.Errorf("the empty etcd was backed up: %v", fulls)
	}
}

// A store that goes away holds nobody up, and gets a snapshot when it is back.
func TestStoreAwayAndBack(t *testing.T) {
	b := newBed(t, 2)
	b.record()
	b.eventually("both stores have a snapshot", func() error {
		if len(b.objects(0, "full")) != 1 || len(b.objects(1, "full")) != 1 {
			return errors.New("not yet")
		}
		return nil
	})
	away := b.stores[1] + ".away"
	if err := os.Rename(b.stores[1], away); err != nil {
		t.Fatal(err)
	}
	b.stored(b.put("/a", "1"))
	b.eventually("it is seen which store is away", func() error {
		state := b.recorder.State()
		if state.Stores[0].Error != "" || state.Stores[1].Error == "" || !state.Stores[1].Behind {
			return fmt.Errorf("%+v", state.Stores)
		}
		return nil
	})
	if err := os.Rename(away, b.stores[1]); err != nil {
		t.Fatal(err)
	}
	b.eventually("the store is made up for", func() error {
		b.put("/b", time.Now().String())
		if s := b.recorder.State().Stores[1]; s.Behind || s.Error != "" {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	last := b.put("/last", "1")
	b.stored(last)
	b.stopRecording()
	b.stopEtcd()
	// The other store alone is enough.
	if err := os.RemoveAll(b.stores[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(b.data); err != nil {
		t.Fatal(err)
	}
	if said := b.recover("one"); said.Revision != last {
		t.Errorf("report %+v, want revision %d", said, last)
	}
}

// Both stores away: what is written meanwhile is kept and stored when one is back.
func TestAllStoresAway(t *testing.T) {
	b := newBed(t, 1)
	b.record()
	b.stored(1)
	away := b.stores[0] + ".away"
	if err := os.Rename(b.stores[0], away); err != nil {
		t.Fatal(err)
	}
	last := b.put("/a", "1")
	b.eventually("the error shows", func() error {
		if b.recorder.State().Stores[0].Error == "" {
			return errors.New("no error")
		}
		return nil
	})
	if state := b.recorder.State(); state.Revision >= last {
		t.Errorf("it says that %d is stored: %+v", last, state)
	}
	if err := os.Rename(away, b.stores[0]); err != nil {
		t.Fatal(err)
	}
	b.stored(last)
	if fulls := b.objects(0, "full"); len(fulls) != 1 {
		t.Errorf("nothing was missed, and yet: %v", fulls)
	}
}

// The answers of a source tell damage from absence, and strangers get nothing.
func TestSourceAnswers(t *testing.T) {
	b := newBed(t, 1)
	b.record()
	b.stored(b.put("/a", strings.Repeat("x", 10_000)))
	b.stopRecording()
	path := b.objects(0, "full")[0]
	url := b.source.URL + "/backups/" + clusterID + "/" + filepath.Base(path)
	get := func(url, header string) (int, []byte) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			request.Header.Set(header, "1")
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, body
	}
	if status, body := get(url, ""); status != http.StatusOK || len(body) < 20_000 {
		t.Errorf("a whole one: %d, %d bytes", status, len(body))
	}
	if status, _ := get(url, "Stranger"); status != http.StatusForbidden {
		t.Errorf("a stranger gets %d", status)
	}
	if status, _ := get(b.source.URL+"/backups/other", ""); status != http.StatusForbidden {
		t.Errorf("another cluster's: %d", status)
	}
	if status, _ := get(b.source.URL+"/backups/"+clusterID+"/full-20200101T000000Z-1.zst.age", ""); status != http.StatusNotFound {
		t.Errorf("one that is not there: %d", status)
	}
	if status, _ := get(b.source.URL+"/backups/"+clusterID+"/..%2f..%2fetc%2fpasswd", ""); status != http.StatusNotFound {
		t.Errorf("no backup's name: %d", status)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for why, damaged := range map[string][]byte{
		"a bit": func() []byte { c := slices.Clone(raw); c[len(c)-20] ^= 1; return c }(), "cut off": raw[:len(raw)-10], "empty": {},
	} {
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if status, _ := get(url, ""); status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", why, status)
		}
	}
	if err := os.Rename(b.stores[0], b.stores[0]+".away"); err != nil {
		t.Fatal(err)
	}
	if status, _ := get(url, ""); status != http.StatusServiceUnavailable {
		t.Errorf("a store that is away: %d", status)
	}
}

// Much that is written between two deltas does not wait for its time in memory.
func TestLargeDeltasComeEarly(t *testing.T) {
	b := newBed(t, 1)
	b.schedule.Delta = time.Hour
	b.record()
	b.eventually("a snapshot is stored", func() error {
		if b.recorder.State().Full == nil {
			return errors.New("none")
		}
		return nil
	})
	for n := range 24 {
		b.put(fmt.Sprintf("/large/%d", n), strings.Repeat("x", 1<<20))
	}
	b.eventually("deltas are stored before their time", func() error {
		if found := b.objects(0, "delta"); len(found) < 2 {
			return fmt.Errorf("%d deltas", len(found))
		}
		return nil
	})
}
