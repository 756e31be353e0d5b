package test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/etcd"
)

// hostedEtcd plays the membership of a hosted etcd, whose members are the pods that run.
// A member that was added has come up when its pod is not the one from before.
type hostedEtcd struct {
	w *world

	mu      sync.Mutex
	next    uint64
	members []etcd.Member
	// before are the pods that were there when members were added.
	before map[string]types.UID
	// mute is the pod that does not answer; empty is none.
	mute types.UID
	// changes are those that were made.
	changes []string
	storage
}

func (h *hostedEtcd) pods(ctx context.Context) (map[string]types.UID, error) {
	var list corev1.PodList
	err := h.w.client.List(ctx, &list, client.InNamespace(v1beta1.ControlPlaneNamespace(clusterID)), client.MatchingLabels{controlplane.LabelComponent: controlplane.ComponentEtcd})
	ready := map[string]types.UID{}
	for _, pod := range list.Items {
		if pod.Status.Phase == corev1.PodRunning && len(pod.Status.Conditions) > 0 && pod.DeletionTimestamp.IsZero() {
			ready[pod.Name] = pod.UID
		}
	}
	return ready, err
}

// List implements cluster.Members.
func (h *hostedEtcd) List(ctx context.Context, _ etcd.Target) ([]etcd.Member, error) {
	pods, err := h.pods(ctx)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.members) == 0 {
		h.begin(pods)
	}
	well, leads := 0, false
	for i := range h.members {
		m := &h.members[i]
		name := h.name(*m)
		uid, runs := pods[name]
		runs = runs && uid != h.mute
		if m.Name == "" && runs && uid != h.before[name] {
			m.Name = name
		}
		m.Healthy = runs && m.Name != ""
		m.Leader = m.Leader && m.Healthy
		leads = leads || m.Leader
		if m.Healthy && !m.Learner {
			well++
		}
	}
	if 2*well <= len(h.members)-h.learners() {
		return nil, etcd.ErrNoLeader
	}
	for i := range h.members {
		if m := &h.members[i]; !leads && m.Healthy && !m.Learner {
			m.Leader, leads = true, true
		}
	}
	return slices.Clone(h.members), nil
}

// begin is what an etcd makes of its first start: one member, or as many as there are.
func (h *hostedEtcd) begin(pods map[string]types.UID) {
	var set appsv1.StatefulSet
	key := client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(clusterID), Name: controlplane.EtcdStatefulSet}
	if err := h.w.client.Get(context.Background(), key, &set); err != nil || len(pods) == 0 {
		return
	}
	for ordinal := range *set.Spec.Replicas {
		h.next++
		peer := controlplane.MemberPeer(ordinal)
		if *set.Spec.Replicas == 1 {
			peer = controlplane.SinglePeer
		}
		h.members = append(h.members, etcd.Member{ID: h.next, Name: controlplane.MemberName(ordinal), Peer: peer})
	}
}

func (h *hostedEtcd) name(m etcd.Member) string {
	ordinal, _ := controlplane.MemberOf(m.Peer)
	return controlplane.MemberName(ordinal)
}

func (h *hostedEtcd) learners() (n int) {
	for _, m := range h.members {
		if m.Learner {
			n++
		}
	}
	return n
}

// Do implements cluster.Members.
func (h *hostedEtcd) Do(ctx context.Context, _ etcd.Target, change etcd.Change) error {
	pods, err := h.pods(ctx)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes = append(h.changes, string(change.Action))
	if change.Action == etcd.Disarm {
		h.alarmed = nil
		return nil
	}
	at := slices.IndexFunc(h.members, func(m etcd.Member) bool { return m.ID == change.ID })
	switch change.Action {
	case etcd.AddVoter, etcd.AddLearner:
		if slices.ContainsFunc(h.members, func(m etcd.Member) bool { return m.Peer == change.Peer }) {
			return fmt.Errorf("there is a member at %s", change.Peer)
		}
		h.next++
		made := etcd.Member{ID: h.next, Peer: change.Peer, Learner: change.Action == etcd.AddLearner}
		h.before[h.name(made)] = pods[h.name(made)]
		h.members = append(h.members, made)
		return nil
	}
	if at < 0 {
		return fmt.Errorf("no member %x", change.ID)
	}
	switch change.Action {
	case etcd.Promote:
		h.members[at].Learner = false
	case etcd.Remove:
		h.members = slices.Delete(h.members, at, at+1)
	case etcd.Update:
		h.members[at].Peer = change.Peer
	case etcd.MoveLeader:
		for i := range h.members {
			h.members[i].Leader = i == at
		}
	}
	return nil
}

// members is the etcd as a process sees it that may be killed.
type members struct {
	*hostedEtcd
	guard *guard
}

// Do implements cluster.Members.
func (m members) Do(ctx context.Context, target etcd.Target, change etcd.Change) error {
	version := func() string { return fmt.Sprint(len(m.made())) }
	return m.guard.do("etcd: "+string(change.Action), version, func() error { return m.hostedEtcd.Do(ctx, target, change) })
}

func (h *hostedEtcd) made() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.changes)
}

// changesTier is the life of a cluster that gets three replicas and gives them up again.
func changesTier(w *world) {
	w.t.Helper()
	w.create()
	w.tier("op-standard", v1beta1.TierStandard)
	w.checkReplicas(3)
	w.tier("op-free", v1beta1.TierFree)
	w.checkReplicas(1)
	w.delete()
	w.checkGone()
}

func (w *world) tier(name, tier string) {
	w.t.Helper()
	cluster, pool := w.cluster(), w.pool()
	cluster.Spec.SKU = &v1beta1.SKU{Name: "Base", Tier: tier}
	w.request(&v1beta1.Operation{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1beta1.OperationSpec{
			Type: v1beta1.OperationPut, State: v1beta1.StateUpdating,
			Target:  v1beta1.OperationTarget{Kind: v1beta1.TargetManagedCluster, Name: w.clusterName(), ResourceID: "/demo"},
			Desired: &v1beta1.DesiredState{Cluster: &cluster.Spec, AgentPools: []v1beta1.AgentPoolSpec{pool.Spec}},
		},
	})
	w.succeed(name)
}

// checkReplicas looks at a control plane that has come to rest with so many replicas.
func (w *world) checkReplicas(want int32) {
	w.t.Helper()
	kube, status := w.kubeDeployment(), w.cluster().Status
	strategy, members, extra := appsv1.RecreateDeploymentStrategyType, want, 0
	if want > 1 {
		strategy, extra = appsv1.RollingUpdateDeploymentStrategyType, 1
	}
	if *kube.Spec.Replicas != want || kube.Spec.Strategy.Type != strategy || w.etcdReplicas() != members {
		w.t.Errorf("%d API servers by %s, %d members of etcd, want %d by %s", *kube.Spec.Replicas, kube.Spec.Strategy.Type, w.etcdReplicas(), want, strategy)
	}
	elects := strings.Contains(strings.Join(kube.Spec.Template.Spec.Containers[0].Args, " "), "--leader-elect=true")
	if elects != (want > 1) {
		w.t.Errorf("%d controller-managers elect a leader: %v", want, elects)
	}
	namespace := v1beta1.ControlPlaneNamespace(clusterID)
	for what, c := range map[string]struct {
		list client.ObjectList
		want int
	}{
		"services": {&corev1.ServiceList{}, 2 + 3*extra}, "claims": {&corev1.PersistentVolumeClaimList{}, int(want)},
		"budgets": {&policyv1.PodDisruptionBudgetList{}, 2 * extra}, "secrets": {&corev1.SecretList{}, 9 + extra},
	} {
		if got := w.count(c.list, namespace); got != c.want {
			w.t.Errorf("a control plane of %d replicas has %d %s, want %d", want, got, what, c.want)
		}
	}
	if want > 1 {
		w.eventually("it is highly available", func() bool {
			return meta.IsStatusConditionTrue(w.cluster().Status.Conditions, v1beta1.ConditionHighlyAvailable)
		})
	} else if c := meta.FindStatusCondition(status.Conditions, v1beta1.ConditionHighlyAvailable); c != nil {
		w.t.Errorf("a single control plane has the condition %+v", c)
	}
	w.eventuallyGone(&corev1.Pod{}, client.ObjectKey{Namespace: namespace, Name: controlplane.TrialPod})
}

// A cluster of tier Standard has three of everything from the start; a member of etcd
// that lost its data is made anew on an empty volume, and the others are left alone.
func TestStandardClusterReplacesAMember(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	op := w.createOperation("op-create")
	op.Spec.Desired.Cluster.SKU = &v1beta1.SKU{Name: "Base", Tier: v1beta1.TierStandard}
	w.request(op)
	w.succeed("op-create")
	w.checkReplicas(3)
	if changes := w.etcd.made(); len(changes) > 0 {
		t.Errorf("a new control plane's members are changed: %v", changes)
	}
	w.replaces(1, func() { w.fallOnce("etcd-1") })
	w.replaces(2, func() { w.strandMember(2) })
	w.delete()
	w.checkGone()
}

// fallOnce makes the pod of a name sick, and none that takes its place.
func (w *world) fallOnce(name string) {
	var uid types.UID
	w.fall(func(pod *corev1.Pod) bool {
		if pod.Name == name && uid == "" {
			uid = pod.UID
		}
		return pod.UID == uid
	})
}

// replaces loses a member of etcd and sees it made anew, and the others left alone.
func (w *world) replaces(ordinal int32, lose func()) {
	w.t.Helper()
	before, changes := w.volumes(), len(w.etcd.made())
	lose()
	w.eventually(fmt.Sprintf("%s is made anew", controlplane.MemberName(ordinal)), func() bool {
		return slices.Equal(w.etcd.made()[changes:], []string{string(etcd.Remove), string(etcd.AddVoter)}) && w.cluster().Status.Replicas.Replacing == nil
	})
	w.checkWhole()
	after := w.volumes()
	for name, uid := range before {
		if changed := after[name] != uid; changed != (name == controlplane.MemberClaim(ordinal)) {
			w.t.Errorf("claim %s was %s and is %s", name, uid, after[name])
		}
	}
}

// strandMember has a member's data on a node that the management cluster has no more: no
// node is found for its pod.
func (w *world) strandMember(ordinal int32) {
	w.t.Helper()
	volume := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "stranded"},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/volumes/stranded"}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{"gone"}}},
			}}}},
		},
	}
	w.ensure(volume)
	w.t.Cleanup(func() { _ = w.client.Delete(context.Background(), volume) })
	var claim corev1.PersistentVolumeClaim
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(clusterID), Name: controlplane.MemberClaim(ordinal)}, &claim); err != nil {
		w.t.Fatal(err)
	}
	before := claim.DeepCopy()
	claim.Spec.VolumeName = volume.Name
	if err := w.client.Patch(w.t.Context(), &claim, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.stranded = claim.UID
	w.mu.Unlock()
}

// volumes are the claims of a control plane.
func (w *world) volumes() map[string]types.UID {
	w.t.Helper()
	var list corev1.PersistentVolumeClaimList
	if err := w.client.List(w.t.Context(), &list, client.InNamespace(v1beta1.ControlPlaneNamespace(clusterID))); err != nil {
		w.t.Fatal(err)
	}
	found := map[string]types.UID{}
	for _, claim := range list.Items {
		found[claim.Name] = claim.UID
	}
	return maps.Clone(found)
}

// A tier is changed and changed back; nothing is left of it.
func TestTierChangesAndBack(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	changesTier(w)
}
