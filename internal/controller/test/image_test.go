package test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
)

// withoutImage plays the kubelet of etcd's pods where nobody has the image of some any more: those
// wait, and one of three that have it is not ready alone.
func (w *world) withoutImage(all []corev1.Pod, pod *corev1.Pod, next corev1.PodStatus) corev1.PodStatus {
	w.mu.Lock()
	lost := w.lostImage
	w.mu.Unlock()
	if lost == "" {
		return next
	}
	if image := pod.Spec.Containers[0].Image; image == lost {
		return corev1.PodStatus{
			Phase: corev1.PodPending,
			// Its kubelet has asked for it long enough.
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(time.Now().Add(-time.Minute))}},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: pod.Spec.Containers[0].Name, Image: image, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}},
			}},
		}
	}
	members, run := 0, 0
	for i := range all {
		if all[i].Labels[controlplane.LabelComponent] != controlplane.ComponentEtcd {
			continue
		}
		members++
		if all[i].Spec.Containers[0].Image != lost {
			run++
		}
	}
	if members > 1 && run <= controlplane.Replicas/2 && len(next.Conditions) > 0 {
		next.Conditions[0].Status, next.ContainerStatuses[0].Ready = corev1.ConditionFalse, false
	}
	return next
}

// etcdPods are etcd's, by their names.
func (w *world) etcdPods() map[string]corev1.Pod {
	w.t.Helper()
	var list corev1.PodList
	err := w.client.List(w.t.Context(), &list, client.InNamespace(v1beta1.ControlPlaneNamespace(clusterID)), client.MatchingLabels{controlplane.LabelComponent: controlplane.ComponentEtcd})
	if err != nil {
		w.t.Fatal(err)
	}
	found := map[string]corev1.Pod{}
	for _, pod := range list.Items {
		found[pod.Name] = pod
	}
	return found
}

// loseEtcdImage has nobody have the image that etcd's pods are of any more, and the next life bring
// another one.
func (w *world) loseEtcdImage() {
	w.t.Helper()
	w.away.Store(true)
	w.mu.Lock()
	w.lostImage, w.etcdImage = "etcd:v1", "etcd:v2"
	w.mu.Unlock()
	w.eventually("no pod of etcd has its image", func() bool {
		pods := w.etcdPods()
		for _, pod := range pods {
			waiting := len(pod.Status.ContainerStatuses) > 0 && pod.Status.ContainerStatuses[0].State.Waiting != nil
			if !waiting && pod.Spec.Containers[0].Image == "etcd:v1" {
				return false
			}
		}
		return len(pods) == controlplane.Replicas
	})
}

// losesEtcdImage is the life of a cluster that a newer Berth brings up on a machine which has the
// images of its own build alone: none of etcd's three pods is of that build, and one alone that is
// has no majority to become ready with.
func losesEtcdImage(w *world) {
	w.t.Helper()
	w.standard()
	volumes, before := w.volumes(), map[string]types.UID{}
	for name, pod := range w.etcdPods() {
		before[name] = pod.UID
	}
	w.loseEtcdImage()
	for name, pod := range w.etcdPods() {
		if w.deaths == nil && pod.UID != before[name] {
			w.t.Errorf("%s is made anew though its image is etcd's still", name)
		}
	}
	w.stop()
	w.start(w.nextGuard())
	w.eventually("all have the image of the newer build, and are ready", func() bool {
		pods := w.etcdPods()
		for _, pod := range pods {
			if pod.Spec.Containers[0].Image != "etcd:v2" || !readyPod(pod.Status) {
				return false
			}
		}
		return len(pods) == controlplane.Replicas
	})
	w.away.Store(false)
	w.checkReplicas(controlplane.Replicas)
	for name, uid := range w.volumes() {
		if volumes[name] != uid {
			w.t.Errorf("claim %s was %s and is %s", name, volumes[name], uid)
		}
	}
	if changes := w.etcd.made(); len(changes) > 0 {
		w.t.Errorf("members are changed: %v", changes)
	}
	w.delete()
	w.checkGone()
}

// A control plane whose etcd has three members comes up with a newer build that has another
// etcd, also where nobody has the image of the former one.
func TestStandardClusterWithoutEtcdsImage(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	losesEtcdImage(w)
	if !w.tells("EtcdPodReplaced", "etcd:v1") {
		t.Error("nobody is told")
	}
}

// Killed over and over, the controllers do it all the same.
func TestCrashWithoutEtcdsImage(t *testing.T) {
	crashAlways(t, losesEtcdImage, 3)
}

// A restored machine of a newer build has neither their image nor their data: all three of etcd's
// members come up with the build's, are seen to be dead, and what was backed up comes back.
func TestRestoreByANewerBuildRecoversEtcd(t *testing.T) {
	w := newWorld(t)
	w.backupCA = []byte("ca")
	w.start(w.nextGuard())
	w.standard()
	w.backedUp()
	w.mu.Lock()
	for ordinal := range int32(controlplane.Replicas) {
		w.dataOf[controlplane.MemberClaim(ordinal)] = `{"term":0,"index":0,"damage":"the data directory is empty"}`
	}
	w.mu.Unlock()
	w.proves(`{"restored":true,"reason":"the data directory is empty","revision":7,"keys":3}`)
	w.fall(func(pod *corev1.Pod) bool {
		return pod.Labels[controlplane.LabelComponent] == controlplane.ComponentEtcd && pod.Spec.Containers[0].Image == "etcd:v2"
	})
	w.loseEtcdImage()
	w.stop()
	w.start(w.nextGuard())
	w.eventually("etcd's data are put back", func() bool {
		now := w.cluster().Status.Recovery
		return now != nil && !now.UnderWay()
	})
	if now := w.cluster().Status.Recovery; !now.Restored || len(now.Examined) != controlplane.Replicas {
		t.Errorf("%+v", now)
	}
	w.delete()
	w.checkGone()
}
