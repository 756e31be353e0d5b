package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
)

// upgradePods are the pods of a control plane that changes its version.
type upgradePods struct {
	// pods are those that stand for a while, by name, and own those of etcd and kube.
	pods map[string]*corev1.Pod
	own  []*corev1.Pod
	kube appsv1.Deployment
	// trialServes: clients are sent to the trial's API server.
	trialServes bool
}

// ended says whether a pod has done its work for the snapshot.
func (u upgradePods) ended(name, snapshot string) bool {
	pod := u.pods[name]
	return pod != nil && allDone(pod) && pod.Annotations[controlplane.AnnotationSnapshot] == snapshot
}

// allDone says whether the processes of a pod that is started once have all ended well. Its
// phase says so only when the kubelet has tidied up after them, a second later.
func allDone(pod *corev1.Pod) bool {
	statuses := pod.Status.ContainerStatuses
	return pod.Spec.RestartPolicy == corev1.RestartPolicyNever && len(statuses) == len(pod.Spec.Containers) &&
		!slices.ContainsFunc(statuses, func(container corev1.ContainerStatus) bool {
			return container.State.Terminated == nil || container.State.Terminated.ExitCode != 0
		})
}

// failed says whether it did not.
func (u upgradePods) failed(name, snapshot string) bool {
	pod := u.pods[name]
	return pod != nil && pod.Status.Phase == corev1.PodFailed && pod.Annotations[controlplane.AnnotationSnapshot] == snapshot
}

// ready says whether a pod of the image answers.
func (u upgradePods) ready(name, image string) bool {
	pod := u.pods[name]
	if pod == nil || !pod.DeletionTimestamp.IsZero() || pod.Spec.Containers[0].Image != image {
		return false
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// replaced says whether only pods of the image are left, or on their way.
func (u upgradePods) replaced(image string) bool {
	containers := u.kube.Spec.Template.Spec.Containers
	return len(containers) > 0 && containers[0].Image == image && allUpdated(&u.kube)
}

// started says whether the process of the control plane has been started.
func (u upgradePods) started() bool {
	for _, pod := range u.own {
		if pod.Labels[controlplane.LabelComponent] != controlplane.ComponentKube {
			continue
		}
		for _, container := range pod.Status.ContainerStatuses {
			if container.State.Running != nil || container.RestartCount > 0 {
				return true
			}
		}
	}
	return false
}

// complaint says what the kubelet knows of why a phase did not come to its end.
func (u upgradePods) complaint(phase v1beta1.UpgradePhase) string {
	switch phase {
	case v1beta1.UpgradeSnapshot:
		return complaintOf(u.pods[controlplane.SnapshotPod])
	case v1beta1.UpgradeTrial:
		return complaintOf(u.pods[controlplane.TrialPod])
	case v1beta1.UpgradeRollOut:
		for _, pod := range u.own {
			if said := complaintOf(pod); said != "" {
				return said
			}
		}
	}
	return ""
}

// complaintOf reads a pod's first container that does not run as it should.
func complaintOf(pod *corev1.Pod) string {
	if pod == nil {
		return ""
	}
	for _, container := range pod.Status.ContainerStatuses {
		state, last := container.State, container.LastTerminationState.Terminated
		switch {
		case state.Terminated != nil:
			return strings.TrimSpace(fmt.Sprintf("%s ended with exit code %d %s", container.Name, state.Terminated.ExitCode, state.Terminated.Message))
		case last != nil:
			return strings.TrimSpace(fmt.Sprintf("%s ended with exit code %d %s", container.Name, last.ExitCode, last.Message))
		case state.Waiting != nil:
			return strings.TrimSpace(container.Name + ": " + state.Waiting.Reason)
		case !container.Ready && state.Running != nil:
			return container.Name + " runs and is not ready"
		}
	}
	if pod.Status.Phase == corev1.PodPending {
		return "the pod has no node"
	}
	return ""
}

// upgradePodsStep makes the pods that the phase asks for, and removes the others.
func (r *reconciler) upgradePodsStep(ctx context.Context, p *pass) (bool, error) {
	up := p.cluster.Status.Upgrade
	if up == nil && p.cluster.Status.Replicas == nil {
		return true, nil
	}
	seen, err := r.podsOf(ctx, p.cluster)
	if err != nil {
		return false, err
	}
	wanted := map[string]*corev1.Pod{}
	if p.upgrade.snapshot {
		wanted[controlplane.SnapshotPod] = controlplane.EtcdSnapshotPod(p.input, up.Snapshot)
	}
	if p.upgrade.trial {
		wanted[controlplane.TrialPod] = controlplane.KubeTrialPod(p.trialInput())
	}
	// Nothing may write to the data while they are replaced.
	restores, err := r.restores(ctx, p, seen)
	if err != nil {
		return false, err
	}
	if restores {
		wanted[controlplane.RestorePod] = controlplane.EtcdRestorePod(p.input, up.Snapshot)
	}
	for name, pod := range wanted {
		if err := r.keepPod(ctx, seen.pods[name], pod); err != nil {
			return false, err
		}
	}
	for _, name := range []string{controlplane.SnapshotPod, controlplane.TrialPod, controlplane.RestorePod} {
		if wanted[name] == nil && seen.pods[name] != nil {
			if err := r.removePod(ctx, seen.pods[name]); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// restores says whether the snapshot may be put back: nothing runs on the data, and no
// other member's are left.
func (r *reconciler) restores(ctx context.Context, p *pass, seen upgradePods) (bool, error) {
	if !p.upgrade.restore || len(seen.own) > 0 && !seen.ended(controlplane.RestorePod, p.cluster.Status.Upgrade.Snapshot) {
		return false, nil
	}
	if seen.pods[controlplane.RestorePod] != nil {
		return true, nil
	}
	return r.onlyMember(ctx, p, 0)
}

// keepPod makes a pod, and removes one that is of another attempt or cannot go on,
// for the next pass to make it again.
func (r *reconciler) keepPod(ctx context.Context, stored, wanted *corev1.Pod) error {
	if stored == nil {
		if err := r.client.Create(ctx, wanted); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create pod %s: %w", wanted.Name, err)
		}
		return nil
	}
	same := stored.Spec.Containers[0].Image == wanted.Spec.Containers[0].Image && controlplane.RunsBesideEtcd(stored) == controlplane.RunsBesideEtcd(wanted) &&
		stored.Annotations[controlplane.AnnotationSnapshot] == wanted.Annotations[controlplane.AnnotationSnapshot]
	if same && stored.Status.Phase != corev1.PodFailed {
		return nil
	}
	return r.removePod(ctx, stored)
}

func (r *reconciler) removePod(ctx context.Context, pod *corev1.Pod) error {
	if !pod.DeletionTimestamp.IsZero() {
		return nil
	}
	if err := r.client.Delete(ctx, pod, client.Preconditions{UID: &pod.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete pod %s: %w", pod.Name, err)
	}
	return nil
}
