package machine

import (
	"testing"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
)

var (
	allPhases = []v1beta1.MachinePhase{"", v1beta1.MachinePending, v1beta1.MachineBooting, v1beta1.MachineJoined,
		v1beta1.MachineReady, v1beta1.MachineDraining, v1beta1.MachineBlocked, v1beta1.MachineSoaking, v1beta1.MachineReimaged, v1beta1.MachineDeleting, v1beta1.MachineOff}
	allIntents = []Intent{Keep, Off, Repair, Reimage, Drain, Discard}
	allNodes   = []NodeState{NodeUnknown, NodeMissing, NodeNotReady, NodeReady}
	allPods    = []PodState{PodsLeft, PodsGone, PodsSoak, PodsTimeUp}
)

// nodesOf leaves out what is seen only of machines that go.
func nodesOf(intent Intent) []NodeState {
	if intent == Drain {
		return append([]NodeState{NodeGone}, allNodes...)
	}
	return allNodes
}

func everySituation(visit func(Situation)) {
	for _, phase := range allPhases {
		for _, intent := range allIntents {
			for _, state := range machine.States() {
				for _, node := range nodesOf(intent) {
					for _, pods := range allPods {
						visit(Situation{Phase: phase, Intent: intent, Machine: state, Node: node, Pods: pods})
					}
				}
			}
		}
	}
}

func TestTableIsExhaustiveAndNoRowIsUnreachable(t *testing.T) {
	used := make([]int, len(table))
	everySituation(func(s Situation) {
		for i, r := range table {
			if r.matches(s) {
				used[i]++
				if Decide(s) != r.then {
					t.Errorf("%+v: Decide does not take the first row that matches", s)
				}
				return
			}
		}
		t.Errorf("%+v: no row", s)
	})
	for i, n := range used {
		if n == 0 {
			t.Errorf("row %d (%s) is unreachable", i, table[i].why)
		}
		if table[i].why == "" {
			t.Errorf("row %d does not say why", i)
		}
	}
}

// What must hold in every situation, whatever the table says.
func TestDecisionsAreSafe(t *testing.T) {
	everySituation(func(s Situation) {
		d := Decide(s)
		removes := d.Step == StepStop || d.Step == StepHalt || d.Step == StepAbandon
		switch {
		case s.Intent == Keep && (removes || d.Step == StepEvict || d.Step == StepForget || d.Step == StepRelease):
			t.Errorf("%+v: %s a machine that is wanted", s, d.Step)
		case (d.Step == StepForget || d.Step == StepRelease) && s.Machine != machine.Absent:
			t.Errorf("%+v: %s while the machine is there", s, d.Step)
		case d.Step == StepRelease && s.Intent == Drain && s.Node != NodeGone:
			t.Errorf("%+v: the Node of a living cluster is left behind", s)
		case d.Phase == v1beta1.MachineReady && s.Node != NodeReady && s.Phase != v1beta1.MachineReady:
			t.Errorf("%+v: Ready without a Ready Node", s)
		case s.Intent == Drain && s.Machine == machine.Running && s.Node == NodeReady && s.Pods == PodsLeft &&
			s.Phase != v1beta1.MachineDeleting && removes:
			t.Errorf("%+v: a node is removed before its pods left", s)
		case s.Intent == Reimage && (d.Step == StepForget || d.Step == StepRelease || d.Step == StepLaunch):
			t.Errorf("%+v: %s a machine that is to be made anew", s, d.Step)
		case s.Intent == Reimage && s.Machine == machine.Running && s.Node == NodeReady && s.Pods != PodsGone &&
			s.Phase != v1beta1.MachineReimaged && removes:
			t.Errorf("%+v: a node is reimaged before its pods left and it soaked", s)
		case d.Step == StepRenew && s.Machine != machine.Absent:
			t.Errorf("%+v: the next incarnation is noted while the last is there", s)
		case s.Intent == Discard && (d.Step == StepEvict || d.Step == StepAwait || d.Step == StepForget):
			t.Errorf("%+v: %s waits for a cluster that is being deleted", s, d.Step)
		}
	})
}

// From every situation, if the world does what the steps ask for, the machine
// comes to its end: no circle, no dead end.
func TestEverySituationComesToItsEnd(t *testing.T) {
	everySituation(func(start Situation) {
		s := start
		for range 20 {
			d := Decide(s)
			if d.Step == StepSettle || d.Step == StepForget || d.Step == StepRelease || d.Step == StepRest || d.Phase == v1beta1.MachineBlocked {
				return
			}
			s = obey(s, d)
		}
		t.Errorf("%+v never ends, last %+v", start, s)
	})
}

// obey is a world that does one thing at a time.
func obey(s Situation, d Decision) Situation {
	s.Phase = d.Phase
	switch {
	case d.Step == StepRenew:
		s.Intent = Keep
	case d.Step == StepRemake, d.Step == StepHalt && s.Machine != machine.Stopping, d.Step == StepStop && s.Machine != machine.Stopping, d.Step == StepAbandon && s.Machine != machine.Stopping:
		s.Machine = machine.Stopping
	case s.Machine == machine.Stopping:
		s.Machine = machine.Absent
	case d.Step == StepLaunch && s.Machine == machine.Absent:
		s.Machine = machine.Starting
	case s.Machine == machine.Starting && s.Intent == Keep:
		s.Machine = machine.Running
	case s.Node == NodeUnknown:
		s.Node = NodeMissing
	case s.Node == NodeMissing:
		s.Node = NodeNotReady
	case s.Node == NodeNotReady && s.Intent == Keep:
		s.Node = NodeReady
	case d.Step == StepEvict:
		s.Pods = PodsSoak
	case s.Pods == PodsSoak:
		s.Pods = PodsGone
	}
	return s
}
