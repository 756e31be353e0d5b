package backup_test

import (
	"errors"
	"maps"
	"os"
	"strings"
	"testing"
)

// hideDeltas makes the deltas of a store unreadable until they are put back.
func (b *bed) hideDeltas() (back func()) {
	b.t.Helper()
	kept := map[string][]byte{}
	for _, path := range b.objects(0, "delta") {
		whole, err := os.ReadFile(path)
		if err != nil {
			b.t.Fatal(err)
		}
		kept[path] = whole
	}
	write := func(all map[string][]byte) {
		b.t.Helper()
		for path, content := range all {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	damaged := maps.Clone(kept)
	for path := range damaged {
		damaged[path] = []byte("unreadable")
	}
	write(damaged)
	return func() { write(kept) }
}

// comparedAgain waits until what etcd holds has been compared once more.
func (b *bed) comparedAgain() {
	b.t.Helper()
	before := b.recorder.Compared()
	b.eventually("it is compared again", func() error {
		if !b.recorder.Compared().After(before) {
			return errors.New("not yet")
		}
		return nil
	})
}

// An etcd that counts as one that lost data, and has all of it, waits for the stores to say so for
// as long as they cannot be read, also when it has forgotten that time meanwhile; then it is
// recorded again by itself.
func TestEtcdThatHasAllWhenTheStoresSaySo(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.record()
	b.stored(1)
	b.stored(b.put("/a", "1"))
	b.stored(b.put("/a", "2"))
	b.stopRecording()
	readable := b.hideDeltas()
	unseen := b.put("/a", "3")
	b.rolledBack = true
	b.record()
	b.says(true, "waits for what cannot be read in the stores")
	b.put("/a", "4")
	b.comparedAgain()
	if _, err := b.etcd.Compact(t.Context(), unseen); err != nil {
		t.Fatal(err)
	}
	b.comparedAgain()
	readable()
	b.stored(b.put("/a", "5"))
	if state := b.recorder.State(); state.RolledBack || state.Rollback != nil {
		t.Errorf("state %+v", state)
	}
}

// What etcd told of its past is not believed of another one that has come since.
func TestEtcdThatIsAnotherWhenTheStoresSaySo(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.record()
	b.stored(1)
	b.stored(b.put("/a", "1"))
	b.stopRecording()
	b.stopEtcd()
	back := b.copyData()
	b.startEtcd()
	b.record()
	b.stored(b.put("/a", "2"))
	b.stopRecording()
	readable := b.hideDeltas()
	b.rolledBack = true
	b.record()
	b.says(true, "waits for what cannot be read in the stores")
	b.stopEtcd()
	back()
	b.startEtcd()
	last := int64(0)
	for range 9 {
		last = b.put("/b", "other")
	}
	b.comparedAgain()
	if _, err := b.etcd.Compact(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	b.put("/b", "last")
	readable()
	b.eventually("it is another one", func() error {
		said := b.recorder.State().Etcd
		if !strings.Contains(said, "another write than was recorded") && !strings.Contains(said, "so far back") {
			return errors.New(said)
		}
		return nil
	})
	if !b.recorder.State().RolledBack || len(b.objects(0, "full")) != 1 {
		t.Errorf("state %+v, %v", b.recorder.State(), b.objects(0, "full"))
	}
}
