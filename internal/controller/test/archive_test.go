package test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// A cluster that is stopped for long keeps no volume once its backups are proven, and
// one whose backups are not keeps it; a start makes it again (J5). The controllers die
// after every few side effects.
func TestCrashArchive(t *testing.T) {
	w := newWorld(t)
	w.nextGuard = func() *guard { return newGuard(3, w.client) }
	w.start(w.nextGuard())
	w.createOld()
	w.backedUp()
	w.servicePolicy(v1beta1.ServicePolicySpec{ArchiveAfter: &metav1.Duration{Duration: time.Second}})
	w.proves(`{"equal":false,"revision":7,"keys":3}`)
	w.powerOff()
	w.finalBackup()
	failed := w.archived(v1beta1.ArchiveFailed)
	if failed.Message == "" || w.claims() != 1 {
		t.Errorf("after a proof that failed: %+v, %d claims", failed, w.claims())
	}
	w.proves(`{"equal":true,"live":7,"revision":7,"keys":3}`)
	w.request(w.powerOperation("op-start-1", v1beta1.PowerRunning, v1beta1.StateStarting))
	w.succeed("op-start-1")
	if archive := w.cluster().Status.Archive; archive != nil {
		t.Errorf("a cluster that runs has %+v", archive)
	}
	w.request(w.powerOperation("op-stop-2", v1beta1.PowerStopped, v1beta1.StateStopping))
	w.succeed("op-stop-2")
	w.finalBackup()
	w.archived(v1beta1.Archived)
	if s := w.cluster().Status; s.ProvisioningState != v1beta1.StateSucceeded || s.PowerState.Code != v1beta1.PowerStopped {
		t.Errorf("status of an archived cluster: %+v", s)
	}
	if left := w.claims(); left != 0 {
		t.Errorf("an archived cluster has %d claims", left)
	}
	if left := w.count(&corev1.PodList{}, v1beta1.ControlPlaneNamespace(clusterID)); left != 0 {
		t.Errorf("an archived cluster has %d pods", left)
	}
	// A PUT that scales the pool brings the cluster back with it.
	back := w.powerOperation("op-start-2", v1beta1.PowerRunning, v1beta1.StateStarting)
	count := *back.Spec.Desired.AgentPools[0].Count + 1
	back.Spec.Desired.AgentPools[0].Count = &count
	w.request(back)
	w.succeed("op-start-2")
	if nodes := len(w.nodeNames()); nodes != int(count) {
		t.Errorf("%d nodes after a scale that allocated the cluster again, want %d", nodes, count)
	}
	w.checkEtcdExists()
	w.eventually("its volume is there again", func() bool { return w.claims() == 1 })
	w.delete()
	w.checkGone()
}

func (w *world) claims() int {
	w.t.Helper()
	return w.count(&corev1.PersistentVolumeClaimList{}, v1beta1.ControlPlaneNamespace(clusterID))
}

// finalBackup plays the backup controller when it is asked for the last time.
func (w *world) finalBackup() {
	w.t.Helper()
	w.archived(v1beta1.ArchiveBackup)
	w.eventually("the final backup", func() bool {
		c := w.cluster()
		if c.Status.Archive == nil {
			return false
		}
		c.Status.Backup.RecoveryPoint = &metav1.Time{Time: c.Status.Archive.StartTime.Add(2 * time.Second)}
		return w.client.Status().Update(w.t.Context(), c) == nil
	})
}

// archived waits for a phase.
func (w *world) archived(phase v1beta1.ArchivePhase) *v1beta1.ClusterArchive {
	w.t.Helper()
	var archive *v1beta1.ClusterArchive
	w.eventually("the archive is "+string(phase), func() bool {
		archive = w.cluster().Status.Archive
		return archive != nil && archive.Phase == phase
	})
	return archive
}
