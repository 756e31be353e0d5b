package machine

import (
	"slices"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
)

// Intent is what is wanted of a machine.
type Intent string

// The intents.
const (
	// Keep: the machine shall carry a node.
	Keep Intent = "Keep"
	// Reimage: the machine shall carry its node with another version or node image.
	Reimage Intent = "Reimage"
	// Off: the machine shall not run, as its owner asked through the IaaS view (G1).
	Off Intent = "Off"
	// Repair: the machine shall be made anew at once, since its node is ill (E4) or its
	// owner asked for that through the IaaS view (G1).
	Repair Intent = "Repair"
	// Drain: the machine shall go, and its pods shall move to other nodes first.
	Drain Intent = "Drain"
	// Discard: the machine shall go together with its whole cluster.
	Discard Intent = "Discard"
)

// NodeState is what is seen of a machine's Node.
type NodeState string

// The states of a Node.
const (
	NodeUnknown  NodeState = "Unknown" // the API server does not answer
	NodeGone     NodeState = "Gone"    // the cluster is being stopped and its API server will not answer
	NodeMissing  NodeState = "Missing"
	NodeNotReady NodeState = "NotReady"
	NodeReady    NodeState = "Ready" // and the Node is this machine's, by its address
)

// PodState is how far the draining of a node has come.
type PodState string

// The states of a node's pods.
const (
	PodsLeft   PodState = "Left"   // some must still leave
	PodsGone   PodState = "Gone"   // all that must leave have left
	PodsSoak   PodState = "Soak"   // they have left, and the node waits before it is reimaged
	PodsTimeUp PodState = "TimeUp" // they had the time that the pool or the service policy gives
)

// Step is what is done next. Steps are idempotent.
type Step string

// The steps.
const (
	StepAwait   Step = "Await"   // nothing: somebody else is at work
	StepLaunch  Step = "Launch"  // have the provider make the machine; let it join
	StepAdmit   Step = "Admit"   // let the machine join
	StepWelcome Step = "Welcome" // let it join again, and mark its Node
	StepSettle  Step = "Settle"  // mark the Node; the token has served
	StepRemake  Step = "Remake"  // remove the machine, to be made again
	StepRenew   Step = "Renew"   // note what the machine is made of next, and with which token
	StepEvict   Step = "Evict"   // cordon the Node and evict what is left
	StepStop    Step = "Stop"    // remove the machine, in peace
	StepAbandon Step = "Abandon" // remove the machine, at once
	StepRest    Step = "Rest"    // let the Node say that its machine is off
	StepHalt    Step = "Halt"    // remove the machine, soon: what runs there may be of use still
	StepForget  Step = "Forget"  // remove Node, token and finalizer
	StepRelease Step = "Release" // remove the finalizer
)

// Situation is all that a decision depends on.
type Situation struct {
	// Phase is the last one reported, empty for a new Machine.
	Phase   v1beta1.MachinePhase
	Intent  Intent
	Machine machine.State
	Node    NodeState
	// Pods counts only with the Intents Drain and Reimage.
	Pods PodState
}

// Decision is the phase to report and the step to take.
type Decision struct {
	Phase v1beta1.MachinePhase
	Step  Step
}

// row matches every Situation whose fields are among its own; an empty list
// matches all.
type row struct {
	intent  Intent
	machine []machine.State
	node    []NodeState
	pods    []PodState
	phase   []v1beta1.MachinePhase
	then    Decision
	why     string
}

// unjoined are the phases of machines that no pod was ever bound to.
var unjoined = []v1beta1.MachinePhase{"", v1beta1.MachinePending, v1beta1.MachineBooting}

var standing = []machine.State{machine.Starting, machine.Running}

// table is the life of a machine. The first row that matches holds.
var table = []row{
	{Discard, []machine.State{machine.Absent}, nil, nil, nil,
		Decision{v1beta1.MachineDeleting, StepRelease}, "Node and token went with the cluster"},
	{Discard, nil, nil, nil, nil,
		Decision{v1beta1.MachineDeleting, StepAbandon}, "pods of a deleted cluster have nowhere to move"},

	{Drain, []machine.State{machine.Absent}, []NodeState{NodeGone}, nil, nil,
		Decision{v1beta1.MachineDeleting, StepRelease}, "the machine of that name takes the Node over when the cluster starts (J1)"},
	{Drain, []machine.State{machine.Absent}, nil, nil, nil,
		Decision{v1beta1.MachineDeleting, StepForget}, "a Node is removed last: a kubelet that runs could register it again"},
	{Drain, []machine.State{machine.Failed, machine.Stopping}, nil, nil, nil,
		Decision{v1beta1.MachineDeleting, StepStop}, "nothing runs there that could be drained"},
	{Drain, standing, nil, nil, []v1beta1.MachinePhase{v1beta1.MachineDeleting},
		Decision{v1beta1.MachineDeleting, StepStop}, "a removal that has begun goes on"},
	{Drain, standing, []NodeState{NodeMissing}, nil, nil,
		Decision{v1beta1.MachineDeleting, StepStop}, "no pod is bound to a Node that is not there"},
	{Drain, standing, []NodeState{NodeUnknown}, nil, unjoined,
		Decision{v1beta1.MachineDeleting, StepStop}, "no pod was ever bound to it"},
	{Drain, standing, []NodeState{NodeGone}, nil, nil,
		Decision{v1beta1.MachineDeleting, StepStop}, "nobody can evict any more, and a stopped cluster has no process"},
	{Drain, standing, nil, []PodState{PodsGone, PodsSoak, PodsTimeUp}, nil,
		Decision{v1beta1.MachineDeleting, StepStop}, "drained, or the drain timeout is over"},
	{Drain, standing, []NodeState{NodeUnknown}, []PodState{PodsLeft}, nil,
		Decision{v1beta1.MachineDraining, StepAwait}, "only the API server can evict"},
	{Drain, standing, []NodeState{NodeNotReady, NodeReady}, []PodState{PodsLeft}, nil,
		Decision{v1beta1.MachineDraining, StepEvict}, "cordon and drain before a node goes (AKS: scale)"},

	{Reimage, []machine.State{machine.Absent}, nil, nil, nil,
		Decision{v1beta1.MachineReimaged, StepRenew}, "nothing of the old node is left to be taken over (G2)"},
	{Reimage, []machine.State{machine.Failed, machine.Stopping}, nil, nil, nil,
		Decision{v1beta1.MachineReimaged, StepStop}, "nothing runs there that could be drained"},
	{Reimage, standing, nil, nil, []v1beta1.MachinePhase{v1beta1.MachineReimaged},
		Decision{v1beta1.MachineReimaged, StepStop}, "a removal that has begun goes on"},
	{Reimage, standing, []NodeState{NodeMissing}, nil, nil,
		Decision{v1beta1.MachineReimaged, StepStop}, "no pod is bound to a Node that is not there"},
	{Reimage, standing, []NodeState{NodeUnknown}, nil, unjoined,
		Decision{v1beta1.MachineReimaged, StepStop}, "no pod was ever bound to it"},
	{Reimage, standing, nil, []PodState{PodsGone}, nil,
		Decision{v1beta1.MachineReimaged, StepStop}, "drained and soaked (AKS: upgrade-aks-node-pools-rolling)"},
	{Reimage, standing, nil, []PodState{PodsSoak}, nil,
		Decision{v1beta1.MachineSoaking, StepAwait}, "the pods' new places are to be looked at before the next node"},
	{Reimage, standing, nil, []PodState{PodsTimeUp}, nil,
		Decision{v1beta1.MachineBlocked, StepAwait}, "the pool decides what becomes of a node that cannot be drained (AKS: upgrade-options)"},
	{Reimage, standing, []NodeState{NodeUnknown}, []PodState{PodsLeft}, nil,
		Decision{v1beta1.MachineDraining, StepAwait}, "only the API server can evict"},
	{Reimage, standing, []NodeState{NodeNotReady, NodeReady}, []PodState{PodsLeft}, nil,
		Decision{v1beta1.MachineDraining, StepEvict}, "cordon and drain before a node is replaced (AKS: upgrade-aks-node-pools-rolling)"},

	{Repair, []machine.State{machine.Absent}, nil, nil, nil,
		Decision{v1beta1.MachinePending, StepRenew}, "nothing of the old node is left to be taken over (G2)"},
	{Repair, nil, nil, nil, nil,
		Decision{v1beta1.MachinePending, StepHalt}, "a node that does not work cannot be drained (E4)"},

	{Off, []machine.State{machine.Absent}, nil, nil, nil,
		Decision{v1beta1.MachineOff, StepRest}, "the Node stays, as that of a deallocated VM does (G1)"},
	{Off, nil, nil, nil, nil,
		Decision{v1beta1.MachineOff, StepStop}, "the IaaS view neither cordons nor drains (B3)"},

	{Keep, []machine.State{machine.Absent, machine.Starting}, nil, nil, nil,
		Decision{v1beta1.MachinePending, StepLaunch}, "files and token may be made while the machine starts"},
	{Keep, []machine.State{machine.Failed}, nil, nil, nil,
		Decision{v1beta1.MachinePending, StepRemake}, "it does not come back by itself"},
	{Keep, []machine.State{machine.Stopping}, nil, nil, nil,
		Decision{v1beta1.MachinePending, StepAwait}, "it is made anew once the old one is gone"},
	{Keep, []machine.State{machine.Running}, []NodeState{NodeUnknown}, nil, []v1beta1.MachinePhase{v1beta1.MachineJoined},
		Decision{v1beta1.MachineJoined, StepAwait}, "an API server that does not answer tells nothing about the node"},
	{Keep, []machine.State{machine.Running}, []NodeState{NodeUnknown}, nil, []v1beta1.MachinePhase{v1beta1.MachineReady},
		Decision{v1beta1.MachineReady, StepAwait}, "an API server that does not answer tells nothing about the node"},
	{Keep, []machine.State{machine.Running}, []NodeState{NodeUnknown}, nil, nil,
		Decision{v1beta1.MachineBooting, StepLaunch}, "the machine boots while the API server starts"},
	{Keep, []machine.State{machine.Running}, []NodeState{NodeMissing}, nil, nil,
		Decision{v1beta1.MachineBooting, StepAdmit}, "the kubelet joins with the token"},
	{Keep, []machine.State{machine.Running}, []NodeState{NodeNotReady}, nil, nil,
		Decision{v1beta1.MachineJoined, StepWelcome}, "labels and taints stand before the first pod"},
	{Keep, []machine.State{machine.Running}, []NodeState{NodeReady}, nil, nil,
		Decision{v1beta1.MachineReady, StepSettle}, "a machine that joined needs no token"},
}

func (r row) matches(s Situation) bool {
	return r.intent == s.Intent && among(r.machine, s.Machine) && among(r.node, s.Node) &&
		among(r.pods, s.Pods) && among(r.phase, s.Phase)
}

func among[T comparable](list []T, value T) bool {
	return len(list) == 0 || slices.Contains(list, value)
}

// Decide says what phase a machine is in and what to do next. A situation that
// the table does not have keeps its phase and awaits; the test proves that there
// is none.
func Decide(s Situation) Decision {
	for _, r := range table {
		if r.matches(s) {
			return r.then
		}
	}
	return Decision{s.Phase, StepAwait}
}
