package backup_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/backup"
)

// A machine that was taken for lost, and still runs, must not become the newest backup of
// what was restored elsewhere: its revisions are behind by far, so that it ends
// to record at its next snapshot, and its deltas until then continue nothing.
func TestOldMachineDoesNotSpoilTheRestoredOnesBackups(t *testing.T) {
	old := newBed(t, 1)
	old.schedule.Full = time.Second
	old.record()
	old.stored(old.put("before", "1"))

	restored := newBed(t, 0)
	restored.stores, restored.key = old.stores, old.key
	restored.stopEtcd()
	if said := restored.recover("restore"); !said.Restored || said.Keys < 1 {
		t.Fatalf("nothing was restored: %+v", said)
	}
	restored.startEtcd()
	restored.record()
	restored.stored(restored.put("after", "1"))

	old.put("strange", "1")
	old.eventually("the old one records no more", func() error {
		if said := old.recorder.State().Etcd; !strings.Contains(said, backup.ErrLost.Error()) {
			return fmt.Errorf("it says %q", said)
		}
		return nil
	})
	restored.stored(restored.put("later", "1"))
	old.stopRecording()
	restored.stopRecording()

	third := newBed(t, 0)
	third.stores, third.key = old.stores, old.key
	third.stopEtcd()
	third.recover("again")
	third.startEtcd()
	for key, want := range map[string]string{"before": "1", "after": "1", "later": "1", "strange": ""} {
		if got := third.value(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}
