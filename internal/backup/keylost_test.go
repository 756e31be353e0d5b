package backup_test

import (
	"fmt"
	"os"
	"testing"

	"berth.dev/berth/internal/backup"
)

// Backups whose key is gone are not continued: a snapshot under the new key begins a chain
// of its own at once, which comes back without the old ones. Those stay, and open again
// when the key is put back.
func TestAnotherKeyBeginsAnotherChain(t *testing.T) {
	b := newBed(t, 1)
	b.record()
	b.stored(b.put("/a", "old"))
	b.stopRecording()
	old := append(b.objects(0, "full"), b.objects(0, "delta")...)

	first, drawn := b.key, newKey(t)
	b.key = drawn
	b.record()
	b.eventually("a snapshot under the new key", func() error {
		if len(b.objects(0, "full")) < 2 {
			return fmt.Errorf("none: %+v, %v", b.recorder.State(), b.objects(0, "full"))
		}
		return nil
	})
	last := b.put("/a", "new")
	b.stored(last)
	if b.recorder.State().KeyLost {
		t.Error("the key counts as lost though a snapshot opens with the one that there is")
	}
	b.stopRecording()
	for _, path := range old {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("what the lost key has sealed is gone: %v", err)
		}
	}
	b.stopEtcd()
	if err := os.RemoveAll(b.data); err != nil {
		t.Fatal(err)
	}
	if said := b.recover("new-key"); said.Revision != last {
		t.Errorf("report %+v, want revision %d", said, last)
	}
	b.startEtcd()
	if got := b.value("/a"); got != "new" {
		t.Errorf("/a is %q", got)
	}

	// The old key again: what the interim one has sealed is not continued either.
	before := b.objects(0, "full")
	b.key = first
	b.record()
	b.eventually("a snapshot under the old key", func() error {
		if len(b.objects(0, "full")) == len(before) {
			return fmt.Errorf("none: %+v, %v", b.recorder.State(), b.objects(0, "full"))
		}
		return nil
	})
	b.stopRecording()
}

func newKey(t *testing.T) string {
	t.Helper()
	key, err := backup.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}
