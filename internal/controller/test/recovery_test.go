package test

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

// While etcd's data are put back no etcd runs, and the API server goes on: its start would
// take longer than the rest. One that has ended meanwhile is made again, since the kubelet
// would start it only after a pause. The controllers die after every few side effects.
func TestCrashRecovery(t *testing.T) {
	w := newWorld(t)
	w.nextGuard = func() *guard { return newGuard(3, w.client) }
	w.backupCA = []byte("ca")
	w.start(w.nextGuard())
	w.create()
	w.backedUp()
	w.proves(`{"restored":true,"reason":"the data directory is missing","revision":7,"keys":3}`)
	serving := w.kubePod().UID

	first := w.loseEtcd("", serving)
	if got := w.kubePod().UID; got != serving {
		t.Error("an API server that could go on was replaced")
	}

	w.backsOff(w.kubePod())
	w.loseEtcd(first, serving)
	w.eventually("an API server that had ended is made again", func() bool {
		pods := w.podsOf(controlplane.ComponentKube)
		return len(pods) == 1 && pods[0] != serving
	})

	before := w.volumes()[controlplane.MemberClaim(0)]
	w.away.Store(true)
	w.strandMember(0)
	w.eventually("etcd comes up on a new volume, since the node of the old one is gone", func() bool {
		volume := w.volumes()[controlplane.MemberClaim(0)]
		return volume != "" && volume != before && len(w.podsOf(controlplane.ComponentEtcd)) == 1
	})
	w.away.Store(false)
	w.delete()
	w.checkGone()
}

// An etcd that has found no data waits for them: its pod stays, and the API server, while they
// are put back, also where that fails at first. The controllers die after every few side effects.
func TestCrashRecoveryBesideEtcd(t *testing.T) {
	w := newWorld(t)
	w.nextGuard = func() *guard { return newGuard(3, w.client) }
	w.backupCA = []byte("ca")
	w.start(w.nextGuard())
	w.create()
	w.backedUp()
	w.proves(`{"restored":true,"reason":"the data directory is missing","revision":7,"keys":3}`)
	etcd, kube := w.podsOf(controlplane.ComponentEtcd), w.podsOf(controlplane.ComponentKube)
	stays := func() {
		t.Helper()
		if now := w.podsOf(controlplane.ComponentEtcd); !slices.Equal(now, etcd) || w.etcdReplicas() != 1 {
			t.Errorf("etcd's pods are %v, and were %v; %d are asked for", now, etcd, w.etcdReplicas())
		}
		if now := w.podsOf(controlplane.ComponentKube); !slices.Equal(now, kube) {
			t.Errorf("the API server's pods are %v, and were %v", now, kube)
		}
	}

	w.awaitData(true)
	w.away.Store(true)
	w.fall(func(pod *corev1.Pod) bool {
		return pod.Labels[controlplane.LabelComponent] == controlplane.ComponentEtcd || pod.Name == controlplane.RecoverPod
	})
	w.eventually("an attempt fails", func() bool {
		recovery, ready := w.cluster().Status.Recovery, meta.FindStatusCondition(w.cluster().Status.Conditions, v1beta1.ConditionControlPlaneReady)
		return recovery.UnderWay() && strings.Contains(recovery.Message, "is repeated") && ready != nil && ready.Reason == "Recovering"
	})
	stays()
	w.fall(func(pod *corev1.Pod) bool {
		return pod.Labels[controlplane.LabelComponent] == controlplane.ComponentEtcd
	})
	w.eventually("the recovery", func() bool {
		recovery := w.cluster().Status.Recovery
		return recovery != nil && !recovery.UnderWay() && recovery.Restored
	})
	stays()
	w.fall(nil)
	w.away.Store(false)
	w.eventually("the cluster is ready", func() bool { return w.cluster().Status.APIServerReady != nil })
	stays()
	w.delete()
	w.checkGone()
}

// awaitData says how etcds that are sick from now on are.
func (w *world) awaitData(awaits bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.awaits = awaits
}

// awaitsData is the status of a container of etcd that has found no data.
func awaitsData(container corev1.ContainerStatus) corev1.ContainerStatus {
	started := false
	container.RestartCount, container.Started = 1, &started
	container.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: controlplane.EtcdExitNoData}
	container.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	return container
}

// An etcd that came back with less than its backups have is put back from them beside the API
// server, where nobody counts on what it has taken since. Where that fails it goes on with
// what it has, and it is not tried again. The controllers die after every few side effects.
func TestCrashRecoveryOfAnEtcdThatWentBack(t *testing.T) {
	w := newWorld(t)
	w.nextGuard = func() *guard { return newGuard(3, w.client) }
	w.backupCA = []byte("ca")
	w.start(w.nextGuard())
	w.create()
	w.backedUp()
	w.proves(`{"restored":true,"reason":"etcd is at revision 60, and backups reach 90","revision":90,"keys":3}`)
	serving := w.kubePod().UID
	ends := func(before string) *v1beta1.ControlPlaneRecovery {
		t.Helper()
		var recovery *v1beta1.ControlPlaneRecovery
		w.eventually("the recovery ends, and etcd runs", func() bool {
			recovery = w.cluster().Status.Recovery
			return recovery != nil && recovery.ID != before && !recovery.UnderWay() && w.etcdReplicas() == 1 && len(w.podsOf(controlplane.ComponentEtcd)) == 1
		})
		return recovery
	}

	w.wentBack(50)
	back := ends("")
	if !back.Restored || !strings.Contains(back.Message, "up to revision 90 is back") || !strings.Contains(back.Reason, "as it was at revision 50") {
		t.Errorf("it is not put back: %+v", back)
	}
	w.backedUp()
	w.eventually("the cluster is ready, and the next loss is later", func() bool {
		return w.cluster().Status.APIServerReady != nil && time.Now().Truncate(time.Second).After(back.StartTime.Time)
	})

	w.fall(func(pod *corev1.Pod) bool { return pod.Name == controlplane.RecoverPod })
	w.wentBack(1_000_000_050)
	failed := ends(back.ID)
	if failed.Restored || !strings.Contains(failed.Message, "goes on with what it has") {
		t.Errorf("a recovery that fails: %+v", failed)
	}
	w.fall(nil)
	w.eventually("the cluster is ready again", func() bool { return w.cluster().Status.APIServerReady != nil })
	if got := w.kubePod().UID; got != serving {
		t.Error("an API server that could go on was replaced")
	}
	w.delete()
	w.checkGone()
}

// wentBack has the recorder say that etcd came back with less than was recorded, and has
// taken nothing since a revision that somebody counts on.
func (w *world) wentBack(shared int64) {
	w.t.Helper()
	w.eventually("the status says that etcd went back", func() bool {
		c := w.cluster()
		c.Status.Backup = &v1beta1.BackupStatus{
			Revision: 1, RecoveryRevision: 90, RecoveryPoint: &metav1.Time{Time: time.Now()},
			Rollback: &v1beta1.EtcdRollback{Time: metav1.Now(), Revision: shared + 10, Recorded: shared + 40, Shared: shared},
		}
		meta.SetStatusCondition(&c.Status.Conditions, metav1.Condition{Type: v1beta1.ConditionBackedUp, Status: metav1.ConditionFalse, Reason: policy.ReasonEtcdRolledBack})
		return w.client.Status().Update(w.t.Context(), c) == nil
	})
}

// loseEtcd has etcd end at each start until its data are put back, and returns the
// identity of the recovery, which is another than the one before. The API server with this
// UID is there all the time.
func (w *world) loseEtcd(before string, serving types.UID) string {
	w.t.Helper()
	w.away.Store(true)
	w.fall(func(pod *corev1.Pod) bool {
		return pod.Labels[controlplane.LabelComponent] == controlplane.ComponentEtcd || pod.Name == controlplane.RecoverPod
	})
	w.eventually("the data are looked at", func() bool { return len(w.podsOf(controlplane.RecoverPod)) == 1 })
	if etcd, kube := w.podsOf(controlplane.ComponentEtcd), w.podsOf(controlplane.ComponentKube); len(etcd) > 0 || w.etcdReplicas() != 0 || !slices.Equal(kube, []types.UID{serving}) {
		w.t.Errorf("while the data are put back: etcd %v, %d asked for; API server %v instead of %s", etcd, w.etcdReplicas(), kube, serving)
	}
	w.fall(nil)
	id := ""
	w.eventually("the recovery", func() bool {
		recovery := w.cluster().Status.Recovery
		if recovery == nil || recovery.ID == before || recovery.UnderWay() {
			return false
		}
		id = recovery.ID
		return recovery.Restored
	})
	w.away.Store(false)
	w.eventually("the cluster is ready", func() bool {
		return w.cluster().Status.APIServerReady != nil && w.etcdReplicas() == 1
	})
	return id
}

// podsOf are the pods of a component of the control plane.
func (w *world) podsOf(component string) []types.UID {
	w.t.Helper()
	var pods corev1.PodList
	err := w.client.List(w.t.Context(), &pods, client.InNamespace(v1beta1.ControlPlaneNamespace(clusterID)), client.MatchingLabels{controlplane.LabelComponent: component})
	if err != nil {
		w.t.Fatal(err)
	}
	var found []types.UID
	for i := range pods.Items {
		found = append(found, pods.Items[i].UID)
	}
	return found
}

// backsOff has a pod's container wait for its next start, as a kubelet has one wait that
// ended too often.
func (w *world) backsOff(pod *corev1.Pod) {
	w.t.Helper()
	before := pod.DeepCopy()
	status := &pod.Status.ContainerStatuses[0]
	status.RestartCount, status.Ready = 3, false
	status.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	if err := w.client.Status().Patch(w.t.Context(), pod, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
}
