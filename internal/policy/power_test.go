package policy

import (
	"strings"
	"testing"
	"time"

	"berth.dev/berth/api/v1beta1"
)

var everyPhase = []PowerPhase{PhaseRunning, PhaseStopping, PhaseStopped, PhaseStarting, PhaseArchived, PhaseStartFailed}

func TestPowerPhaseOf(t *testing.T) {
	stop, run := &v1beta1.PowerState{Code: v1beta1.PowerStopped}, &v1beta1.PowerState{Code: v1beta1.PowerRunning}
	for _, c := range []struct {
		why   string
		asked *v1beta1.PowerState
		has   v1beta1.PowerCode
		want  PowerPhase
	}{
		{"nothing said is Running", nil, v1beta1.PowerRunning, PhaseRunning},
		{"a new cluster has no code yet", nil, "", PhaseRunning},
		{"an empty code is nothing said", &v1beta1.PowerState{}, v1beta1.PowerRunning, PhaseRunning},
		{"the code changes at the end of a stop", stop, v1beta1.PowerRunning, PhaseStopping},
		{"and is what is asked for then", stop, v1beta1.PowerStopped, PhaseStopped},
		{"the code changes at the end of a start", run, v1beta1.PowerStopped, PhaseStarting},
		{"leaving the field out starts too", nil, v1beta1.PowerStopped, PhaseStarting},
	} {
		if got := PowerPhaseOf(c.asked, v1beta1.PowerState{Code: c.has}); got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
	}
}

// Only what is archived to its end, and not on its way back, starts with any PUT (J5).
func TestPowerOfArchived(t *testing.T) {
	for _, c := range []struct {
		asked   v1beta1.PowerCode
		archive v1beta1.ArchivePhase
		state   v1beta1.ProvisioningState
		want    PowerPhase
	}{
		{v1beta1.PowerStopped, v1beta1.Archived, v1beta1.StateSucceeded, PhaseArchived},
		{v1beta1.PowerStopped, v1beta1.ArchiveProve, v1beta1.StateSucceeded, PhaseStopped},
		{v1beta1.PowerRunning, v1beta1.Archived, v1beta1.StateStarting, PhaseStarting},
		{v1beta1.PowerRunning, v1beta1.Archived, v1beta1.StateFailed, PhaseStartFailed},
	} {
		cluster := &v1beta1.ManagedCluster{Spec: v1beta1.ManagedClusterSpec{PowerState: &v1beta1.PowerState{Code: c.asked}}}
		cluster.Status.ProvisioningState = c.state
		cluster.Status.PowerState.Code, cluster.Status.Archive = v1beta1.PowerStopped, &v1beta1.ClusterArchive{Phase: c.archive}
		if got := PowerOf(cluster, time.Now()).Phase; got != c.want {
			t.Errorf("asked %s, archive %s: %s, want %s", c.asked, c.archive, got, c.want)
		}
	}
}

// The whole table, so that a phase or action that is added is thought about.
func TestValidatePower(t *testing.T) {
	allowed := map[PowerAction][]PowerPhase{
		ActionStart:  {PhaseStopping, PhaseStopped, PhaseStarting, PhaseArchived, PhaseStartFailed},
		ActionPut:    {PhaseRunning, PhaseArchived, PhaseStartFailed},
		ActionStop:   {PhaseRunning, PhaseStopping, PhaseStarting, PhaseStartFailed},
		ActionChange: {PhaseRunning},
		// A start that is under way, or came to nothing, needs no other hands.
		ActionConfigure: {PhaseRunning, PhaseStarting, PhaseStartFailed},
	}
	for action, phases := range allowed {
		for _, phase := range everyPhase {
			want := false
			for _, one := range phases {
				want = want || one == phase
			}
			found := ValidatePower(action, PowerInput{Name: "c1", Phase: phase})
			if (len(found) == 0) != want {
				t.Errorf("%s while %s: %v, allowed should be %v", action, phase, found, want)
			}
			for _, v := range found {
				if v.Code != CodeOperationNotAllowed || !strings.Contains(v.Message, "'c1'") {
					t.Errorf("%s while %s: %+v", action, phase, v)
				}
			}
		}
	}
}

// AKS's answer to a second stop tells since when and for how long.
func TestStoppedSinceIsTold(t *testing.T) {
	since := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	found := ValidatePower(ActionStop, PowerInput{Name: "c1", Phase: PhaseStopped, StoppedSince: since, Now: since.Add(90 * time.Minute)})
	if len(found) != 1 || !strings.Contains(found[0].Message, "stopped at 2026-03-01T12:00:00Z, 1h30m0s ago") {
		t.Errorf("a second stop is answered %v", found)
	}
}
