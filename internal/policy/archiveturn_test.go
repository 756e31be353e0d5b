package policy

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1beta1"
)

// stoppedFor is a cluster that could be archived but for the time.
func stoppedFor(uid string, length time.Duration, change func(*v1beta1.ManagedCluster)) v1beta1.ManagedCluster {
	cluster := v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}}
	cluster.Spec.PowerState = &v1beta1.PowerState{Code: v1beta1.PowerStopped}
	cluster.Status.PowerState.Code, cluster.Status.Initialized, cluster.Status.Backup = v1beta1.PowerStopped, true, &v1beta1.BackupStatus{}
	meta.SetStatusCondition(&cluster.Status.Conditions, metav1.Condition{
		Type: v1beta1.ConditionStopped, Status: metav1.ConditionTrue, Reason: "Stopped", LastTransitionTime: metav1.NewTime(proofNow.Add(-length)),
	})
	if change != nil {
		change(&cluster)
	}
	return cluster
}

func inPhase(phase v1beta1.ArchivePhase) func(*v1beta1.ManagedCluster) {
	return func(c *v1beta1.ManagedCluster) { c.Status.Archive = &v1beta1.ClusterArchive{Phase: phase} }
}

func wantedUp(c *v1beta1.ManagedCluster) { c.Spec.PowerState.Code = v1beta1.PowerRunning }

func noBackup(c *v1beta1.ManagedCluster) { c.Status.Backup = nil }

// Whose turn it is to be archived, with two at once (J5).
func TestArchiveTurn(t *testing.T) {
	const after = 30 * 24 * time.Hour
	two := int32(2)
	one := stoppedFor("one", after+time.Hour, nil)
	older := func(uid string, change func(*v1beta1.ManagedCluster)) v1beta1.ManagedCluster {
		return stoppedFor(uid, after+2*time.Hour, change)
	}
	for _, c := range []struct {
		why  string
		all  []v1beta1.ManagedCluster
		want bool
	}{
		{"nobody else", []v1beta1.ManagedCluster{one}, true},
		{"one is at it", []v1beta1.ManagedCluster{one, older("a", inPhase(v1beta1.ArchiveBackup))}, true},
		{"two are", []v1beta1.ManagedCluster{one, older("a", inPhase(v1beta1.ArchiveProve)), older("b", inPhase(v1beta1.ArchiveRelease))}, false},
		{"two were", []v1beta1.ManagedCluster{one, older("a", inPhase(v1beta1.Archived)), older("b", inPhase(v1beta1.ArchiveFailed))}, true},
		{"two waited longer", []v1beta1.ManagedCluster{one, older("a", nil), older("b", nil)}, false},
		{"one did, and there is room for both", []v1beta1.ManagedCluster{one, older("a", nil)}, true},
		{"one is at it, one waited longer", []v1beta1.ManagedCluster{one, older("a", inPhase(v1beta1.ArchiveBackup)), older("b", nil)}, false},
		{"others were stopped later", []v1beta1.ManagedCluster{one, stoppedFor("a", after, nil), stoppedFor("b", time.Hour, nil)}, true},
		{"what waited for a day is stuck", []v1beta1.ManagedCluster{one, stoppedFor("a", after+25*time.Hour, nil), stoppedFor("b", after+25*time.Hour, nil)}, true},
		{"what starts does not wait", []v1beta1.ManagedCluster{one, older("a", wantedUp), older("b", wantedUp)}, true},
		{"what has no backups is not archived", []v1beta1.ManagedCluster{one, older("a", noBackup), older("b", noBackup)}, true},
	} {
		if got := ArchiveTurn(&one, c.all, v1beta1.ServicePolicySpec{ArchivesAtOnce: &two}, proofNow); got != c.want {
			t.Errorf("%s: %v", c.why, got)
		}
	}
	if none := int32(0); ArchiveTurn(&one, nil, v1beta1.ServicePolicySpec{ArchivesAtOnce: &none}, proofNow) {
		t.Error("it begins where none may")
	}
}

// However many clusters come due in one moment, never more than the policy has are
// archived at the same time, and all are in the end, in the order in which they were stopped.
func TestManyArchivesTakeTurns(t *testing.T) {
	var all []v1beta1.ManagedCluster
	for n := range 30 {
		all = append(all, stoppedFor(fmt.Sprint(n), 31*24*time.Hour-time.Duration(n+1)*time.Minute, nil))
	}
	ended := 0
	for round := 0; ended < len(all) && round < len(all)*3; round++ {
		for n := len(all) - 1; n >= 0; n-- { // the youngest asks first
			if all[n].Status.Archive == nil && ArchiveTurn(&all[n], all, v1beta1.ServicePolicySpec{}, proofNow) {
				all[n].Status.Archive = &v1beta1.ClusterArchive{Phase: v1beta1.ArchiveBackup}
				if n >= ended+DefaultArchivesAtOnce {
					t.Fatalf("%d begins before those that were stopped earlier; %d have ended", n, ended)
				}
			}
		}
		busy := 0
		for n := range all {
			if archiving(&all[n]) {
				busy++
			}
		}
		if busy > DefaultArchivesAtOnce {
			t.Fatalf("%d at once", busy)
		}
		for n := range all { // the one that began first ends
			if archiving(&all[n]) {
				all[n].Status.Archive.Phase = v1beta1.Archived
				ended++
				break
			}
		}
	}
	if ended != len(all) {
		t.Errorf("%d of %d were archived", ended, len(all))
	}
}
