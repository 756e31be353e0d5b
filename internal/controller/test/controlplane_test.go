package test

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
)

const oldVersion, newVersion = "1.36.3", "1.37.2"

// upgrades is the life of a cluster that is upgraded in vain, and then not.
func upgrades(w *world) {
	w.t.Helper()
	w.createOld()
	w.upgradeTimeout(2 * time.Second)
	w.fall(sickTrial)
	w.failUpgrade("op-upgrade-1")
	w.checkVersion(oldVersion, v1beta1.UpgradeFailed)
	w.upgradeTimeout(5 * time.Minute)
	w.fall(nil)
	w.request(w.versionOperation("op-upgrade-2", newVersion))
	w.succeed("op-upgrade-2")
	w.checkVersion(newVersion, v1beta1.UpgradeSucceeded)
	w.delete()
	w.checkGone()
}

func sickTrial(pod *corev1.Pod) bool { return pod.Name == controlplane.TrialPod }

// An upgrade that fails before anything was replaced leaves the control plane as
// it was, is told of, and is tried again only when somebody asks.
func TestUpgradeThatDoesNotComeUpChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.createOld()
	before := w.kubeDeployment()
	w.fall(sickTrial)
	cause := w.failTrial("op-upgrade")
	if cause.Code != "UpgradeFailed" || !strings.Contains(cause.Message, "did not come up in time") || !strings.Contains(cause.Message, "1.36.3 runs, with everything that was written") {
		t.Errorf("error of the upgrade: %+v", cause)
	}
	if after := w.kubeDeployment(); after.Generation != before.Generation {
		t.Errorf("the control plane was changed: generation %d, was %d", after.Generation, before.Generation)
	}
	failed := w.cluster().Status.Upgrade
	w.scale(2) // a change of something else, which makes the controller look again
	if again := w.cluster().Status.Upgrade; !again.StartTime.Equal(&failed.StartTime) || again.Phase != v1beta1.UpgradeFailed {
		t.Errorf("a failed upgrade is tried again by itself: %+v, was %+v", again, failed)
	}
	w.request(w.versionOperation("op-back", oldVersion))
	w.succeed("op-back")
	w.checkVersion(oldVersion, v1beta1.UpgradeFailed)
	w.delete()
	w.checkGone()
}

// When neither version comes up on what etcd holds, the snapshot of before brings
// the old one back; once, since a second time would lose what was written since.
func TestUpgradeRestoresWhatWasIfNothingComesUp(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.createOld()
	w.upgradeTimeout(3 * time.Second)
	w.fall(func(pod *corev1.Pod) bool {
		own := pod.Labels[controlplane.LabelComponent] == controlplane.ComponentKube
		return own && len(w.restores()) == 0
	})
	cause := w.failUpgrade("op-upgrade")
	if !strings.Contains(cause.Message, "runs again, with what etcd held at") {
		t.Errorf("the customer is not told what was lost: %q", cause.Message)
	}
	if up := w.cluster().Status.Upgrade; !maps.Equal(w.restores(), map[string]bool{up.Snapshot: true}) {
		t.Errorf("restored %v, want %s alone", w.restores(), up.Snapshot)
	}
	w.checkVersion(oldVersion, v1beta1.UpgradeFailed)
	w.fall(nil)
	w.upgradeTimeout(5 * time.Minute)
	w.request(w.versionOperation("op-again", newVersion))
	w.succeed("op-again")
	w.checkVersion(newVersion, v1beta1.UpgradeSucceeded)
	w.delete()
	w.checkGone()
}

// Without a snapshot there is no upgrade.
func TestUpgradeEndsIfEtcdCannotBeSaved(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.createOld()
	w.fall(func(pod *corev1.Pod) bool { return pod.Name == controlplane.SnapshotPod })
	if cause := w.failUpgrade("op-upgrade"); !strings.Contains(cause.Message, "could not be saved, so that nothing was changed (etcd-snapshot ended with exit code 1 no space)") {
		t.Errorf("error of the upgrade: %q", cause.Message)
	}
	w.checkVersion(oldVersion, v1beta1.UpgradeFailed)
	w.delete()
	w.checkGone()
}

// createOld makes a cluster of one node that there is an upgrade for.
func (w *world) createOld() {
	w.t.Helper()
	op := w.createOperation("op-create")
	op.Spec.Desired.Cluster.KubernetesVersion = oldVersion
	w.request(op)
	w.succeed("op-create")
}

func (w *world) versionOperation(name, version string) *v1beta1.Operation {
	spec := clusterSpec()
	spec.KubernetesVersion = version
	return &v1beta1.Operation{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1beta1.OperationSpec{
			Type: v1beta1.OperationPut, State: v1beta1.StateUpgrading,
			Target:  v1beta1.OperationTarget{Kind: v1beta1.TargetManagedCluster, Name: w.clusterName(), ResourceID: "/demo"},
			Desired: &v1beta1.DesiredState{Cluster: &spec},
		},
	}
}

func (w *world) failUpgrade(name string) *v1beta1.OperationError {
	w.t.Helper()
	w.request(w.versionOperation(name, newVersion))
	return w.failure(name)
}

func (w *world) failure(name string) *v1beta1.OperationError {
	w.t.Helper()
	op := w.finish(name)
	if op.Status.Status != v1beta1.OperationFailed || op.Status.Error == nil {
		w.t.Fatalf("operation %s: %+v\n%s", name, op.Status, w.dump())
	}
	return op.Status.Error
}

// failTrial has an upgrade end whose trial does not come up, and gives all before it the time that it takes.
func (w *world) failTrial(name string) *v1beta1.OperationError {
	w.t.Helper()
	w.request(w.versionOperation(name, newVersion))
	w.inPhase(v1beta1.UpgradeTrial)
	w.upgradeTimeout(2 * time.Second)
	return w.failure(name)
}

// checkVersion looks at what must be left of an upgrade, and what must not.
func (w *world) checkVersion(version string, phase v1beta1.UpgradePhase) {
	w.t.Helper()
	status := w.cluster().Status
	if status.CurrentKubernetesVersion != version || status.AddonsVersion != version || status.Upgrade == nil || status.Upgrade.Phase != phase || status.Upgrade.EndTime == nil {
		w.t.Errorf("status %+v, upgrade %+v", status, status.Upgrade)
	}
	if image := w.kubeDeployment().Spec.Template.Spec.Containers[0].Image; image != "kube:v"+version {
		w.t.Errorf("the control plane is %s, want %s", image, version)
	}
	var service corev1.Service
	key := client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(clusterID), Name: controlplane.APIServerService}
	if err := w.client.Get(w.t.Context(), key, &service); err != nil {
		w.t.Fatal(err)
	}
	if service.Spec.Selector[controlplane.LabelComponent] != controlplane.ComponentKube {
		w.t.Errorf("clients are sent to %v", service.Spec.Selector)
	}
	for _, name := range []string{controlplane.SnapshotPod, controlplane.TrialPod, controlplane.RestorePod} {
		w.eventuallyGone(&corev1.Pod{}, client.ObjectKey{Namespace: key.Namespace, Name: name})
	}
}

func (w *world) kubeDeployment() *appsv1.Deployment {
	w.t.Helper()
	var kube appsv1.Deployment
	key := client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(clusterID), Name: controlplane.KubeDeployment}
	if err := w.client.Get(w.t.Context(), key, &kube); err != nil {
		w.t.Fatal(err)
	}
	return &kube
}

// upgradeTimeout is what the operator promises from now on.
func (w *world) upgradeTimeout(timeout time.Duration) {
	w.t.Helper()
	w.servicePolicy(v1beta1.ServicePolicySpec{UpgradeTimeout: &metav1.Duration{Duration: timeout}})
}

// servicePolicy is what the operator promises from now on.
func (w *world) servicePolicy(spec v1beta1.ServicePolicySpec) {
	w.t.Helper()
	policy := &v1beta1.ServicePolicy{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.ServicePolicyName}}
	if err := w.client.Delete(w.t.Context(), policy); client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
	policy.Spec, policy.ResourceVersion = spec, ""
	w.ensure(policy)
	w.t.Cleanup(func() { _ = w.client.Delete(context.Background(), policy) })
}

// fall makes pods of the control plane sick from now on.
func (w *world) fall(sick func(*corev1.Pod) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sick = sick
}

// restores are the snapshots that were put back.
func (w *world) restores() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.restored)
}

// hostedPods plays the kubelet of the control plane's pods.
func (w *world) hostedPods(ctx context.Context) {
	w.mu.Lock()
	sick, report, awaits := w.sick, w.report, w.awaits
	w.mu.Unlock()
	var pods corev1.PodList
	if err := w.client.List(ctx, &pods, client.InNamespace(v1beta1.ControlPlaneNamespace(clusterID))); err != nil {
		return
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Status.Reason == evicted {
			continue // for good
		}
		next := hostedStatus(pod, sick != nil && sick(pod))
		if awaits && next.ContainerStatuses[0].RestartCount > 0 {
			next.ContainerStatuses[0] = awaitsData(next.ContainerStatuses[0])
		}
		if w.homeless(ctx, pod) {
			next = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
				Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "volume node affinity conflict",
			}}}
		}
		if len(next.Conditions) > 0 && pod.Labels[controlplane.LabelComponent] == controlplane.ComponentEtcd && w.etcd.corrupt() {
			next.Conditions[0].Status, next.ContainerStatuses[0].Ready = corev1.ConditionFalse, false
		}
		if pod.Labels[controlplane.LabelComponent] == controlplane.ComponentEtcd {
			next = w.withoutImage(pods.Items, pod, next)
		}
		if readyPod(pod.Status) == readyPod(next) && pod.Status.Phase == next.Phase && len(pod.Status.Conditions) == len(next.Conditions) {
			continue
		}
		if (pod.Name == controlplane.ProvePod || pod.Name == controlplane.RecoverPod) && next.Phase == corev1.PodSucceeded {
			next.ContainerStatuses[0].State.Terminated.Message = report
			w.mu.Lock()
			if pod.Spec.Containers[0].Args[0] == "look" {
				claim := pod.Spec.Volumes[len(pod.Spec.Volumes)-1].PersistentVolumeClaim.ClaimName
				next.ContainerStatuses[0].State.Terminated.Message = w.dataOf[claim]
			}
			w.mu.Unlock()
		}
		if pod.Name == controlplane.RestorePod {
			w.mu.Lock()
			w.restored[pod.Annotations[controlplane.AnnotationSnapshot]] = true
			w.mu.Unlock()
		}
		pod.Status = next
		_ = w.client.Status().Update(ctx, pod) // again in a moment if it failed
	}
}

// homeless says whether a pod's volume is on a node that is gone, or was.
func (w *world) homeless(ctx context.Context, pod *corev1.Pod) bool {
	w.mu.Lock()
	stranded := w.stranded
	w.mu.Unlock()
	if stranded == "" {
		return false
	}
	for _, volume := range pod.Spec.Volumes {
		if volume.PersistentVolumeClaim == nil {
			continue
		}
		var claim corev1.PersistentVolumeClaim
		if err := w.client.Get(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: volume.PersistentVolumeClaim.ClaimName}, &claim); apierrors.IsNotFound(err) || err == nil && claim.UID == stranded {
			return true
		}
	}
	return false
}

func hostedStatus(pod *corev1.Pod, sick bool) corev1.PodStatus {
	container := corev1.ContainerStatus{Name: pod.Spec.Containers[0].Name, Image: pod.Spec.Containers[0].Image}
	status := corev1.PodStatus{Phase: corev1.PodRunning}
	switch runsOnce := pod.Spec.RestartPolicy == corev1.RestartPolicyNever; {
	case runsOnce && sick:
		status.Phase = corev1.PodFailed
		container.State.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, Message: "no space"}
	case runsOnce:
		status.Phase = corev1.PodSucceeded
		container.State.Terminated = &corev1.ContainerStateTerminated{}
	case sick && pod.Labels[controlplane.LabelComponent] == controlplane.ComponentEtcd:
		container.RestartCount = 2
		container.State.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1}
	case sick:
		container.State.Running = &corev1.ContainerStateRunning{}
	default:
		container.State.Running, container.Ready = &corev1.ContainerStateRunning{}, true
		status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		status.PodIP = "192.0.2.1" // who asks there is answered by tenants
	}
	status.ContainerStatuses = []corev1.ContainerStatus{container}
	return status
}
