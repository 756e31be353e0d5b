package machine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

const newerImage = "BerthDebian-12containerd-202602.01.0"

// respec changes a machine as the pool controller does.
func (w *world) respec(m *v1beta1.Machine, change func(*v1beta1.MachineSpec)) {
	w.Helper()
	w.until("the machine is changed", func(ctx context.Context) bool {
		w.must(w.client.Get(ctx, client.ObjectKeyFromObject(m), m))
		change(&m.Spec)
		return w.client.Update(ctx, m) == nil
	})
}

func (w *world) node(m *v1beta1.Machine) *corev1.Node {
	w.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: m.Spec.NodeName}}
	w.must(w.client.Get(w.Context(), client.ObjectKeyFromObject(node), node))
	return node
}

// reason waits for an event on the node.
func (w *world) untilEvent(m *v1beta1.Machine, kind, reason, part string) {
	w.Helper()
	w.until("an event "+reason+" with "+part, func(ctx context.Context) bool {
		var events corev1.EventList
		w.must(w.client.List(ctx, &events, client.InNamespace(metav1.NamespaceDefault)))
		for _, e := range events.Items {
			if e.InvolvedObject.Name == m.Spec.NodeName && e.Reason == reason && e.Type == kind && e.Source.Component == "upgrader" && strings.Contains(e.Message, part) {
				return true
			}
		}
		return false
	})
}

// A machine of another image is drained, removed and made anew under its name:
// what was there before is gone (G2), and the customer's own marks on the Node stay.
func TestMachineIsReimagedUnderItsName(t *testing.T) {
	w := newWorld(t)
	m, pod, budget := w.occupied(0)
	w.must(w.client.Delete(t.Context(), budget))
	first, err := w.machines.Observe(t.Context(), w.ref(m))
	w.must(err)
	oldToken := m.Status.BootstrapTokenID
	w.until("a customer's label", func(ctx context.Context) bool {
		node := w.node(m)
		node.Labels["customer"], node.Annotations["customer"] = "yes", "yes"
		return w.client.Update(ctx, node) == nil
	})
	uid := w.node(m).UID

	w.respec(m, func(s *v1beta1.MachineSpec) {
		s.NodeImageVersion, s.Soak = newerImage, &metav1.Duration{Duration: 10 * time.Minute}
	})
	w.untilPhase(m, v1beta1.MachineDraining)
	w.untilEvent(m, "Normal", "Drain", "Draining node")
	w.until("the pod is evicted", func(ctx context.Context) bool { return w.exists(ctx, pod) && pod.DeletionTimestamp != nil })
	if !w.node(m).Spec.Unschedulable {
		t.Error("the node is not cordoned")
	}
	w.must(w.client.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	w.untilPhase(m, v1beta1.MachineSoaking)
	w.clock.advance(11 * time.Minute)
	w.nudge(m)
	w.untilStopping(m)
	w.machines.Halt(w.ref(m))
	w.until("it is made anew from the new image", func(context.Context) bool {
		return strings.HasSuffix(w.machines.Machines()[w.ref(m)].Image, newerImage)
	})
	w.until("the old Node speaks for nobody", func(context.Context) bool {
		node := w.node(m)
		return node.Status.Conditions[0].Status == corev1.ConditionUnknown && node.Spec.Unschedulable && len(node.Status.Addresses) == 0
	})
	// The worst case: the next incarnation gets the address of the last.
	w.machines.Readdress(w.ref(m), first.Address)
	w.machines.Boot(w.ref(m))
	w.nudge(m)
	w.until("the machine waits for its kubelet, with a token of its own", func(ctx context.Context) bool {
		return w.exists(ctx, m) && m.Status.Phase == v1beta1.MachineJoined && m.Status.BootstrapTokenID != oldToken && w.exists(ctx, w.token(m))
	})
	if m.Status.NodeImageVersion != newerImage || m.Status.DrainStarted != nil {
		t.Errorf("status %+v", m.Status)
	}
	w.register(m, first.Address, corev1.ConditionTrue)
	w.untilPhase(m, v1beta1.MachineReady)
	w.untilEvent(m, "Normal", "Upgrade", "Successfully reimaged node")
	node := w.node(m)
	if node.Spec.Unschedulable || node.UID != uid || node.Labels["customer"] != "yes" || node.Annotations["customer"] != "yes" ||
		node.Labels["kubernetes.azure.com/node-image-version"] != newerImage {
		t.Errorf("node %+v, unschedulable %v", node.ObjectMeta, node.Spec.Unschedulable)
	}
	if second, err := w.machines.Observe(t.Context(), w.ref(m)); err != nil || second.Incarnation == first.Incarnation {
		t.Errorf("incarnation %s, %v: not made anew", second.Incarnation, err)
	}
}

// A budget that never yields blocks the node, which stays in use. The pool may
// put it back, or quarantine it, or force it.
func TestMachineThatCannotBeDrainedKeepsItsNode(t *testing.T) {
	w := newWorld(t)
	m, pod, _ := w.occupied(0)
	old := m.Spec.NodeImageVersion
	block := func() {
		w.respec(m, func(s *v1beta1.MachineSpec) {
			s.NodeImageVersion, s.DrainTimeout = newerImage, &metav1.Duration{Duration: time.Minute}
		})
		w.until("the budget is named", func(ctx context.Context) bool {
			return w.exists(ctx, m) && m.Status.Phase == v1beta1.MachineDraining &&
				strings.HasPrefix(m.Status.DrainBlocker, "pod "+w.namespace+"/web, PodDisruptionBudget "+w.namespace+"/web (")
		})
		w.untilEvent(m, "Warning", "Drain", "for now: pod "+w.namespace+"/web, PodDisruptionBudget")
		w.clock.advance(2 * time.Minute)
		w.nudge(m)
		w.untilPhase(m, v1beta1.MachineBlocked)
	}
	block()
	w.untilEvent(m, "Warning", "Drain", "PodDisruptionBudget")
	if seen, err := w.machines.Observe(t.Context(), w.ref(m)); err != nil || seen.State != "Running" || m.Status.DrainBlocker == "" {
		t.Fatalf("a blocked machine is %s, %v, blocked by %q", seen.State, err, m.Status.DrainBlocker)
	}

	w.respec(m, func(s *v1beta1.MachineSpec) { s.NodeImageVersion = old })
	w.until("put back, it takes pods again", func(ctx context.Context) bool {
		return w.exists(ctx, m) && m.Status.Phase == v1beta1.MachineReady && m.Status.DrainStarted == nil && !w.node(m).Spec.Unschedulable
	})

	block()
	w.respec(m, func(s *v1beta1.MachineSpec) { s.NodeImageVersion, s.Quarantined = old, true })
	w.until("quarantined, it keeps its pods and takes none", func(ctx context.Context) bool {
		node := w.node(m)
		return w.exists(ctx, m) && m.Status.Phase == v1beta1.MachineReady && node.Spec.Unschedulable &&
			node.Labels["kubernetes.azure.com/upgrade-status"] == "Quarantined"
	})
	if w.must(w.client.Get(t.Context(), client.ObjectKeyFromObject(pod), pod)); pod.DeletionTimestamp != nil {
		t.Error("a protected pod was evicted")
	}

	w.respec(m, func(s *v1beta1.MachineSpec) {
		s.NodeImageVersion, s.Quarantined, s.ForceDrain = newerImage, false, true
	})
	w.until("forced, the pod is deleted", func(ctx context.Context) bool { return w.exists(ctx, pod) && pod.DeletionTimestamp != nil })
	w.must(w.client.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	w.untilStopping(m)
}

// Of a pod that two budgets select the API server says 500, and never anything else: it is
// told of as what blocks the drain, and force passes it.
func TestForceTakesAPodOfTwoBudgets(t *testing.T) {
	w := newWorld(t)
	m, pod, first := w.occupied(0)
	second := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "second"}, Spec: *first.Spec.DeepCopy()}
	w.create(second)
	w.respec(m, func(s *v1beta1.MachineSpec) { s.NodeImageVersion = newerImage })
	w.until("both budgets are named", func(ctx context.Context) bool {
		return w.exists(ctx, m) && strings.Contains(m.Status.DrainBlocker, w.namespace+"/web (") && strings.Contains(m.Status.DrainBlocker, w.namespace+"/second (") &&
			strings.Contains(m.Status.Message, "more than one PodDisruptionBudget")
	})
	if w.must(w.client.Get(t.Context(), client.ObjectKeyFromObject(pod), pod)); pod.DeletionTimestamp != nil {
		t.Error("a protected pod was evicted")
	}
	w.respec(m, func(s *v1beta1.MachineSpec) { s.ForceDrain = true })
	w.until("forced, the pod is deleted", func(ctx context.Context) bool { return w.exists(ctx, pod) && pod.DeletionTimestamp != nil })
	w.must(w.client.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	w.untilStopping(m)
}

// A node that a customer cordoned stays so: the service lifts only its own cordon.
func TestReimageLeavesACustomersCordon(t *testing.T) {
	w := newWorld(t)
	w.openAPI()
	m := w.ready(0)
	w.until("cordoned by the customer", func(ctx context.Context) bool {
		node := w.node(m)
		node.Spec.Unschedulable = true
		return w.client.Update(ctx, node) == nil
	})
	w.respec(m, func(s *v1beta1.MachineSpec) { s.NodeImageVersion = newerImage })
	w.untilStopping(m)
	w.machines.Halt(w.ref(m))
	w.until("it boots", func(context.Context) bool { return w.machines.Boot(w.ref(m)) != "" })
	seen, err := w.machines.Observe(t.Context(), w.ref(m))
	w.must(err)
	w.register(m, seen.Address, corev1.ConditionTrue)
	w.untilPhase(m, v1beta1.MachineReady)
	if !w.node(m).Spec.Unschedulable {
		t.Error("the customer's cordon was lifted")
	}
}
