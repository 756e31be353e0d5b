package policy

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"berth.dev/berth/api/v1beta1"
)

// NodeHealth is what a node is taken for.
type NodeHealth string

// The healths of a node.
const (
	HealthUnknown NodeHealth = "Unknown" // nobody can be asked
	HealthWell    NodeHealth = "Well"
	HealthIll     NodeHealth = "Ill"
)

// Illness is a node's health, and what is wrong with it.
type Illness struct {
	Health          NodeHealth
	Reason, Message string
}

// Conditions of a Node beside Kubernetes' own, named as AKS's node problem detector
// names them. A machine's init reports them.
const (
	ConditionKubeletProblem            corev1.NodeConditionType = "KubeletProblem"
	ConditionContainerRuntimeProblem   corev1.NodeConditionType = "ContainerRuntimeProblem"
	ConditionReadonlyFilesystem        corev1.NodeConditionType = "ReadonlyFilesystem"
	ConditionFilesystemCorruption      corev1.NodeConditionType = "FilesystemCorruptionProblem"
	ConditionKernelDeadlock            corev1.NodeConditionType = "KernelDeadlock"
	ConditionFrequentKubeletRestart    corev1.NodeConditionType = "FrequentKubeletRestart"
	ConditionFrequentContainerdRestart corev1.NodeConditionType = "FrequentContainerdRestart"
	ConditionEgressBlocked             corev1.NodeConditionType = "EgressBlocked"
)

// NodeProblems says of each such condition whether a node that has it is repaired.
var NodeProblems = []struct {
	Type    corev1.NodeConditionType
	Repairs bool
	Why     string
}{
	{ConditionKubeletProblem, true, "its pods are not looked after, and starting it again did not help (E3)"},
	{ConditionContainerRuntimeProblem, true, "no container starts or ends, and starting it again did not help (E3)"},
	{ConditionReadonlyFilesystem, true, "a fresh mount or disk mends it, also where it hangs (E4)"},
	{ConditionFilesystemCorruption, true, "a fresh disk mends it (E4)"},
	{ConditionKernelDeadlock, false, "a mount of the customer's whose server is away does the same; a kubelet or containerd that does not get on has its own condition"},
	{ConditionFrequentKubeletRestart, false, "it runs between its restarts; where it does not, the node is NotReady"},
	{ConditionFrequentContainerdRestart, false, "as with the kubelet"},
	{ConditionEgressBlocked, false, "no restart of a node opens a network"},
}

// problemStale is how old the report of a problem may be; a machine's init repeats
// what it reports every five minutes.
const problemStale = 15 * time.Minute

// leastSilence is how long a node's silence lasts at least before it means something:
// a kubelet renews its Lease every 10 seconds, and Kubernetes itself waits for 50.
const leastSilence = time.Minute

// silence is how long a node that says Ready may give no sign of life.
func (p RepairPlan) silence() time.Duration { return max(p.After, leastSilence) }

// NodeSight is what is seen of a machine's Node.
type NodeSight struct {
	// Node is nil where the API server has none.
	Node *corev1.Node
	// Answers says that the API server could be asked.
	Answers bool
	// Foreign says that the Node speaks for an earlier incarnation of the machine.
	Foreign bool
	// Renewed is when the node's Lease was last renewed; zero if it was not looked at.
	Renewed time.Time
}

// IllnessOf judges a node: ill is one that is not Ready, gives no sign of life for the
// time that a repair waits for, or has a problem that a repair can mend (E4).
func IllnessOf(seen NodeSight, plan RepairPlan, now time.Time) Illness {
	if !seen.Answers {
		return Illness{Health: HealthUnknown}
	}
	if seen.Node == nil {
		return Illness{HealthIll, "NodeMissing", "the machine's Node is not there"}
	}
	ready := nodeCondition(seen.Node, corev1.NodeReady)
	switch {
	case ready == nil:
		return Illness{HealthIll, "NodeNotReady", "the kubelet has not reported yet"}
	case ready.Status != corev1.ConditionTrue:
		return Illness{HealthIll, "NodeNotReady", fmt.Sprintf("Ready is %s (%s): %s", ready.Status, ready.Reason, ready.Message)}
	case seen.Foreign:
		return Illness{HealthIll, "NodeNotReady", "the machine was made anew and its kubelet has not reported yet"}
	case now.Sub(Later(ready.LastHeartbeatTime.Time, seen.Renewed)) > plan.silence() && !seen.Renewed.IsZero():
		return Illness{HealthIll, "NodeStatusUnknown", "the kubelet gives no sign of life since " + Later(ready.LastHeartbeatTime.Time, seen.Renewed).UTC().Format(time.RFC3339)}
	}
	for _, problem := range NodeProblems {
		found := nodeCondition(seen.Node, problem.Type)
		if problem.Repairs && found != nil && found.Status == corev1.ConditionTrue && now.Sub(found.LastHeartbeatTime.Time) <= problemStale {
			return Illness{HealthIll, string(problem.Type), found.Message}
		}
	}
	return Illness{Health: HealthWell}
}

// AskLease says whether a node's Lease must be looked at: its status is older than the
// time that a repair waits for, and yet says Ready.
func AskLease(node *corev1.Node, plan RepairPlan, now time.Time) bool {
	ready := nodeCondition(node, corev1.NodeReady)
	return ready != nil && ready.Status == corev1.ConditionTrue && now.Sub(ready.LastHeartbeatTime.Time) > plan.silence()
}

func nodeCondition(node *corev1.Node, kind corev1.NodeConditionType) *corev1.NodeCondition {
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == kind {
			return &node.Status.Conditions[i]
		}
	}
	return nil
}

// Later is the later one of two times.
func Later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// RepairBar is what is in the way of a repair.
type RepairBar string

// The bars.
const (
	BarNone   RepairBar = ""
	BarExempt RepairBar = "Exempt" // the node is not judged at all
	BarOff    RepairBar = "Off"    // its pool is not repaired
	BarBrake  RepairBar = "Brake"  // too many nodes of the cluster are ill at once
	BarTurn   RepairBar = "Turn"   // another node of the cluster is being repaired
)

// The taints and annotations of nodes that others look after (AKS: node-auto-repair).
const (
	TaintShutdown      = "node.cloudprovider.kubernetes.io/shutdown"
	TaintToBeDeleted   = "ToBeDeletedByClusterAutoscaler"
	annotationNoScale  = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
	annotationNoReason = "kubernetes.azure.com/azure-cluster-autoscaler-scale-down-disabled-reason"
)

// RepairFacts are what decides whether a node may be repaired.
type RepairFacts struct {
	Cluster *v1beta1.ManagedCluster
	// Pool is nil where it is gone.
	Pool *v1beta1.AgentPool
	Node *corev1.Node
	// Busy says that Berth itself drains, replaces or removes the machine.
	Busy bool
	// Instance says that the customer stopped the machine through the IaaS view, or is at
	// work on it there.
	Instance bool
	// Registered says that the node has been Ready once.
	Registered bool
	// Begun says that an action was begun already: the turn is this node's.
	Begun bool
	// Ill of Nodes are ill in the cluster, this one among them, and Other is a node of
	// it that is being repaired; empty for none.
	Ill, Nodes int
	Other      string
}

// repairBars are looked at in their order; the first that applies holds.
var repairBars = []struct {
	bar     RepairBar
	applies func(RepairFacts, RepairPlan) bool
	why     string
}{
	{BarExempt, func(f RepairFacts, _ RepairPlan) bool { return f.Busy }, "Berth upgrades, drains or removes the node"},
	{BarExempt, func(f RepairFacts, _ RepairPlan) bool { return f.Instance }, "its owner stopped it through the IaaS view, or is at work there (AKS: node-auto-repair)"},
	{BarExempt, func(f RepairFacts, _ RepairPlan) bool { return !f.Registered }, "the node was never Ready (AKS: node-auto-repair)"},
	{BarExempt, func(f RepairFacts, _ RepairPlan) bool { return f.Cluster == nil || NodesAway(f.Cluster) }, "the cluster is stopped, or its certificates are replaced"},
	{BarExempt, func(f RepairFacts, _ RepairPlan) bool { return f.Cluster.Status.Recovery.UnderWay() }, "the control plane is being recovered (C3)"},
	{BarExempt, func(f RepairFacts, _ RepairPlan) bool {
		return f.Pool != nil && PowerPhaseOf(f.Pool.Spec.PowerState, f.Pool.Status.PowerState) != PhaseRunning && f.Pool.Status.PowerState.Code != ""
	}, "the pool is stopped"},
	{BarExempt, func(f RepairFacts, _ RepairPlan) bool { return tainted(f.Node, TaintShutdown, TaintToBeDeleted) }, "the node is shut down, or the cluster autoscaler removes it (AKS: node-auto-repair)"},
	{BarExempt, func(f RepairFacts, _ RepairPlan) bool { return upgradeMarked(f.Node) }, "the node is marked as being upgraded (AKS: node-auto-repair)"},
	{BarOff, func(f RepairFacts, _ RepairPlan) bool {
		return f.Pool != nil && f.Pool.Spec.Tags[v1beta1.TagAutoRepair] == v1beta1.TagOff
	}, "auto-repair is off for the pool: tag " + v1beta1.TagAutoRepair + "=" + v1beta1.TagOff + " (X8)"},
	{BarBrake, func(f RepairFacts, p RepairPlan) bool { return f.Ill > 1 && 100*f.Ill >= p.BrakePercent*f.Nodes }, "too many nodes of the cluster are ill at once for the fault to be theirs (X8)"},
	{BarTurn, func(f RepairFacts, _ RepairPlan) bool { return f.Other != "" && !f.Begun }, "nodes of a cluster are repaired one at a time (AKS: node-auto-repair)"},
}

// RepairBarOf is what is in the way of a node's repair, and the reason for people.
func RepairBarOf(facts RepairFacts, plan RepairPlan) (RepairBar, string) {
	for _, b := range repairBars {
		if !b.applies(facts, plan) {
			continue
		}
		switch b.bar {
		case BarBrake:
			return b.bar, fmt.Sprintf("%s: %d of %d", b.why, facts.Ill, facts.Nodes)
		case BarTurn:
			return b.bar, fmt.Sprintf("%s: now %s", b.why, facts.Other)
		}
		return b.bar, b.why
	}
	return BarNone, ""
}

func tainted(node *corev1.Node, keys ...string) bool {
	return node != nil && slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return slices.Contains(keys, t.Key) })
}

func upgradeMarked(node *corev1.Node) bool {
	return node != nil && node.Annotations[annotationNoScale] == "true" && node.Annotations[annotationNoReason] == "upgrade"
}
