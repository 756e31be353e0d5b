package policy

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

func TestBackupsDefaults(t *testing.T) {
	got := Backups(v1beta1.ServicePolicySpec{}, "file:///own")
	if got.Full != 30*time.Minute || got.Delta != 30*time.Second || len(got.Stores) != 1 || got.Stores[0] != "file:///own" {
		t.Errorf("C3, X2: %+v", got)
	}
	nonsense := v1beta1.ServicePolicySpec{BackupInterval: &metav1.Duration{Duration: -time.Hour}, BackupStores: []string{"s3://a", "s3://b"}}
	if got := Backups(nonsense, "file:///own"); got.Full != 30*time.Minute || len(got.Stores) != 2 {
		t.Errorf("%+v", got)
	}
	if got := Backups(v1beta1.ServicePolicySpec{}, ""); got.Stores != nil {
		t.Errorf("backups go to %v", got.Stores)
	}
}

// BackedUp is true exactly while not more than two deltas' time and a bit would be lost.
func TestBackedUp(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	plan := Backups(v1beta1.ServicePolicySpec{}, "file:///own")
	full := now.Add(-20 * time.Minute)
	for why, c := range map[string]struct {
		facts  BackupFacts
		ok     bool
		reason string
	}{
		"just now":                  {BackupFacts{Since: now.Add(-time.Hour), RecoveryPoint: now.Add(-31 * time.Second), Full: full}, true, "Recorded"},
		"at the limit":              {BackupFacts{Since: now.Add(-time.Hour), RecoveryPoint: now.Add(-75 * time.Second), Full: full}, true, "Recorded"},
		"over it":                   {BackupFacts{Since: now.Add(-time.Hour), RecoveryPoint: now.Add(-76 * time.Second), Full: full}, false, "Late"},
		"a store is away":           {BackupFacts{Since: now.Add(-time.Hour), RecoveryPoint: now.Add(-2 * time.Minute), Full: full, Stores: []string{"away"}}, false, "StoreUnavailable"},
		"one of two stores, so far": {BackupFacts{Since: now.Add(-time.Hour), RecoveryPoint: now, Full: full, Stores: []string{"away"}}, true, "Recorded"},
		"the key is lost":           {BackupFacts{Since: now.Add(-time.Hour), KeyLost: true}, false, "BackupKeyLost"},
		"and just drawn":            {BackupFacts{Since: now, KeyLost: true}, false, "BackupKeyLost"},
		"etcd lost data":            {BackupFacts{Since: now.Add(-time.Hour), RecoveryPoint: now, Full: full, RolledBack: true, Etcd: "lost"}, false, "EtcdRolledBack"},
		"etcd is away":              {BackupFacts{Since: now.Add(-time.Hour), RecoveryPoint: now.Add(-2 * time.Minute), Full: full, Etcd: "away", Stores: []string{"away"}}, false, "EtcdUnavailable"},
		"no snapshot for an hour":   {BackupFacts{Since: now.Add(-5 * time.Hour), RecoveryPoint: now, Full: now.Add(-61 * time.Minute), Snapshot: "no room"}, false, "SnapshotLate"},
		"the key is none":           {BackupFacts{Since: now.Add(-time.Hour), RecoveryPoint: now, Full: full, KeyUnreadable: "it is none"}, false, "BackupKeyUnreadable"},
		"nor is the history":        {BackupFacts{Since: now.Add(-time.Hour), RecoveryPoint: now, Full: full, KeyUnreadable: "it is none", RolledBack: true}, false, "EtcdRolledBack"},
		"up again after a day":      {BackupFacts{Since: now.Add(-time.Minute), RecoveryPoint: now.Add(-24 * time.Hour), Full: full}, false, "Pending"},
		"and still not recorded":    {BackupFacts{Since: now.Add(-3 * time.Minute), RecoveryPoint: now.Add(-24 * time.Hour), Full: full}, false, "Late"},
		"up again at once":          {BackupFacts{Since: now.Add(-time.Second), RecoveryPoint: now.Add(-31 * time.Second), Full: full}, true, "Recorded"},
		"new":                       {BackupFacts{Since: now.Add(-time.Minute)}, false, "Pending"},
		"new for too long":          {BackupFacts{Since: now.Add(-3 * time.Minute)}, false, "Late"},
	} {
		ok, reason, _, due := BackedUp(c.facts, plan, now)
		if ok != c.ok || reason != c.reason {
			t.Errorf("%s: %t %s, want %t %s", why, ok, reason, c.ok, c.reason)
		}
		if !due.IsZero() {
			if later, _, _, _ := BackedUp(c.facts, plan, due.Add(time.Second)); later {
				t.Errorf("%s: it is still true after %s", why, due)
			}
		}
	}
}

// The backups take the place of what an etcd holds that runs only where nobody counts on
// anything that goes with it, and once.
func TestRollbackLoss(t *testing.T) {
	noon := metav1.NewTime(time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC))
	at := func(seconds time.Duration) metav1.Time { return metav1.NewTime(noon.Add(seconds * time.Second)) }
	with := func(change func(*v1beta1.ManagedClusterStatus, *metav1.Condition)) v1beta1.ManagedClusterStatus {
		status := v1beta1.ManagedClusterStatus{Backup: &v1beta1.BackupStatus{Rollback: &v1beta1.EtcdRollback{Time: at(0), Revision: 60, Recorded: 90, Shared: 50}}}
		condition := metav1.Condition{Type: v1beta1.ConditionBackedUp, Status: metav1.ConditionFalse, Reason: ReasonEtcdRolledBack, LastTransitionTime: noon}
		change(&status, &condition)
		status.Conditions = []metav1.Condition{condition}
		return status
	}
	for why, c := range map[string]struct {
		change func(*v1beta1.ManagedClusterStatus, *metav1.Condition)
		want   bool
	}{
		"nothing but leases since": {func(*v1beta1.ManagedClusterStatus, *metav1.Condition) {}, true},
		"writes of its own":        {func(s *v1beta1.ManagedClusterStatus, _ *metav1.Condition) { s.Backup.Rollback.Written = 1 }, false},
		"nobody knows from where on": {func(s *v1beta1.ManagedClusterStatus, _ *metav1.Condition) {
			s.Backup.Rollback.Shared = 0
		}, false},
		"it has gone beyond the backups": {func(s *v1beta1.ManagedClusterStatus, _ *metav1.Condition) { s.Backup.Rollback.Revision = 90 }, false},
		"it has not been compared":       {func(s *v1beta1.ManagedClusterStatus, _ *metav1.Condition) { s.Backup.Rollback = nil }, false},
		"there is no backup":             {func(s *v1beta1.ManagedClusterStatus, _ *metav1.Condition) { s.Backup = nil }, false},
		"it was recovered":               {func(_ *v1beta1.ManagedClusterStatus, c *metav1.Condition) { c.Status = metav1.ConditionTrue }, false},
		"backups are late alone":         {func(_ *v1beta1.ManagedClusterStatus, c *metav1.Condition) { c.Reason = "Late" }, false},
		"another recovery, before": {func(s *v1beta1.ManagedClusterStatus, _ *metav1.Condition) {
			s.Recovery = &v1beta1.ControlPlaneRecovery{StartTime: at(-1), Running: true, Reason: "of another loss"}
		}, true},
		"another recovery, of an etcd that did not start": {func(s *v1beta1.ManagedClusterStatus, _ *metav1.Condition) {
			s.Recovery = &v1beta1.ControlPlaneRecovery{StartTime: at(1)}
		}, true},
		"it was tried, and the clock was set back": {func(s *v1beta1.ManagedClusterStatus, _ *metav1.Condition) {
			s.Recovery = &v1beta1.ControlPlaneRecovery{StartTime: at(-60), Running: true, Reason: "etcd came back as it was at revision 50, and backups reach 90"}
		}, false},
		"it was found out too long ago": {func(s *v1beta1.ManagedClusterStatus, _ *metav1.Condition) { s.Backup.Rollback.Time = at(-31) }, false},
		"it was tried": {func(s *v1beta1.ManagedClusterStatus, _ *metav1.Condition) {
			s.Recovery = &v1beta1.ControlPlaneRecovery{StartTime: at(0), Running: true}
		}, false},
	} {
		if got := RollbackLoss(with(c.change), at(30).Time); (got != "") != c.want {
			t.Errorf("%s: %q", why, got)
		}
	}
}
