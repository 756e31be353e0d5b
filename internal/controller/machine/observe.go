package machine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/policy"
)

// defaultDrainTimeout is AKS's (D:upgrade-options), where ServicePolicy has none.
const defaultDrainTimeout = 30 * time.Minute

// scene is a machine and all that was observed of it.
type scene struct {
	object *v1beta1.Machine
	ref    machine.Ref
	// cluster is nil when it is gone.
	cluster *v1beta1.ManagedCluster
	seen    machine.Observation
	// tenant is nil when the API server does not answer, node when it has none.
	tenant client.Client
	node   *corev1.Node
	// leaving are the pods that must leave the node, and timeUp says that a drain had its time,
	// whether they have left or not, or would have had it.
	leaving   []corev1.Pod
	timeUp    bool
	situation Situation
	// repair is what is decided about the node's health; repairedBefore is what the
	// status said.
	repair         policy.RepairDecision
	repairPlan     policy.RepairPlan
	repairedBefore *v1beta1.MachineRepair
}

func (r *Reconciler) observe(ctx context.Context, object *v1beta1.Machine) (*scene, error) {
	s := &scene{
		object: object,
		ref:    machine.Ref{ClusterID: object.Spec.ClusterID, Name: object.Spec.NodeName},
	}
	var err error
	if s.cluster, err = r.cluster(ctx, object); err != nil {
		return nil, err
	}
	if s.seen, err = r.Provider.Observe(ctx, s.ref); err != nil {
		return nil, err
	}
	s.situation = Situation{
		Phase: object.Status.Phase, Intent: intent(object, s.cluster),
		Machine: s.seen.State, Node: NodeUnknown, Pods: PodsLeft,
	}
	if s.situation.Intent == Discard {
		return s, nil
	}
	r.observeNode(ctx, s)
	if object.Spec.Requested != nil && object.Spec.Requested.Action == v1beta1.InstanceDelete {
		// The IaaS view neither cordons nor drains.
		s.situation.Pods, s.timeUp = PodsTimeUp, true
		s.observePower()
		return s, nil
	}
	if intent := s.situation.Intent; intent == Drain || intent == Reimage {
		err := r.observePods(ctx, s)
		s.observePower()
		return s, err
	}
	return s, nil
}

// cluster is the Machine's cluster, or nil when it is gone, even if another one
// has its name by now.
func (r *Reconciler) cluster(ctx context.Context, object *v1beta1.Machine) (*v1beta1.ManagedCluster, error) {
	cluster := &v1beta1.ManagedCluster{}
	err := r.client.Get(ctx, client.ObjectKey{Namespace: object.Namespace, Name: object.Spec.Cluster}, cluster)
	if apierrors.IsNotFound(err) || err == nil && cluster.Spec.ID != object.Spec.ClusterID {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read cluster of machine %s: %w", object.Name, err)
	}
	return cluster, nil
}

func intent(object *v1beta1.Machine, cluster *v1beta1.ManagedCluster) Intent {
	switch {
	case cluster == nil || !cluster.DeletionTimestamp.IsZero():
		return Discard
	case !object.DeletionTimestamp.IsZero(), poweredOff(cluster):
		return Drain
	case object.Spec.KubernetesVersion != object.Status.KubernetesVersion,
		object.Spec.NodeImageVersion != object.Status.NodeImageVersion,
		object.Spec.UnmanagedOS != object.Status.UnmanagedOS:
		return Reimage
	case object.Status.Off != nil:
		return Off
	case replaces(underWay(object)):
		return Repair
	default:
		return Keep
	}
}

// observeNode leaves the node unknown when the tenant's API server does not
// answer: that is the other controllers' to mend, and theirs to report.
func (r *Reconciler) observeNode(ctx context.Context, s *scene) {
	if s.cluster.Status.APIServerReady == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, observeTimeout)
	defer cancel()
	tenant, err := r.Tenants.Client(ctx, s.ref.ClusterID)
	if err != nil {
		return
	}
	node := &corev1.Node{}
	err = tenant.Get(ctx, client.ObjectKey{Name: s.ref.Name}, node)
	switch {
	case apierrors.IsNotFound(err):
		s.tenant, s.situation.Node = tenant, NodeMissing
	case err == nil:
		s.tenant, s.node, s.situation.Node = tenant, node, nodeState(node, s.seen.Address, s.object.Status.KubernetesVersion)
	}
}

// nodeState takes a Node that shows another address, or another kubelet, for one
// that an earlier incarnation of the machine left behind.
func nodeState(node *corev1.Node, address, version string) NodeState {
	ready := slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
	other := slices.ContainsFunc(node.Status.Addresses, func(a corev1.NodeAddress) bool {
		return a.Type == corev1.NodeInternalIP && address != "" && a.Address != address
	})
	kubelet := node.Status.NodeInfo.KubeletVersion
	if kubelet != "" && version != "" && kubelet != "v"+version {
		other = true
	}
	if ready && !other {
		return NodeReady
	}
	return NodeNotReady
}

// observePods sees how far a drain has come. Pods count as gone only once no new
// ones can come.
func (r *Reconciler) observePods(ctx context.Context, s *scene) error {
	timeout, err := r.drainTimeout(ctx, s)
	if err != nil {
		return err
	}
	began := s.object.Status.DrainStarted
	if began != nil && r.Now().Sub(began.Time) >= timeout {
		s.situation.Pods = PodsTimeUp
	}
	if began == nil { // one that has failed, or never joined, is not drained
		began = s.object.DeletionTimestamp
	}
	s.timeUp = began != nil && r.Now().Sub(began.Time) >= timeout
	if s.node == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, observeTimeout)
	defer cancel()
	var pods corev1.PodList
	if err := s.tenant.List(ctx, &pods, client.MatchingFields{"spec.nodeName": s.ref.Name}); err != nil {
		s.situation.Node = NodeUnknown
		return nil
	}
	s.leaving = withoutManaged(s.cluster, leaving(pods.Items, r.Now()))
	switch {
	case len(s.leaving) == 0 && s.node.Spec.Unschedulable:
		s.situation.Pods = soaked(s.object, r.Now())
	case s.situation.Pods == PodsTimeUp && s.object.Spec.ForceDrain:
		// What is left was deleted and does not end; force does not wait for it.
		s.situation.Pods = soaked(s.object, r.Now())
	}
	return nil
}

// soaked says whether a drained machine has waited as long as its pool wants.
func soaked(object *v1beta1.Machine, now time.Time) PodState {
	soak, ended := object.Spec.Soak, object.Status.DrainEnded
	if soak == nil || soak.Duration == 0 || ended != nil && now.Sub(ended.Time) >= soak.Duration {
		return PodsGone
	}
	return PodsSoak
}

// drainTimeout is the pool's for what an upgrade drains, and the service policy's
// for what goes for good.
func (r *Reconciler) drainTimeout(ctx context.Context, s *scene) (time.Duration, error) {
	if own := s.object.Spec.DrainTimeout; own != nil && (s.situation.Intent == Reimage || s.object.Spec.Surge) {
		return own.Duration, nil
	}
	found, err := r.servicePolicy(ctx)
	if err != nil {
		return 0, err
	}
	if found.Spec.DrainTimeout == nil {
		return defaultDrainTimeout, nil
	}
	return found.Spec.DrainTimeout.Duration, nil
}

// errNoTenant says that a step needs an API server that does not answer.
var errNoTenant = errors.New("the cluster's API server does not answer")
