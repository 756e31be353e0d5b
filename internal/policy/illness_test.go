package policy

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

func nodeWith(ready corev1.ConditionStatus, beat time.Duration, problems ...corev1.NodeCondition) *corev1.Node {
	return &corev1.Node{Status: corev1.NodeStatus{Conditions: append([]corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: ready, Reason: "R", Message: "m", LastHeartbeatTime: metav1.NewTime(repairStart.Add(-beat))},
	}, problems...)}}
}

func problem(kind corev1.NodeConditionType, status corev1.ConditionStatus, age time.Duration) corev1.NodeCondition {
	return corev1.NodeCondition{Type: kind, Status: status, Message: "seen", LastHeartbeatTime: metav1.NewTime(repairStart.Add(-age))}
}

func TestIllness(t *testing.T) {
	for _, c := range []struct {
		why    string
		seen   NodeSight
		health NodeHealth
		reason string
	}{
		{"an API server that does not answer tells nothing", NodeSight{Node: nodeWith("False", 0)}, HealthUnknown, ""},
		{"a Node that is gone while its machine runs", NodeSight{Answers: true}, HealthIll, "NodeMissing"},
		{"a new Node says nothing yet", NodeSight{Answers: true, Node: &corev1.Node{}}, HealthIll, "NodeNotReady"},
		{"NotReady (E4)", NodeSight{Answers: true, Node: nodeWith("False", 0)}, HealthIll, "NodeNotReady"},
		{"no status (E4)", NodeSight{Answers: true, Node: nodeWith("Unknown", 0)}, HealthIll, "NodeNotReady"},
		{"an old incarnation's last word", NodeSight{Answers: true, Node: nodeWith("True", 0), Foreign: true}, HealthIll, "NodeNotReady"},
		{"an old status and a fresh lease", NodeSight{Answers: true, Node: nodeWith("True", time.Hour), Renewed: repairStart}, HealthWell, ""},
		{"an old status and an old lease", NodeSight{Answers: true, Node: nodeWith("True", time.Hour), Renewed: repairStart.Add(-11 * time.Minute)}, HealthIll, "NodeStatusUnknown"},
		{"well", NodeSight{Answers: true, Node: nodeWith("True", time.Minute)}, HealthWell, ""},
		{"a problem that is over", NodeSight{Answers: true, Node: nodeWith("True", 0, problem(ConditionKubeletProblem, "False", 0))}, HealthWell, ""},
		{"a problem that nobody repeats", NodeSight{Answers: true, Node: nodeWith("True", 0, problem(ConditionKubeletProblem, "True", time.Hour))}, HealthWell, ""},
	} {
		if got := IllnessOf(c.seen, Repairs(v1beta1.ServicePolicySpec{}), repairStart); got.Health != c.health || got.Reason != c.reason {
			t.Errorf("%s: %+v, want %s %s", c.why, got, c.health, c.reason)
		}
	}
	hasty := RepairPlan{After: time.Second}
	if got := IllnessOf(NodeSight{Answers: true, Node: nodeWith("True", time.Hour), Renewed: repairStart.Add(-30 * time.Second)}, hasty, repairStart); got.Health != HealthWell {
		t.Errorf("a kubelet between two renewals: %+v", got)
	}
	for _, p := range NodeProblems {
		seen := NodeSight{Answers: true, Node: nodeWith("True", 0, problem(p.Type, "True", time.Minute))}
		if got := IllnessOf(seen, Repairs(v1beta1.ServicePolicySpec{}), repairStart); (got.Health == HealthIll) != p.Repairs || p.Why == "" {
			t.Errorf("%s: %+v, want it repaired: %t", p.Type, got, p.Repairs)
		}
	}
}

func TestRepairBars(t *testing.T) {
	off := v1beta1.PowerStopped
	plain := func() RepairFacts {
		return RepairFacts{Cluster: &v1beta1.ManagedCluster{}, Pool: &v1beta1.AgentPool{}, Node: &corev1.Node{}, Registered: true, Ill: 1, Nodes: 1}
	}
	taint := func(key string) func(*RepairFacts) {
		return func(f *RepairFacts) { f.Node.Spec.Taints = []corev1.Taint{{Key: key}} }
	}
	reached := map[string]bool{}
	for _, c := range []struct {
		why    string
		change func(*RepairFacts)
		want   RepairBar
	}{
		{"an only node", func(*RepairFacts) {}, BarNone},
		{"Berth is at work on it", func(f *RepairFacts) { f.Busy = true }, BarExempt},
		{"its owner deallocated it", func(f *RepairFacts) { f.Instance = true }, BarExempt},
		{"never Ready", func(f *RepairFacts) { f.Registered = false }, BarExempt},
		{"the cluster is gone", func(f *RepairFacts) { f.Cluster = nil }, BarExempt},
		{"the cluster is stopped", func(f *RepairFacts) { f.Cluster.Spec.PowerState = &v1beta1.PowerState{Code: off} }, BarExempt},
		{"etcd is recovered", func(f *RepairFacts) { f.Cluster.Status.Recovery = &v1beta1.ControlPlaneRecovery{} }, BarExempt},
		{"the pool stops", func(f *RepairFacts) {
			f.Pool.Spec.PowerState, f.Pool.Status.PowerState.Code = &v1beta1.PowerState{Code: off}, v1beta1.PowerRunning
		}, BarExempt},
		{"the pool is being made", func(f *RepairFacts) { f.Pool.Status.PowerState.Code = "" }, BarNone},
		{"shut down", taint("node.cloudprovider.kubernetes.io/shutdown"), BarExempt},
		{"the autoscaler removes it", taint("ToBeDeletedByClusterAutoscaler"), BarExempt},
		{"another taint", taint("node.kubernetes.io/unreachable"), BarNone},
		{"marked as being upgraded", func(f *RepairFacts) {
			f.Node.Annotations = map[string]string{"cluster-autoscaler.kubernetes.io/scale-down-disabled": "true",
				"kubernetes.azure.com/azure-cluster-autoscaler-scale-down-disabled-reason": "upgrade"}
		}, BarExempt},
		{"marked for another reason", func(f *RepairFacts) {
			f.Node.Annotations = map[string]string{"cluster-autoscaler.kubernetes.io/scale-down-disabled": "true"}
		}, BarNone},
		{"switched off", func(f *RepairFacts) { f.Pool.Spec.Tags = map[string]string{"berth-auto-repair": "off"} }, BarOff},
		{"both of two", func(f *RepairFacts) { f.Ill, f.Nodes = 2, 2 }, BarBrake},
		{"two of three", func(f *RepairFacts) { f.Ill, f.Nodes = 2, 3 }, BarBrake},
		{"two of four", func(f *RepairFacts) { f.Ill, f.Nodes = 2, 4 }, BarNone},
		{"another's turn", func(f *RepairFacts) { f.Other = "n2" }, BarTurn},
		{"its own turn", func(f *RepairFacts) { f.Other, f.Begun = "n2", true }, BarNone},
		{"no Node and no pool", func(f *RepairFacts) { f.Node, f.Pool = nil, nil }, BarNone},
	} {
		facts := plain()
		c.change(&facts)
		bar, held := RepairBarOf(facts, Repairs(v1beta1.ServicePolicySpec{}))
		if bar != c.want || (bar == BarNone) != (held == "") {
			t.Errorf("%s: %s (%s), want %s", c.why, bar, held, c.want)
		}
		why, _, _ := strings.Cut(held, ": ")
		reached[why] = true
	}
	for _, b := range repairBars {
		if why, _, _ := strings.Cut(b.why, ": "); !reached[why] {
			t.Errorf("no case for %s (%s)", b.bar, b.why)
		}
	}
}
