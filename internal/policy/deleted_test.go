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

// archivedAt has a cluster be stopped, and archived up to a phase.
func archivedAt(phase v1beta1.ArchivePhase) func(*v1beta1.ManagedCluster) {
	return func(c *v1beta1.ManagedCluster) {
		c.Status.APIServerReady, c.Status.Archive = nil, &v1beta1.ClusterArchive{Phase: phase}
	}
}

func TestFinalBackupPending(t *testing.T) {
	at := func(second int) *metav1.Time {
		t := metav1.NewTime(deletion.Add(time.Duration(second) * time.Second))
		return &t
	}
	for _, c := range []struct {
		why     string
		change  func(*v1beta1.ManagedCluster)
		waited  int
		pending bool
	}{
		{"stored before its deletion only", func(*v1beta1.ManagedCluster) {}, 1, true},
		{"by a clock that was ahead", func(c *v1beta1.ManagedCluster) { c.Status.Backup.RecoveryPoint = at(3600) }, 1, true},
		{"stored since", func(c *v1beta1.ManagedCluster) { c.Status.Backup.Final = true }, 1, false},
		{"nothing is stored yet", func(c *v1beta1.ManagedCluster) { c.Status.Backup.RecoveryPoint = nil }, 1, true},
		{"no store for too long", func(*v1beta1.ManagedCluster) {}, 120, false},
		{"it is not recorded", func(c *v1beta1.ManagedCluster) { c.Status.Backup = nil }, 1, false},
		{"it is stopped", func(c *v1beta1.ManagedCluster) { c.Status.APIServerReady = nil }, 1, true},
		{"it is stopped, and etcd does not start for too long", func(c *v1beta1.ManagedCluster) { c.Status.APIServerReady = nil }, 120, false},
		{"it is stopped, and stored since", func(c *v1beta1.ManagedCluster) { c.Status.APIServerReady, c.Status.Backup.Final = nil, true }, 1, false},
		{"it is archived", archivedAt(v1beta1.Archived), 1, false},
		{"its volume is going", archivedAt(v1beta1.ArchiveRelease), 1, false},
		{"it was to be archived, which failed", archivedAt(v1beta1.ArchiveFailed), 1, true},
		{"it is being recovered", func(c *v1beta1.ManagedCluster) {
			c.Status.APIServerReady, c.Status.Recovery = nil, &v1beta1.ControlPlaneRecovery{ID: "r", StartTime: *at(-5)}
		}, 1, false},
		{"its data from before an upgrade are being put back", func(c *v1beta1.ManagedCluster) {
			c.Status.APIServerReady, c.Status.Upgrade = nil, &v1beta1.ControlPlaneUpgrade{Phase: v1beta1.UpgradeRestore}
		}, 1, false},
		{"it is not deleted", func(c *v1beta1.ManagedCluster) { c.DeletionTimestamp = nil }, 1, false},
	} {
		cluster := &v1beta1.ManagedCluster{}
		cluster.Spec.ID, cluster.DeletionTimestamp = "aaaaaaaaaaaa", at(0)
		cluster.Status.Initialized, cluster.Status.APIServerReady = true, at(-100)
		cluster.Status.Backup = &v1beta1.BackupStatus{RecoveryPoint: at(-10)}
		c.change(cluster)
		if got := FinalBackupPending(cluster, time.Duration(c.waited)*time.Second); got != c.pending {
			t.Errorf("%s: %t", c.why, got)
		}
	}
}

func TestFinalBackupMissing(t *testing.T) {
	ready := metav1.NewTime(deletion)
	late := []metav1.Condition{{Type: v1beta1.ConditionBackedUp, Status: metav1.ConditionFalse}}
	good := []metav1.Condition{{Type: v1beta1.ConditionBackedUp, Status: metav1.ConditionTrue}}
	for _, c := range []struct {
		why     string
		status  v1beta1.ManagedClusterStatus
		missing bool
	}{
		{"recovered, and never recorded since", v1beta1.ManagedClusterStatus{Initialized: true}, false},
		{"it runs, and no store took the last", v1beta1.ManagedClusterStatus{Initialized: true, APIServerReady: &ready, Backup: &v1beta1.BackupStatus{}, Conditions: good}, true},
		{"it runs, and all is stored", v1beta1.ManagedClusterStatus{Initialized: true, APIServerReady: &ready, Backup: &v1beta1.BackupStatus{Final: true}, Conditions: late}, false},
		{"stopped while backups were late", v1beta1.ManagedClusterStatus{Initialized: true, Backup: &v1beta1.BackupStatus{}, Conditions: late}, true},
		{"stopped while they were good", v1beta1.ManagedClusterStatus{Initialized: true, Backup: &v1beta1.BackupStatus{}, Conditions: good}, false},
		{"stopped while backups were late, and stored since", v1beta1.ManagedClusterStatus{Initialized: true, Backup: &v1beta1.BackupStatus{Final: true}, Conditions: late}, false},
		{"archived", v1beta1.ManagedClusterStatus{Initialized: true, Backup: &v1beta1.BackupStatus{}, Conditions: late, Archive: &v1beta1.ClusterArchive{Phase: v1beta1.Archived}}, false},
		{"archiving failed", v1beta1.ManagedClusterStatus{Initialized: true, Backup: &v1beta1.BackupStatus{}, Conditions: late, Archive: &v1beta1.ClusterArchive{Phase: v1beta1.ArchiveFailed}}, true},
	} {
		cluster := &v1beta1.ManagedCluster{Status: c.status}
		cluster.Spec.ID = "aaaaaaaaaaaa"
		if got := FinalBackupMissing(cluster); got != c.missing {
			t.Errorf("%s: %t", c.why, got)
		}
	}
}

// A cluster comes back with what it was asked for and ran, running, and with nothing to be done to
// it that was due before.
func TestRecoveredAs(t *testing.T) {
	cluster := &v1beta1.ManagedCluster{}
	cluster.Spec = v1beta1.ManagedClusterSpec{
		ID: "aaaaaaaaaaaa", KubernetesVersion: "1.37.2", DNSPrefix: "c1", PowerState: &v1beta1.PowerState{Code: v1beta1.PowerStopped},
		Rotations: &v1beta1.Rotations{Certificates: 2}, AgentPoolProfiles: []v1beta1.AgentPoolProfile{{Name: "pool"}},
	}
	cluster.Status.CurrentKubernetesVersion = "1.36.3"
	got := RecoveredAs(cluster)
	if got.KubernetesVersion != "1.36.3" || got.ID != cluster.Spec.ID || got.DNSPrefix != "c1" || got.PowerState != nil || got.Rotations != nil || got.AgentPoolProfiles != nil {
		t.Errorf("%+v", got)
	}
}
