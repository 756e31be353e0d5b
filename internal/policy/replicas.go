package policy

import "berth.dev/berth/api/v1beta1"

// ReplicasWorld is what is seen of a control plane that goes from one replica to three,
// or back (A3).
type ReplicasWorld struct {
	// HighlyAvailable: the tier asks for three (Standard, Premium).
	HighlyAvailable bool
	// Settled: etcd's pods are as rendered, ready, and etcd has what the phase asks for.
	Settled bool
	// TrialReady: the API server beside the control plane answers.
	TrialReady bool
	// Runs: the control plane's own pods are as the phase asks for and ready.
	Runs bool
}

// replicasRule leads to another phase if what it names was seen.
type replicasRule struct {
	when func(ReplicasWorld) bool
	to   v1beta1.ReplicasPhase
}

func wantsThree(w ReplicasWorld) bool      { return w.HighlyAvailable }
func wantsOne(w ReplicasWorld) bool        { return !w.HighlyAvailable }
func settledForThree(w ReplicasWorld) bool { return w.HighlyAvailable && w.Settled }
func settledForOne(w ReplicasWorld) bool   { return !w.HighlyAvailable && w.Settled }
func triedForThree(w ReplicasWorld) bool   { return w.HighlyAvailable && w.TrialReady }
func triedForOne(w ReplicasWorld) bool     { return !w.HighlyAvailable && w.TrialReady }
func runsForThree(w ReplicasWorld) bool    { return w.HighlyAvailable && w.Runs }
func runsForOne(w ReplicasWorld) bool      { return !w.HighlyAvailable && w.Runs }

// replicasRules are the way up and down; in each phase the first rule that holds counts.
// A tier that is changed back meanwhile turns the control plane round where it stands.
// The API servers go over to etcd's new members when all of them vote, and leave them
// before the first is removed.
var replicasRules = map[v1beta1.ReplicasPhase][]replicasRule{
	v1beta1.ReplicasSingle: {{wantsThree, v1beta1.ReplicasAddress}},
	v1beta1.ReplicasAddress: {
		{settledForThree, v1beta1.ReplicasMembers},
		{settledForOne, v1beta1.ReplicasSingle},
	},
	v1beta1.ReplicasMembers: {
		{settledForThree, v1beta1.ReplicasTrial},
		{settledForOne, v1beta1.ReplicasAddress},
	},
	v1beta1.ReplicasTrial: {
		{wantsOne, v1beta1.ReplicasMembers},
		{triedForThree, v1beta1.ReplicasRollOut},
	},
	v1beta1.ReplicasRollOut: {
		{wantsOne, v1beta1.ReplicasRollBack},
		{runsForThree, v1beta1.ReplicasThree},
	},
	v1beta1.ReplicasThree: {{wantsOne, v1beta1.ReplicasTrialBack}},
	v1beta1.ReplicasTrialBack: {
		{wantsThree, v1beta1.ReplicasThree},
		{triedForOne, v1beta1.ReplicasRollBack},
	},
	v1beta1.ReplicasRollBack: {
		{wantsThree, v1beta1.ReplicasRollOut},
		{runsForOne, v1beta1.ReplicasMembers},
	},
}

// NextReplicas is the phase that follows, or the same.
func NextReplicas(phase v1beta1.ReplicasPhase, w ReplicasWorld) v1beta1.ReplicasPhase {
	for _, rule := range replicasRules[phase] {
		if rule.when(w) {
			return rule.to
		}
	}
	return phase
}

// ReplicasShape is how a control plane is to look in a phase.
type ReplicasShape struct {
	// Addressed: etcd's members have addresses of their own.
	Addressed bool
	// Grown: there are three of them if the tier asks for it, else one.
	Grown bool
	// Replicated: three replicas serve the API and dial every member.
	Replicated bool
	// Trial: an API server stands beside them, which dials every member if
	// TrialReplicated; TrialServes sends clients there.
	Trial, TrialReplicated, TrialServes bool
	// Recreate: the pods that serve the API are replaced and not rolled, since one
	// controller-manager among them elects no leader.
	Recreate bool
}

var replicasShapes = map[v1beta1.ReplicasPhase]ReplicasShape{
	v1beta1.ReplicasSingle:    {},
	v1beta1.ReplicasAddress:   {Addressed: true},
	v1beta1.ReplicasMembers:   {Addressed: true, Grown: true},
	v1beta1.ReplicasTrial:     {Addressed: true, Grown: true, Trial: true, TrialReplicated: true},
	v1beta1.ReplicasRollOut:   {Addressed: true, Grown: true, Replicated: true, Trial: true, TrialReplicated: true, TrialServes: true, Recreate: true},
	v1beta1.ReplicasThree:     {Addressed: true, Grown: true, Replicated: true},
	v1beta1.ReplicasTrialBack: {Addressed: true, Grown: true, Replicated: true, Trial: true, Recreate: true},
	v1beta1.ReplicasRollBack:  {Addressed: true, Grown: true, Trial: true, TrialServes: true, Recreate: true},
}

// ReplicasShapeOf is the shape of a phase.
func ReplicasShapeOf(phase v1beta1.ReplicasPhase) ReplicasShape { return replicasShapes[phase] }

// ReplicasAtRest says whether the phase is where the tier ends.
func ReplicasAtRest(phase v1beta1.ReplicasPhase, highlyAvailable bool) bool {
	if highlyAvailable {
		return phase == v1beta1.ReplicasThree
	}
	return phase == v1beta1.ReplicasSingle
}

// WantedMembers is how many members etcd is to have in a phase.
func WantedMembers(phase v1beta1.ReplicasPhase, highlyAvailable bool) int32 {
	switch {
	case !replicasShapes[phase].Grown, phase == v1beta1.ReplicasMembers && !highlyAvailable:
		return 1
	default:
		return HighlyAvailableMembers
	}
}
