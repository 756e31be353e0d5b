package backup

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/backup"
)

// A recorder that begins while a store is away does not know how far that one's backups
// reach, nor that it has any: the status still does.
func TestStatusRecallsAStoreThatIsAway(t *testing.T) {
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	of := func(minutes int) *metav1.Time { return timeOf(at(minutes)) }
	last := &v1beta1.BackupStatus{
		Time: of(30), Revision: 70, Size: 7, RecoveryPoint: of(40), RecoveryRevision: 90,
		Stores: []v1beta1.BackupStoreStatus{{URL: "s3://a", Time: of(30)}, {URL: "s3://b", Time: of(0)}},
	}
	away := backup.StoreState{URL: "s3://a", Error: "it does not answer"}
	behind := backup.State{
		Full: &backup.Object{Time: at(0), Last: 10, Size: 1}, Revision: 20, RecoveryPoint: at(10), Stores: []backup.StoreState{away, {URL: "s3://b", Full: at(0)}},
	}
	with := func(state backup.State, change func(*backup.State)) backup.State {
		change(&state)
		return state
	}
	for why, c := range map[string]struct {
		last          *v1beta1.BackupStatus
		state         backup.State
		wasRolledBack bool
		// full, reached and point are what the status is to say, and inA whether store a
		// has a full backup.
		full, reached int64
		point         *metav1.Time
		inA           bool
	}{
		"the store that is ahead is away": {last, behind, false, 70, 90, of(10), true},
		"no store has been looked at":     {last, backup.State{Stores: []backup.StoreState{{URL: "s3://a"}, {URL: "s3://b"}}}, false, 70, 90, of(40), true},
		"nothing was known before":        {nil, behind, false, 10, 20, of(10), false},
		"it has gone on":                  {last, with(behind, func(s *backup.State) { s.Full, s.Revision = &backup.Object{Time: at(60), Last: 100}, 110 }), false, 100, 110, of(10), true},
		"the key is lost":                 {last, backup.State{KeyLost: true, Stores: []backup.StoreState{{URL: "s3://a"}}}, false, 0, 0, nil, true},
		"data were lost, and are still":   {last, with(behind, func(s *backup.State) { s.RolledBack = true }), true, 70, 90, of(10), true},
		"what is left of the data is all": {last, behind, true, 10, 20, of(10), true},
		"it is known that a has none any more": {last, with(behind, func(s *backup.State) {
			s.Stores = []backup.StoreState{{URL: "s3://a", Emptied: true}}
		}), false, 70, 90, of(10), false},
	} {
		status := statusOf(c.state)
		recall(status, c.last, c.state, c.wasRolledBack)
		if status.Revision != c.full || status.RecoveryRevision != c.reached || !equality.Semantic.DeepEqual(status.RecoveryPoint, c.point) {
			t.Errorf("%s: full backup of %d, reached %d at %v", why, status.Revision, status.RecoveryRevision, status.RecoveryPoint)
		}
		if got := fullIn(status, "s3://a") != nil; got != c.inA {
			t.Errorf("%s: store a has a full backup: %t", why, got)
		}
	}
}
