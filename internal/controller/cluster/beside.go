package cluster

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"berth.dev/berth/internal/controlplane"
)

// awaitsData says whether an etcd that is alone has found no data and waits for them: it
// cannot write to any, and starts on what a recovery puts there.
func awaitsData(own []*corev1.Pod) bool {
	for _, pod := range own {
		if pod.Labels[controlplane.LabelComponent] != controlplane.ComponentEtcd || !pod.DeletionTimestamp.IsZero() {
			continue
		}
		for _, container := range pod.Status.ContainerStatuses {
			if foundNoData(container) {
				return true
			}
		}
	}
	return false
}

// foundNoData says whether the last process of a container that has ended found no data, and
// none has started since.
func foundNoData(container corev1.ContainerStatus) bool {
	ended := container.State.Terminated
	if ended == nil {
		ended = container.LastTerminationState.Terminated
	}
	started := container.State.Running != nil && container.Started != nil && *container.Started
	return ended != nil && ended.ExitCode == controlplane.EtcdExitNoData && !started
}

// recoverBeside has a recovery run beside the pod of an etcd that waits for data: the end of
// that pod and the start of another one would take as long as all the rest. Both hold the data
// directory when they work on it, so that neither meets the other there whatever is seen here.
// It says whether this is a recovery of that kind; one whose pod has failed is not, unless
// etcd waits still.
func (r *reconciler) recoverBeside(ctx context.Context, p *pass, pods upgradePods) (bool, error) {
	if p.input.Members > 0 || p.cluster.Status.Recovery.Running {
		return false, nil
	}
	id := p.cluster.Status.Recovery.ID
	stored := pods.pods[controlplane.RecoverPod]
	goesOn := stored != nil && controlplane.RunsBesideEtcd(stored) && stored.Annotations[controlplane.AnnotationSnapshot] == id && !pods.failed(controlplane.RecoverPod, id)
	if !goesOn && !awaitsData(pods.own) {
		return false, nil
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
	return true, r.keepPod(ctx, stored, controlplane.BesideEtcd(controlplane.EtcdRecoverPod(p.input, id, p.cluster.Status.Recovery.Member)))
}
