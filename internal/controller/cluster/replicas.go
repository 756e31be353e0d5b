package cluster

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

// enoughReplicas is how many of three API servers have to answer before clients are
// sent there.
const enoughReplicas = 2

// beginReplicas writes down that a new control plane is highly available from the start:
// nothing of it is there yet that would have to grow.
func (r *reconciler) beginReplicas(ctx context.Context, p *pass) error {
	status := &p.cluster.Status
	if status.Replicas != nil || status.Initialized || status.ControlPlaneAddress != "" || !p.cluster.Spec.SKU.HighlyAvailable() {
		return nil
	}
	return r.persistReplicas(ctx, p, &v1beta1.ControlPlaneReplicas{
		Phase: v1beta1.ReplicasThree, PhaseSince: metav1.NewTime(p.now), Members: policy.HighlyAvailableMembers,
	})
}

// shapeReplicas renders what the phase asks for.
func (p *pass) shapeReplicas() {
	now := p.cluster.Status.Replicas
	shape := policy.ReplicasShapeOf(now.At())
	p.input.Members, p.input.Replicated, p.input.Recreate = 0, shape.Replicated, shape.Recreate
	if shape.Addressed {
		p.input.Members = max(now.Members, 1)
	}
	if shape.Trial {
		p.input.Trial, p.input.TrialServes = p.input.Images.Kube, shape.TrialServes
	}
}

// replicas takes the control plane from one replica to three or back (A3), and keeps
// three members of etcd where there are three. A version that changes goes first, but
// before what etcd cannot be read for.
func (r *reconciler) replicas(ctx context.Context, p *pass) (bool, error) {
	now, wanted := p.cluster.Status.Replicas, p.cluster.Spec.SKU.HighlyAvailable()
	phase := now.At()
	p.found.moving = !policy.ReplicasAtRest(phase, wanted)
	if phase == v1beta1.ReplicasSingle && !wanted {
		return true, nil
	}
	p.found.replicas = &redundancy{reason: "Changing", message: "the number of the control plane's replicas is changing"}
	if !p.cluster.Status.Initialized || p.input.Stopped || p.found.recovering {
		return true, nil
	}
	if p.found.upgrading {
		return true, r.healInUpgrade(ctx, p)
	}
	if phase == v1beta1.ReplicasSingle {
		return true, r.enterReplicas(ctx, p, v1beta1.ReplicasAddress)
	}
	seen, err := r.seeReplicas(ctx, p)
	if err != nil {
		return false, err
	}
	p.found.replicas.judge(p, seen)
	p.holdReplicas(seen)
	if !p.found.moving && seen.full() && now.Replacing == nil {
		r.looks.forget(p.cluster.UID) // no member is ready while an alarm is raised
		return true, nil
	}
	settled, err := r.members(ctx, p, seen)
	if err != nil {
		return false, err
	}
	if p.found.moving {
		p.lookIn(upgradeAgain)
	}
	next := policy.NextReplicas(phase, policy.ReplicasWorld{
		HighlyAvailable: wanted, Settled: settled,
		TrialReady: seen.pods.ready(controlplane.TrialPod, p.input.Images.Kube), Runs: seen.runs(policy.ReplicasShapeOf(phase)),
	})
	if next == phase {
		return true, nil
	}
	return true, r.enterReplicas(ctx, p, next)
}

// enterReplicas writes the next phase down. It is rendered from the next pass on, but for
// the last: what that phase has no use for is gone by then, and must not come again.
func (r *reconciler) enterReplicas(ctx context.Context, p *pass, phase v1beta1.ReplicasPhase) error {
	next := &v1beta1.ControlPlaneReplicas{}
	if p.cluster.Status.Replicas != nil {
		next = p.cluster.Status.Replicas.DeepCopy()
	}
	if phase == v1beta1.ReplicasSingle {
		for _, object := range controlplane.Leftovers(p.input) {
			if err := r.client.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("delete %s: %w", object.GetName(), err)
			}
		}
		r.applier.Forget(p.input.ID)
		next.Members = 0
	} else {
		next.Members = max(next.Members, 1)
	}
	next.Phase, next.PhaseSince = phase, metav1.NewTime(p.now)
	if err := r.persistReplicas(ctx, p, next); err != nil {
		return err
	}
	if phase == v1beta1.ReplicasSingle {
		p.shapeReplicas()
	}
	p.lookIn(atOnce)
	return nil
}

// holdReplicas leaves the pods that serve clients until those are sent to the trial.
func (p *pass) holdReplicas(seen seenReplicas) {
	now := p.cluster.Status.Replicas
	shape := policy.ReplicasShapeOf(now.At())
	p.upgrade.trial = shape.Trial
	left := switchDelay - p.now.Sub(now.PhaseSince.Time)
	if shape.TrialServes && (left > 0 || !seen.pods.trialServes) && !seen.has(shape) {
		p.input.Replicated = !shape.Replicated
		p.lookIn(max(left, upgradeAgain))
	}
}

// trialInput is the input of the API server beside the control plane.
func (p *pass) trialInput() controlplane.Input {
	in := p.input
	if shape := policy.ReplicasShapeOf(p.cluster.Status.Replicas.At()); shape.Trial {
		in.Replicated = shape.TrialReplicated
	}
	return in
}

func (r *reconciler) persistReplicas(ctx context.Context, p *pass, replicas *v1beta1.ControlPlaneReplicas) error {
	next := ownPart(p.cluster.Status)
	next.Replicas = replicas
	if err := r.applyStatus(ctx, p.cluster, next); err != nil {
		return err
	}
	p.cluster.Status.Replicas = replicas
	return nil
}

// seenReplicas is what is there of a control plane with several replicas.
type seenReplicas struct {
	pods upgradePods
	etcd appsv1.StatefulSet
}

func (r *reconciler) seeReplicas(ctx context.Context, p *pass) (seenReplicas, error) {
	pods, err := r.podsOf(ctx, p.cluster)
	seen := seenReplicas{pods: pods}
	if err != nil {
		return seen, err
	}
	key := client.ObjectKey{Namespace: namespaceOf(p.cluster), Name: controlplane.EtcdStatefulSet}
	if err := r.reader.Get(ctx, key, &seen.etcd); client.IgnoreNotFound(err) != nil {
		return seen, fmt.Errorf("read etcd's StatefulSet: %w", err)
	}
	return seen, nil
}

// full: every replica is ready.
func (s seenReplicas) full() bool {
	return s.etcdReady(policy.HighlyAvailableMembers) && s.pods.kube.Status.ReadyReplicas >= controlplane.Replicas
}

// etcdReady: etcd has so many pods, all as rendered and ready. A member without a vote is not.
func (s seenReplicas) etcdReady(members int32) bool {
	status := s.etcd.Status
	return s.etcd.Spec.Replicas != nil && *s.etcd.Spec.Replicas == members && status.ObservedGeneration >= s.etcd.Generation &&
		status.Replicas == members && status.ReadyReplicas == members && status.UpdatedReplicas == members && s.addressed()
}

// addressed: etcd's pods listen to other members.
func (s seenReplicas) addressed() bool {
	for _, container := range s.etcd.Spec.Template.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == "peer" {
				return true
			}
		}
	}
	return false
}

// has: the Deployment is of the shape's kind.
func (s seenReplicas) has(shape policy.ReplicasShape) bool {
	wanted := int32(1)
	if shape.Replicated {
		wanted = controlplane.Replicas
	}
	return s.pods.kube.Spec.Replicas != nil && *s.pods.kube.Spec.Replicas == wanted
}

// runs: only pods of that kind are left, and enough of them are ready.
func (s seenReplicas) runs(shape policy.ReplicasShape) bool {
	enough := int32(1)
	if shape.Replicated {
		enough = enoughReplicas
	}
	return s.has(shape) && allUpdated(&s.pods.kube) && s.pods.kube.Status.ReadyReplicas >= enough
}

// redundancy is what the condition HighlyAvailable says.
type redundancy struct {
	ok              bool
	reason, message string
}

// judge looks at a control plane that is to have three replicas.
func (d *redundancy) judge(p *pass, seen seenReplicas) {
	members, servers := seen.etcd.Status.ReadyReplicas, seen.pods.kube.Status.ReadyReplicas
	switch {
	case p.found.moving:
	case seen.full():
		*d = redundancy{ok: true, reason: "Redundant"}
	case members < policy.HighlyAvailableMembers/2+1:
		*d = redundancy{reason: "MajorityLost", message: fmt.Sprintf("%d of %d members of etcd are ready, which is no majority", members, policy.HighlyAvailableMembers)}
	default:
		*d = redundancy{reason: "ReplicaAway", message: fmt.Sprintf("%d of %d members of etcd and %d of %d API servers are ready",
			members, policy.HighlyAvailableMembers, servers, controlplane.Replicas)}
	}
}

// tell sets the condition HighlyAvailable; a control plane of one replica has none.
func (d *redundancy) tell(status *v1beta1.ManagedClusterStatus, p *pass, set func(kind string, ok bool, reason, message string)) {
	switch {
	case p.input.Stopped && p.found.stop:
	case d != nil:
		set(v1beta1.ConditionHighlyAvailable, d.ok, d.reason, d.message)
	default:
		meta.RemoveStatusCondition(&status.Conditions, v1beta1.ConditionHighlyAvailable)
	}
}

// claimOf reads the claim for a member's volume; nil if there is none.
func (r *reconciler) claimOf(ctx context.Context, p *pass, ordinal int32) (*corev1.PersistentVolumeClaim, error) {
	var list corev1.PersistentVolumeClaimList
	if err := r.reader.List(ctx, &list, client.InNamespace(namespaceOf(p.cluster))); err != nil {
		return nil, fmt.Errorf("list claims: %w", err)
	}
	for i := range list.Items {
		if list.Items[i].Name == controlplane.MemberClaim(ordinal) {
			return &list.Items[i], nil
		}
	}
	return nil, nil
}

// dropClaims deletes the volumes of all members but some, and says whether they are gone:
// what is left of removed members' data must never come up as members again.
func (r *reconciler) dropClaims(ctx context.Context, p *pass, keep func(ordinal int32) bool) (bool, error) {
	gone := true
	for ordinal := range int32(controlplane.Replicas) {
		if keep(ordinal) {
			continue
		}
		claim, err := r.claimOf(ctx, p, ordinal)
		if err != nil {
			return false, err
		}
		if claim == nil {
			continue
		}
		gone = false
		if !claim.DeletionTimestamp.IsZero() {
			continue
		}
		if err := r.client.Delete(ctx, claim, client.Preconditions{UID: &claim.UID}); client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("delete claim %s: %w", claim.Name, err)
		}
	}
	return gone, nil
}
