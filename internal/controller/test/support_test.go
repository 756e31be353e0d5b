package test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// supportNow is the support policy's clock.
func (w *world) supportNow() time.Time { return w.now().Add(time.Duration(w.leapt.Load())) }

// supportFigures are short ones; an hour is never.
func supportFigures(noNodes, stopped time.Duration) v1beta1.ServicePolicySpec {
	d := func(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }
	return v1beta1.ServicePolicySpec{Support: &v1beta1.SupportPolicy{
		Interval: d(time.Second), Settle: d(time.Second), NoNodesStop: d(noNodes), StoppedDelete: d(stopped), SuspendedDelete: d(time.Hour),
		Notices: []metav1.Duration{{Duration: 2 * time.Second}, {Duration: time.Second}}, ChangedMetadata: d(5 * time.Second),
		NodeImageAge: d(100 * 365 * day),
	}}
}

// The support policy as it runs: what a customer may do is no finding and what they may
// not do is one (B4, G5); a suspended subscription stops its cluster and lets it be
// started later (J6); a cluster without nodes is stopped (J4), kept, and deleted (J2).
// Lives end after what the policy writes, and none of it happens twice.
func TestSupportPolicy(t *testing.T) {
	w := newWorld(t)
	parts := []string{"create Operation", "apply status ManagedCluster", "update ManagedCluster", "delete ManagedCluster"}
	left := slices.Clone(parts)
	w.nextGuard = func() *guard {
		g := newGuard(0, w.client)
		g.killAfter = func(what string) bool {
			n := slices.IndexFunc(left, func(part string) bool { return strings.HasPrefix(what, part) && !strings.Contains(what, "/op-") })
			if n < 0 {
				return false
			}
			left = slices.Delete(left, n, n+1)
			return true
		}
		return g
	}
	w.servicePolicy(supportFigures(time.Hour, time.Hour))
	w.start(newGuard(0, w.client))
	w.create()
	w.ordinaryUse()
	w.tamper()
	w.stop()
	w.start(w.nextGuard())
	w.suspend()
	w.loseNodes()
	w.leap()
	w.expire()
	for _, part := range left {
		t.Errorf("no life ended after %s", part)
	}
}

// A deleted subscription's clusters are deleted at once (J7), also a running one.
func TestDeletedSubscription(t *testing.T) {
	w := newWorld(t)
	w.servicePolicy(supportFigures(time.Hour, time.Hour))
	w.start(w.nextGuard())
	w.create()
	w.subscribe(v1beta1.SubscriptionDeleted)
	w.eventuallyGone(&v1beta1.ManagedCluster{}, client.ObjectKey{Namespace: w.namespace, Name: w.clusterName()})
	w.checkOwnOperations(map[v1beta1.ProvisioningState]int{v1beta1.StateDeleting: 1})
	w.checkGone()
}

// ordinaryUse is what customers do with nodes: none of it is a finding.
func (w *world) ordinaryUse() {
	w.t.Helper()
	w.untilSupport("a new cluster is supported", func(s *v1beta1.SupportStatus) bool { return s.State == v1beta1.SupportSupported })
	labels := map[string]string{"app": "agent"}
	w.ensure(&appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "agent"},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				HostPID: true, Containers: []corev1.Container{{Name: "agent", Image: "agent", SecurityContext: &corev1.SecurityContext{Privileged: ptr(true)}}},
			}},
		},
	})
	w.changeNode("customer", func(node *corev1.Node) {
		node.Labels["team"], node.Labels["example.com/rack"] = "web", "7"
		node.Annotations["example.com/note"] = "ours"
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: "team", Value: "web", Effect: corev1.TaintEffectPreferNoSchedule})
	})
	w.changeNode("customer", func(node *corev1.Node) { node.Spec.Unschedulable = true })
	w.changeNode("customer", func(node *corev1.Node) { node.Spec.Unschedulable = false; delete(node.Labels, "team") })
}

// tamper changes what the system made. It comes back, and the finding says what it was;
// nothing that was done before counts.
func (w *world) tamper() {
	w.t.Helper()
	w.changeNode("meddler", func(node *corev1.Node) {
		node.Labels["kubernetes.azure.com/role"] = "boss"
		// What the service wrote there for itself does not hide it.
		delete(node.Annotations, "berth.dev/node-marks")
	})
	var found v1beta1.SupportFinding
	w.untilSupport("the change is a finding", func(s *v1beta1.SupportStatus) bool {
		if len(s.Findings) == 1 {
			found = s.Findings[0]
		}
		return len(s.Findings) == 1 && s.State == v1beta1.SupportOutOfSupport
	})
	if found.Clause != "B4" || !strings.Contains(found.Message, " changed kubernetes.azure.com/role, berth.dev/node-marks of node") {
		w.t.Errorf("the finding: %+v", found)
	}
	if condition := meta.FindStatusCondition(w.cluster().Status.Conditions, v1beta1.ConditionSupported); condition.Status != metav1.ConditionFalse || condition.Reason != "OutOfSupport" {
		w.t.Errorf("the condition: %+v", condition)
	}
	w.untilSupport("it ends when nothing is changed any more", supported)
	if role := w.node().Labels["kubernetes.azure.com/role"]; role != "agent" {
		w.t.Errorf("the label is %q", role)
	}
}

// suspend has the subscription suspended and enabled again.
func (w *world) suspend() {
	w.t.Helper()
	w.subscribe(v1beta1.SubscriptionSuspended)
	w.untilSupport("the cluster is stopped, and kept for a while", func(s *v1beta1.SupportStatus) bool {
		return clauses(s) == "J2 J6" && s.State == v1beta1.SupportOutOfSupport && s.Findings[0].Ends != nil && s.Findings[1].Ends != nil
	})
	w.checkOwnOperations(map[v1beta1.ProvisioningState]int{v1beta1.StateStopping: 1})
	w.subscribe(v1beta1.SubscriptionEnabled)
	w.untilSupport("the subscription is no finding any more", func(s *v1beta1.SupportStatus) bool { return clauses(s) == "J2" })
	w.powerOn()
	w.untilSupport("nor is a stop that is over", func(s *v1beta1.SupportStatus) bool { return supported(s) && len(s.Clocks) == 0 })
}

// loseNodes has every machine end, and none come back.
func (w *world) loseNodes() {
	w.t.Helper()
	w.machines.Hold()
	for ref := range w.machines.Machines() {
		w.machines.Fail(ref)
	}
	w.untilSupport("no node is a finding", func(s *v1beta1.SupportStatus) bool {
		w.poke() // this provider's machines tell nobody that they ended
		return clauses(s) == "J4" && s.Findings[0].Act == v1beta1.ActStop && s.Findings[0].Ends.After(w.supportNow().Add(50*time.Minute))
	})
	elapsed := w.cluster().Status.Support.Clocks[0].Elapsed.Duration
	w.stop()
	w.start(w.nextGuard())
	w.untilSupport("the clock goes on after a restart", func(s *v1beta1.SupportStatus) bool { return s.Clocks[0].Elapsed.Duration > elapsed })
	w.servicePolicy(supportFigures(5*time.Second, time.Hour))
	w.until("a stop begins", func() bool { return w.cluster().Spec.PowerState.Wanted() == v1beta1.PowerStopped })
	for ref := range w.machines.Machines() {
		w.machines.Halt(ref)
	}
	w.untilSupport("the cluster is kept, stopped", func(s *v1beta1.SupportStatus) bool { return clauses(s) == "J2" && s.State == v1beta1.SupportSupported })
	w.checkOwnOperations(map[v1beta1.ProvisioningState]int{v1beta1.StateStopping: 2})
}

// leap moves the clock on by a year: nothing follows from it.
func (w *world) leap() {
	w.t.Helper()
	before := w.cluster().Status.Support.Clocks[0]
	w.leapt.Add(int64(365 * day))
	w.untilSupport("the leap is seen", func(s *v1beta1.SupportStatus) bool { return s.Clocks[0].Observed.After(before.Observed.Add(300 * day)) })
	if clock := w.cluster().Status.Support.Clocks[0]; clock.Elapsed.Duration > before.Elapsed.Duration+time.Minute || clock.Notice != nil {
		w.t.Errorf("a leap of a year made %+v of %+v", clock, before)
	}
	w.checkOwnOperations(map[v1beta1.ProvisioningState]int{v1beta1.StateStopping: 2})
}

// expire lets the time of a stopped cluster run out.
func (w *world) expire() {
	w.t.Helper()
	w.servicePolicy(supportFigures(time.Hour, 3*time.Second))
	w.eventuallyGone(&v1beta1.ManagedCluster{}, client.ObjectKey{Namespace: w.namespace, Name: w.clusterName()})
	w.checkOwnOperations(map[v1beta1.ProvisioningState]int{v1beta1.StateStopping: 2, v1beta1.StateDeleting: 1})
	w.checkGone()
	// What the policy did is told with its clause, though a life ended before it could.
	if stops, deletes := w.told("SupportStop"), w.told("SupportDelete"); stops != 2 || deletes != 1 {
		w.t.Errorf("the activity log has %d stops and %d deletions of the policy's, want 2 and 1", stops, deletes)
	}
	// The times are so short that one of a clock's two may be skipped.
	if told := w.told("SupportNotice"); told < 2 {
		w.t.Errorf("%d notices are in the activity log, want those of both clocks", told)
	}
}

func supported(s *v1beta1.SupportStatus) bool {
	return s.State == v1beta1.SupportSupported && len(s.Findings) == 0
}

// clauses are those of the findings, in order.
func clauses(s *v1beta1.SupportStatus) string {
	ids := make([]string, 0, len(s.Findings))
	for _, finding := range s.Findings {
		ids = append(ids, finding.Clause)
	}
	return strings.Join(ids, " ")
}

// subscribe sets the state of the subscription, which goes when the test ends.
func (w *world) subscribe(state v1beta1.SubscriptionState) {
	w.t.Helper()
	object := &v1beta1.Subscription{ObjectMeta: metav1.ObjectMeta{Name: subscription}}
	spec := v1beta1.SubscriptionSpec{DisplayName: "test", TenantID: subscription, State: state}
	if err := w.client.Get(w.t.Context(), client.ObjectKeyFromObject(object), object); err == nil {
		w.change(object, func() { object.Spec = spec })
		return
	}
	object.Spec = spec
	w.ensure(object)
	w.t.Cleanup(func() { _ = w.client.Delete(context.Background(), object) })
}

func (w *world) node() *corev1.Node {
	w.t.Helper()
	var nodes corev1.NodeList
	if err := w.client.List(w.t.Context(), &nodes); err != nil || len(nodes.Items) != 1 {
		w.t.Fatalf("%d nodes: %v", len(nodes.Items), err)
	}
	return &nodes.Items[0]
}

// changeNode changes the only node as somebody.
func (w *world) changeNode(manager string, change func(*corev1.Node)) {
	w.t.Helper()
	node := w.node()
	before := node.DeepCopy()
	change(node)
	if err := w.client.Patch(w.t.Context(), node, client.MergeFrom(before), client.FieldOwner(manager)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) untilSupport(what string, met func(*v1beta1.SupportStatus) bool) {
	w.t.Helper()
	w.until(what, func() bool {
		status := w.cluster().Status.Support
		return status != nil && met(status)
	})
}

func (w *world) until(what string, met func() bool) {
	w.t.Helper()
	err := wait.PollUntilContextTimeout(w.t.Context(), pollEvery, patience, true, func(context.Context) (bool, error) {
		w.live()
		return met(), nil
	})
	if err != nil {
		w.t.Fatalf("%s: %+v\n%s", what, w.cluster().Status.Support, w.dump())
	}
}

// checkOwnOperations counts what the support policy asked for, by what it was.
func (w *world) checkOwnOperations(want map[v1beta1.ProvisioningState]int) {
	w.t.Helper()
	var list v1beta1.OperationList
	if err := w.client.List(w.t.Context(), &list, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	got := map[v1beta1.ProvisioningState]int{}
	for _, op := range list.Items {
		if op.Spec.RequestedBy == "berth/support" {
			got[op.Spec.State]++
		}
	}
	for state, count := range want {
		if got[state] != count {
			w.t.Errorf("%d operations %s of the support policy, want %d", got[state], state, count)
		}
		delete(got, state)
	}
	if len(got) > 0 {
		w.t.Errorf("unwanted operations of the support policy: %v", got)
	}
}
