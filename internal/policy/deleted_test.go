package policy

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

var deletion = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func keptFor(retention time.Duration) *v1beta1.DeletedCluster {
	kept := &v1beta1.DeletedCluster{}
	kept.Spec.DeletionDate = metav1.NewTime(deletion)
	kept.Spec.ScheduledPurgeDate = metav1.NewTime(deletion.Add(retention))
	return kept
}

// Looks in time purge when the retention is over and not before, and ask to be made again.
func TestRetentionEndsInTime(t *testing.T) {
	for _, retention := range []time.Duration{time.Second, time.Hour, DefaultDeletedClusterRetention} {
		kept, now := keptFor(retention), deletion
		for {
			kept.Status = CountRetention(kept.Status, now)
			due, wait := PurgeDue(kept, now)
			if due {
				break
			}
			if wait <= 0 || wait > RetentionLook {
				t.Fatalf("kept for %s: the next look is in %s", retention, wait)
			}
			now = now.Add(wait)
		}
		if kept := now.Sub(deletion); kept < retention || kept > retention+time.Second {
			t.Errorf("to be kept for %s, kept for %s", retention, kept)
		}
	}
}

// A clock that leaps ahead, and a service that was away, purge nothing.
func TestALeapPurgesNothing(t *testing.T) {
	kept := keptFor(DefaultDeletedClusterRetention)
	for _, at := range []time.Duration{0, 365 * 24 * time.Hour, 365*24*time.Hour + RetentionLook, 0, 800 * 24 * time.Hour} {
		kept.Status = CountRetention(kept.Status, deletion.Add(at))
		if due, _ := PurgeDue(kept, deletion.Add(at)); due {
			t.Fatalf("purged %s after its deletion: %+v", at, kept.Status)
		}
	}
	if counted := kept.Status.Elapsed.Duration; counted > 5*RetentionLook {
		t.Errorf("counted %s", counted)
	}
	// Nor does a clock that stands before the date, however long was counted.
	kept.Status.Elapsed.Duration = 2 * DefaultDeletedClusterRetention
	if due, _ := PurgeDue(kept, deletion); due {
		t.Error("purged before its date")
	}
}

func TestRetainable(t *testing.T) {
	cluster := &v1beta1.ManagedCluster{}
	cluster.Spec.ID = "aaaaaaaaaaaa"
	cluster.Status.Initialized = true
	if Retainable(cluster) {
		t.Error("a cluster that was never recorded")
	}
	cluster.Status.Backup = &v1beta1.BackupStatus{}
	if !Retainable(cluster) {
		t.Error("a cluster whose stores do not answer at the moment")
	}
}
