package backup_test

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// An etcd that is told to end waits for the watches of its clients: a recorder lets go of its
// own, with all that was written, and does not hold up a cluster that stops (J1).
func TestRecorderLetsGoOfAnEtcdThatEnds(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.schedule.Delta = time.Hour // only a farewell stores anything
	b.record()
	b.eventually("the first snapshot", func() error {
		if b.recorder.State().Full == nil {
			return errors.New("there is none")
		}
		return nil
	})
	last := b.put("/a", "last")
	b.etcd.Close()
	go b.process.Stop()
	b.eventually("the recorder lets go", func() error {
		if said := b.recorder.State().Etcd; !strings.Contains(said, "etcd ends") {
			return errors.New("it says " + said)
		}
		return nil
	})
	if state := b.recorder.State(); state.Revision < last {
		t.Errorf("revision %d was written, and %d is stored", last, state.Revision)
	}
	<-b.process.Ended()
}
