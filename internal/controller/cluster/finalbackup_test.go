package cluster

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// The etcds of stopped clusters that are deleted together take turns. What runs anyway waits for
// no turn, and a turn ends with its two minutes, or with its cluster.
func TestFinalBackupsTakeTurns(t *testing.T) {
	noon := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	r := &reconciler{}
	deleted := func(n int, runs bool, at time.Time) *pass {
		c := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{UID: types.UID(fmt.Sprint(n)), DeletionTimestamp: &metav1.Time{Time: noon}}}
		c.Spec.ID, c.Status.Initialized, c.Status.Backup = fmt.Sprint(n), true, &v1beta1.BackupStatus{}
		if runs {
			c.Status.APIServerReady = &metav1.Time{Time: noon}
		}
		return &pass{cluster: c, now: at}
	}
	for n := range finalsAtOnce {
		if waited, turn := r.waitedFor(deleted(n, false, noon)); waited != 0 || !turn {
			t.Errorf("cluster %d has waited %s, has its turn: %t", n, waited, turn)
		}
	}
	if _, turn := r.waitedFor(deleted(10, false, noon)); turn {
		t.Error("one too many starts its etcd")
	}
	if _, turn := r.waitedFor(deleted(11, true, noon)); !turn {
		t.Error("one that runs waits for its turn")
	}
	if waited, turn := r.waitedFor(deleted(0, false, noon.Add(time.Minute))); waited != time.Minute || !turn {
		t.Errorf("the first has waited %s, has its turn: %t", waited, turn)
	}
	r.finals.forget("0")
	if waited, turn := r.waitedFor(deleted(10, false, noon.Add(time.Minute))); waited != 0 || !turn {
		t.Errorf("the next has waited %s, has its turn: %t", waited, turn)
	}
	if _, turn := r.waitedFor(deleted(12, false, noon.Add(policy.FinalBackupLimit))); !turn {
		t.Error("those that have waited long enough keep others from their turn")
	}
}
