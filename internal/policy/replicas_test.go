package policy

import (
	"testing"

	"berth.dev/berth/api/v1beta1"
)

// Every phase leads on, in both directions, once its work is done; and not before.
func TestReplicasPhases(t *testing.T) {
	done := ReplicasWorld{Settled: true, TrialReady: true, Runs: true}
	for _, c := range []struct {
		from                 v1beta1.ReplicasPhase
		up, down, upN, downN v1beta1.ReplicasPhase // with the work done, and with nothing done
	}{
		{v1beta1.ReplicasSingle, v1beta1.ReplicasAddress, v1beta1.ReplicasSingle, v1beta1.ReplicasAddress, v1beta1.ReplicasSingle},
		{v1beta1.ReplicasAddress, v1beta1.ReplicasMembers, v1beta1.ReplicasSingle, v1beta1.ReplicasAddress, v1beta1.ReplicasAddress},
		{v1beta1.ReplicasMembers, v1beta1.ReplicasTrial, v1beta1.ReplicasAddress, v1beta1.ReplicasMembers, v1beta1.ReplicasMembers},
		{v1beta1.ReplicasTrial, v1beta1.ReplicasRollOut, v1beta1.ReplicasMembers, v1beta1.ReplicasTrial, v1beta1.ReplicasMembers},
		{v1beta1.ReplicasRollOut, v1beta1.ReplicasThree, v1beta1.ReplicasRollBack, v1beta1.ReplicasRollOut, v1beta1.ReplicasRollBack},
		{v1beta1.ReplicasThree, v1beta1.ReplicasThree, v1beta1.ReplicasTrialBack, v1beta1.ReplicasThree, v1beta1.ReplicasTrialBack},
		{v1beta1.ReplicasTrialBack, v1beta1.ReplicasThree, v1beta1.ReplicasRollBack, v1beta1.ReplicasThree, v1beta1.ReplicasTrialBack},
		{v1beta1.ReplicasRollBack, v1beta1.ReplicasRollOut, v1beta1.ReplicasMembers, v1beta1.ReplicasRollOut, v1beta1.ReplicasRollBack},
	} {
		up, nothingUp := done, ReplicasWorld{HighlyAvailable: true}
		up.HighlyAvailable = true
		for _, got := range []struct{ is, want v1beta1.ReplicasPhase }{
			{NextReplicas(c.from, up), c.up},
			{NextReplicas(c.from, done), c.down},
			{NextReplicas(c.from, nothingUp), c.upN},
			{NextReplicas(c.from, ReplicasWorld{}), c.downN},
		} {
			if got.is != got.want {
				t.Errorf("%s leads to %s, want %s", c.from, got.is, got.want)
			}
		}
	}
	if len(replicasRules) != len(replicasShapes) {
		t.Errorf("%d phases have rules and %d a shape", len(replicasRules), len(replicasShapes))
	}
}

// What an API server dials is there before it starts and as long as it runs, and clients
// are sent to a trial only where there is one.
func TestReplicasShapes(t *testing.T) {
	for phase, shape := range replicasShapes {
		for _, highlyAvailable := range []bool{false, true} {
			members := WantedMembers(phase, highlyAvailable)
			if (shape.Replicated || shape.TrialReplicated) && members != HighlyAvailableMembers {
				t.Errorf("%s: API servers dial three members, and %d are wanted", phase, members)
			}
			if members > 1 && !shape.Addressed {
				t.Errorf("%s: %d members have no address", phase, members)
			}
		}
		if shape.TrialServes && !shape.Trial {
			t.Errorf("%s: clients are sent to a trial that is not there", phase)
		}
		if shape.TrialServes && !shape.Recreate {
			t.Errorf("%s: a controller-manager that elects no leader may run beside another", phase)
		}
		for _, rule := range replicasRules[phase] {
			if to := replicasShapes[rule.to]; shape.Replicated != to.Replicated && !to.TrialServes {
				t.Errorf("%s to %s: the API servers are replaced and nobody answers meanwhile", phase, rule.to)
			}
		}
	}
}
