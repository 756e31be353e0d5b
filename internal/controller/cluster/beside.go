package cluster

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
)

// noRoomAfter is how long no node is found for a pod that is to recover beside etcd before
// etcd's own is ended, whose place it gets.
const noRoomAfter = 10 * time.Second

// awaitsData says whether an etcd that is alone has found no data and waits for them: it
// cannot write to any, and starts on what a recovery puts there.
func awaitsData(own []*corev1.Pod) bool {
	for _, pod := range own {
		if pod.Labels[controlplane.LabelComponent] != controlplane.ComponentEtcd || !pod.DeletionTimestamp.IsZero() {
			continue
		}
		for _, container := range pod.Status.ContainerStatuses {
			if foundNoData(container, nil) {
				return true
			}
		}
	}
	return false
}

// foundNoData says whether the last process of a container that has ended found no data, and
// no etcd has come up since. What was told before a recovery ended that put data there is told
// still while etcd reads them, and by a kubelet that was started again.
func foundNoData(container corev1.ContainerStatus, last *v1beta1.ControlPlaneRecovery) bool {
	ended := container.State.Terminated
	if ended == nil {
		ended = container.LastTerminationState.Terminated
	}
	if ended == nil || ended.ExitCode != controlplane.EtcdExitNoData {
		return false
	}
	if last != nil && last.Restored && last.EndTime != nil && ended.FinishedAt.Before(last.EndTime) {
		return false
	}
	return container.State.Running == nil || container.Started == nil || !*container.Started
}

// recoverBeside has a recovery run beside the pod of an etcd that waits for data: the end of
// that pod and the start of another one would take as long as all the rest. Both hold the data
// directory when they work on it, so that neither meets the other there whatever is seen here.
// It says whether this is a recovery of that kind; else etcd is ended first.
func (r *reconciler) recoverBeside(ctx context.Context, p *pass, pods upgradePods) (bool, error) {
	recovery := p.cluster.Status.Recovery
	if p.input.Members > 0 || p.input.Replicated || p.found.upgrading || recovery.Running {
		return false, nil
	}
	stored := pods.pods[controlplane.RecoverPod]
	if refused(stored, p.now) || !goesOnBeside(stored, recovery.ID) && !awaitsData(pods.own) {
		return false, nil
	}
	if runs, err := r.etcdIsAskedFor(ctx, p); err != nil || !runs {
		return false, err
	}
	p.found.recovering = true
	p.lookIn(upgradeAgain)
	if err := r.backupAddress(ctx, p); err != nil {
		return true, err
	}
	if wait, err := r.failedRecovery(ctx, p, stored); err != nil || wait > 0 {
		p.again = max(wait, upgradeAgain)
		return true, err
	}
	return true, r.keepPod(ctx, stored, controlplane.BesideEtcd(controlplane.EtcdRecoverPod(p.input, recovery.ID, recovery.Member, false)))
}

// goesOnBeside says whether a pod recovers beside etcd and has not failed.
func goesOnBeside(pod *corev1.Pod, id string) bool {
	return pod != nil && controlplane.RunsBesideEtcd(pod) && pod.Annotations[controlplane.AnnotationSnapshot] == id && pod.Status.Phase != corev1.PodFailed
}

// refused says whether a pod that is to recover beside etcd gets no place there.
func refused(pod *corev1.Pod, now time.Time) bool {
	if pod == nil || !controlplane.RunsBesideEtcd(pod) {
		return false
	}
	if pod.Status.Phase == corev1.PodFailed && len(pod.Status.ContainerStatuses) == 0 {
		return true // by the kubelet
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return now.Sub(c.LastTransitionTime.Time) > noRoomAfter
		}
	}
	return false
}

// etcdIsAskedFor says whether etcd's StatefulSet is there and wants its pod.
func (r *reconciler) etcdIsAskedFor(ctx context.Context, p *pass) (bool, error) {
	var set appsv1.StatefulSet
	err := r.reader.Get(ctx, client.ObjectKey{Namespace: namespaceOf(p.cluster), Name: controlplane.EtcdStatefulSet}, &set)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read etcd's StatefulSet: %w", err)
	}
	return set.Spec.Replicas == nil || *set.Spec.Replicas > 0, nil
}

// endBeside ends what recovers beside etcd of a cluster that is to stop, and says whether that
// is written down. As soon as such a pod has put data back etcd has taken writes on them.
func (r *reconciler) endBeside(ctx context.Context, p *pass, pods upgradePods) (bool, error) {
	now := p.cluster.Status.Recovery
	pod := pods.pods[controlplane.RecoverPod]
	if !now.UnderWay() || pod == nil || !controlplane.RunsBesideEtcd(pod) || pod.Annotations[controlplane.AnnotationSnapshot] != now.ID {
		return false, nil
	}
	if pods.ended(controlplane.RecoverPod, now.ID) {
		return true, r.endRecovery(ctx, p, pods)
	}
	next, ended := now.DeepCopy(), metav1.NewTime(p.now)
	// What nobody can tell counts as put back: who asks must not take data for none.
	next.Restored, next.EndTime, next.Message = true, &ended, "the cluster was stopped while etcd's data were put back; they are looked at when it starts"
	return true, r.persistRecovery(ctx, p, next)
}
