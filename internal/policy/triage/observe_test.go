package triage

import (
	"reflect"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// What Berth knows of a cluster becomes evidence; of another cluster's machines nothing does.
func TestObserve(t *testing.T) {
	at := metav1.NewTime(noon)
	cluster := &v1beta1.ManagedCluster{
		Spec: v1beta1.ManagedClusterSpec{ID: "c1", NetworkProfile: v1beta1.NetworkProfile{NetworkPlugin: "azure", NetworkPolicy: "azure"}},
		Status: v1beta1.ManagedClusterStatus{
			Support: &v1beta1.SupportStatus{Findings: []v1beta1.SupportFinding{{Clause: "F4"}}},
			Conditions: []metav1.Condition{
				{Type: v1beta1.ConditionAddonsContested, Status: metav1.ConditionTrue, Message: "Deployment coredns"},
				{Type: v1beta1.ConditionControlPlaneReady, Status: metav1.ConditionFalse, Message: "etcd is away"},
				{Type: v1beta1.ConditionAddonsApplied, Status: metav1.ConditionTrue},
			},
		},
	}
	pools := []v1beta1.AgentPool{
		{Status: v1beta1.AgentPoolStatus{NodeImageVersion: "old"}}, {Status: v1beta1.AgentPoolStatus{NodeImageVersion: "new", UnmanagedOS: true}},
	}
	ill := func(id, node string, repair v1beta1.MachineRepair) v1beta1.Machine {
		return v1beta1.Machine{Spec: v1beta1.MachineSpec{ClusterID: id, NodeName: node}, Status: v1beta1.MachineStatus{Repair: &repair}}
	}
	machines := []v1beta1.Machine{
		ill("c1", "n1", v1beta1.MachineRepair{Stage: v1beta1.RepairActing, Reason: "KubeletProblem", Message: "it hangs", Action: v1beta1.RepairReboot, ActionStarted: &at}),
		ill("c1", "n2", v1beta1.MachineRepair{Stage: v1beta1.RepairUnhealthy, Reason: "NodeNotReady", NextAction: v1beta1.RepairReboot, NextTime: &at}),
		ill("c1", "n3", v1beta1.MachineRepair{Stage: v1beta1.RepairUnhealthy, Reason: "NodeNotReady", Held: "many nodes are ill"}),
		ill("c1", "n4", v1beta1.MachineRepair{}),
		ill("c2", "n5", v1beta1.MachineRepair{Stage: v1beta1.RepairGaveUp, Reason: "NodeNotReady"}),
	}
	e := Observe(cluster, pools, machines, "new")
	if !e.Cluster || e.OwnCNI || !e.PolicyEngine || e.Stopped || len(e.Findings) != 1 || len(e.Contested) != 1 || len(e.Behind) != 1 || len(e.SelfPatched) != 1 {
		t.Errorf("evidence: %+v", e)
	}
	if len(e.Faults) != 4 || !strings.Contains(e.Faults[0], "etcd is away") || !strings.Contains(e.Faults[1], "n1 is ill: KubeletProblem, it hangs") {
		t.Errorf("faults: %q", e.Faults)
	}
	want := []string{"node n1: Reboot since 2026-11-26T12:00:00Z", "node n2: Reboot at 2026-11-26T12:00:00Z if it stays ill", "node n3 waits: many nodes are ill"}
	if !reflect.DeepEqual(e.Repairs, want) {
		t.Errorf("repairs: %q", e.Repairs)
	}

	// A stopped cluster has no control plane, which is no fault; none is a word for nothing.
	cluster.Status.PowerState.Code = v1beta1.PowerStopped
	cluster.Spec.NetworkProfile = v1beta1.NetworkProfile{NetworkPlugin: "none", NetworkPolicy: "none"}
	if e := Observe(cluster, nil, machines, "new"); !e.Stopped || len(e.Faults) > 0 || !e.OwnCNI || e.PolicyEngine {
		t.Errorf("stopped: %+v", e)
	}
}
