package cluster

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
)

const (
	// defaultUpgradeTimeout is ServicePolicy.spec.upgradeTimeout when nothing is set.
	defaultUpgradeTimeout = 10 * time.Minute
	// switchDelay is how long clients get to hear that another API server answers
	// before theirs ends: the time in which every node's proxy knows it. The times of
	// phases are whole seconds, which takes up to one off.
	switchDelay = 2 * time.Second
	// upgradeAgain is how soon a control plane is looked at again that changes.
	upgradeAgain = 250 * time.Millisecond
)

// codeUpgradeFailed is the error of an upgrade that did not succeed.
const codeUpgradeFailed = "UpgradeFailed"

// upgrade decides on the way from the version that runs to the wanted one, writes
// the decision down, and says what is to stand until the next pass.
func (r *reconciler) upgrade(ctx context.Context, p *pass, wanted release.Release) (bool, error) {
	status := &p.cluster.Status
	if !status.Upgrade.UnderWay() {
		begins, err := r.beginUpgrade(ctx, p, wanted)
		if err != nil || !begins {
			return p.found.broken == nil || p.release.Version != "", err
		}
	}
	from, known := r.Catalogue.Release(status.Upgrade.From)
	to, target := r.Catalogue.Release(status.Upgrade.To)
	if !target || !known && status.Upgrade.Phase != v1beta1.UpgradeComponents {
		p.found.broken = &v1beta1.OperationError{Code: codeUpgradeFailed, Message: fmt.Sprintf(
			"Kubernetes %s or %s has left the release catalogue while the control plane is between the two; add it again", status.Upgrade.From, status.Upgrade.To)}
		return false, nil
	}
	pods, err := r.podsOf(ctx, p.cluster)
	if err != nil {
		return false, err
	}
	world, err := r.lookAtUpgrade(ctx, p, pods, wanted, to)
	if err != nil {
		return false, err
	}
	if err := r.holdUpgrade(ctx, p, world); err != nil {
		return false, err
	}
	if phase, why := nextPhase(status.Upgrade.Phase, world); phase != status.Upgrade.Phase && !status.Recovery.UnderWay() {
		detail := pods.complaint(status.Upgrade.Phase)
		if phase == v1beta1.UpgradeIncomplete {
			detail = keptOutBy(p.cluster)
		}
		if err := r.persist(ctx, p, advance(status.Upgrade, phase, why, detail, p.now)); err != nil {
			return false, err
		}
	}
	if err := r.tellRefusal(ctx, p); err != nil {
		return false, err
	}
	r.shape(p, from, to, pods)
	return true, nil
}

// tellRefusal has the upgrade say what keeps its components out of the cluster while
// they are brought.
func (r *reconciler) tellRefusal(ctx context.Context, p *pass) error {
	up, said := p.cluster.Status.Upgrade, keptOutBy(p.cluster)
	if up.Phase != v1beta1.UpgradeComponents || up.Message == said {
		return nil
	}
	next := up.DeepCopy()
	next.Message = said
	return r.persist(ctx, p, next)
}

// beginUpgrade settles what runs when nothing changes, or writes down that an
// upgrade begins.
func (r *reconciler) beginUpgrade(ctx context.Context, p *pass, wanted release.Release) (bool, error) {
	current := p.cluster.Status.CurrentKubernetesVersion
	running, ok := r.Catalogue.Release(current)
	if ok && incomplete(p.cluster) {
		p.release = running
		return r.resumeUpgrade(ctx, p)
	}
	if current == "" || wanted.Version == current {
		p.release = wanted
		return false, nil
	}
	p.release = running
	// A control plane that is stopped, or has not come up yet, has nothing to save.
	up := p.cluster.Status.APIServerReady != nil && p.cluster.Spec.PowerState.Wanted() == v1beta1.PowerRunning
	switch {
	case !ok:
		p.found.broken = &v1beta1.OperationError{Code: codeUpgradeFailed, Target: "kubernetesVersion", Message: fmt.Sprintf(
			"Kubernetes %s, which runs, could not be put back: %v", current, release.Unknown(current))}
		return false, nil
	case release.Compare(wanted.Version, current) < 0:
		p.found.broken = &v1beta1.OperationError{Code: "OperationNotAllowed", Target: "kubernetesVersion", Message: fmt.Sprintf(
			"Downgrading Kubernetes version %s to %s is not allowed.", current, wanted.Version)}
		return false, nil
	case !up, !policy.ReplicasAtRest(p.cluster.Status.Replicas.At(), p.cluster.Spec.SKU.HighlyAvailable()):
		return false, nil
	case tried(p.cluster, wanted.Version):
		p.found.broken = &v1beta1.OperationError{Code: codeUpgradeFailed, Target: "kubernetesVersion", Message: p.cluster.Status.Upgrade.Message}
		return false, nil
	}
	return true, r.persist(ctx, p, newUpgrade(p.cluster, wanted.Version, p.now))
}

// resumeUpgrade goes on with an upgrade whose components were not let in, if somebody
// asks once more. It has succeeded when they are in.
func (r *reconciler) resumeUpgrade(ctx context.Context, p *pass) (bool, error) {
	up := p.cluster.Status.Upgrade
	phase, _ := nextPhase(up.Phase, upgradeWorld{applied: componentsIn(p.cluster, up.To)})
	switch {
	case phase != up.Phase:
		p.lookIn(upgradeAgain)
		return false, r.persist(ctx, p, advance(up, phase, "", "", p.now))
	case tried(p.cluster, up.To):
		p.found.broken = &v1beta1.OperationError{Code: codeUpgradeFailed, Target: "kubernetesVersion", Message: up.Message}
		return false, nil
	case p.cluster.Status.APIServerReady == nil || p.cluster.Spec.PowerState.Wanted() != v1beta1.PowerRunning:
		return false, nil
	}
	return true, r.persist(ctx, p, resumed(p.cluster, p.now))
}

// persist writes down a phase before anything is done for it. The version that
// runs changes with the phase that says so.
func (r *reconciler) persist(ctx context.Context, p *pass, up *v1beta1.ControlPlaneUpgrade) error {
	next := ownPart(p.cluster.Status)
	next.Upgrade = up
	switch {
	case up.Phase == v1beta1.UpgradeSucceeded || up.Phase == v1beta1.UpgradeIncomplete:
		next.CurrentKubernetesVersion = up.To
	case up.UnderWay():
		next.ProvisioningState = v1beta1.StateUpgrading
	}
	if err := r.applyStatus(ctx, p.cluster, next); err != nil {
		return err
	}
	if !up.UnderWay() {
		r.etcds.forget(p.cluster.UID)
	}
	p.cluster.Status.Upgrade = up
	p.cluster.Status.CurrentKubernetesVersion, p.cluster.Status.ProvisioningState = next.CurrentKubernetesVersion, next.ProvisioningState
	return nil
}

// shape turns the phase into what is rendered.
func (r *reconciler) shape(p *pass, from, to release.Release, pods upgradePods) {
	up := p.cluster.Status.Upgrade
	shape := upgradeShapes[up.Phase]
	p.release = from
	if shape.target {
		p.release = to
	}
	left := switchDelay - p.now.Sub(up.PhaseSince.Time)
	if shape.trialServes && (left > 0 || !pods.trialServes) && !pods.replaced(to.KubeImage) {
		p.release = from
		p.lookIn(max(left, upgradeAgain))
	}
	p.upgrade = shape
	if up.UnderWay() || up.Phase == v1beta1.UpgradeSucceeded && up.To != p.goal.Version {
		p.found.upgrading = true
		p.lookIn(upgradeAgain)
	} else if tried(p.cluster, up.To) {
		p.found.broken = &v1beta1.OperationError{Code: codeUpgradeFailed, Target: "kubernetesVersion", Message: up.Message}
	}
	p.input = r.render(p)
	p.shapeReplicas()
	if shape.trial {
		p.input.Trial, p.input.TrialServes = to.KubeImage, shape.trialServes
	}
	p.input.Stopped = shape.restore && !pods.ended(controlplane.RestorePod, up.Snapshot)
}

// lookAtUpgrade gathers what the phase's rules ask about.
func (r *reconciler) lookAtUpgrade(ctx context.Context, p *pass, pods upgradePods, wanted, to release.Release) (upgradeWorld, error) {
	service, err := r.servicePolicy(ctx)
	if err != nil {
		return upgradeWorld{}, err
	}
	timeout := defaultUpgradeTimeout
	if service.UpgradeTimeout != nil {
		timeout = service.UpgradeTimeout.Duration
	}
	up := p.cluster.Status.Upgrade
	w := upgradeWorld{
		unwanted: wanted.Version == up.From,
		late:     p.now.Sub(up.PhaseSince.Time) >= timeout,
		tried:    pods.started(),
		unsaved:  up.Snapshot == "",
	}
	switch up.Phase {
	case v1beta1.UpgradeSnapshot:
		w.saved, w.saveFailed = pods.ended(controlplane.SnapshotPod, up.Snapshot), pods.failed(controlplane.SnapshotPod, up.Snapshot)
	case v1beta1.UpgradeTrial:
		w.trialReady = pods.ready(controlplane.TrialPod, to.KubeImage)
	case v1beta1.UpgradeRollOut, v1beta1.UpgradeComponents:
		w.newRuns = r.runs(ctx, p, pods, up.To)
		w.applied, w.refused = w.newRuns && componentsIn(p.cluster, up.To), keptOutBy(p.cluster) != ""
	case v1beta1.UpgradeRollBack, v1beta1.UpgradeRestore:
		w.oldRuns = r.runs(ctx, p, pods, up.From)
		if up.Phase == v1beta1.UpgradeRollBack && !w.oldRuns && (w.late || p.now.Sub(up.PhaseSince.Time) >= holdEvery) {
			w.etcdIll = r.etcdIllNow(ctx, p, deadAgain(w))
		}
	}
	return w, nil
}

// runs says whether the control plane's own pod is of the version and ready, and
// the address that clients dial answers with that version.
func (r *reconciler) runs(ctx context.Context, p *pass, pods upgradePods, version string) bool {
	wanted, ok := r.Catalogue.Release(version)
	if !ok || !pods.replaced(wanted.KubeImage) || pods.kube.Status.ReadyReplicas < 1 {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if r.Tenants.Ready(ctx, p.cluster.Spec.ID) != nil {
		return false
	}
	answered, err := r.Tenants.Version(ctx, p.cluster.Spec.ID)
	return err == nil && answered == version
}

// componentsIn says whether a version's components are in the cluster.
func componentsIn(cluster *v1beta1.ManagedCluster, version string) bool {
	return cluster.Status.AddonsVersion == version && addonsApplied(cluster)
}

// keptOutBy names the first managed object that could not be brought when they were last
// brought, and who refused it; empty if all were.
func keptOutBy(cluster *v1beta1.ManagedCluster) string {
	condition := meta.FindStatusCondition(cluster.Status.Conditions, v1beta1.ConditionAddonsApplied)
	if condition == nil || condition.Status != metav1.ConditionFalse {
		return ""
	}
	first, _, more := strings.Cut(condition.Message, "\n")
	if more {
		first += ", and others"
	}
	return first
}

func addonsApplied(cluster *v1beta1.ManagedCluster) bool {
	condition := meta.FindStatusCondition(cluster.Status.Conditions, v1beta1.ConditionAddonsApplied)
	return condition != nil && condition.Status == metav1.ConditionTrue && condition.ObservedGeneration == cluster.Generation
}

// podsOf reads, past every cache, what an upgrade is decided on.
func (r *reconciler) podsOf(ctx context.Context, cluster *v1beta1.ManagedCluster) (upgradePods, error) {
	seen := upgradePods{pods: map[string]*corev1.Pod{}}
	namespace := namespaceOf(cluster)
	var list corev1.PodList
	if err := r.reader.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return seen, fmt.Errorf("list pods: %w", err)
	}
	for i := range list.Items {
		pod := &list.Items[i]
		switch pod.Labels[controlplane.LabelComponent] {
		case controlplane.ComponentKube, controlplane.ComponentEtcd:
			seen.own = append(seen.own, pod)
		default:
			seen.pods[pod.Name] = pod
		}
	}
	var deployment appsv1.Deployment
	err := r.reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: controlplane.KubeDeployment}, &deployment)
	if client.IgnoreNotFound(err) != nil {
		return seen, fmt.Errorf("read deployment: %w", err)
	}
	seen.kube = deployment
	var service corev1.Service
	err = r.reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: controlplane.APIServerService}, &service)
	if client.IgnoreNotFound(err) != nil {
		return seen, fmt.Errorf("read service: %w", err)
	}
	seen.trialServes = service.Spec.Selector[controlplane.LabelComponent] == controlplane.TrialPod
	return seen, nil
}
