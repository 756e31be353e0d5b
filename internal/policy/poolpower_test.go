package policy

import (
	"testing"

	"berth.dev/berth/api/v1beta1"
)

func TestValidatePoolPower(t *testing.T) {
	run, stop := &v1beta1.PowerState{Code: v1beta1.PowerRunning}, &v1beta1.PowerState{Code: v1beta1.PowerStopped}
	pool := func(mode string, power *v1beta1.PowerState) *v1beta1.AgentPoolProfile {
		p := goodPool(mode)
		p.PowerState = power
		return p
	}
	for _, c := range []struct {
		why      string
		old, new *v1beta1.AgentPoolProfile
		state    v1beta1.ProvisioningState
		power    v1beta1.PowerCode
		refused  bool
	}{
		{"a user pool that runs can be stopped", pool("User", nil), pool("User", stop), v1beta1.StateSucceeded, v1beta1.PowerRunning, false},
		{"system pods need their pool", pool("System", nil), pool("System", stop), v1beta1.StateSucceeded, v1beta1.PowerRunning, true},
		{"a stopped pool cannot become the system's", pool("User", stop), pool("System", stop), v1beta1.StateSucceeded, v1beta1.PowerStopped, true},
		{"unless it starts with it", pool("User", stop), pool("System", run), v1beta1.StateSucceeded, v1beta1.PowerStopped, false},
		{"a new pool runs", nil, pool("User", stop), "", "", true},
		{"a new pool may say that it runs", nil, pool("User", run), "", "", false},
		{"a failed pool cannot be stopped", pool("User", nil), pool("User", stop), v1beta1.StateFailed, v1beta1.PowerRunning, true},
		{"nor one that still starts", pool("User", run), pool("User", stop), v1beta1.StateFailed, v1beta1.PowerStopped, true},
		{"a stopped pool can be upgraded and labelled", pool("User", stop), pool("User", stop), v1beta1.StateSucceeded, v1beta1.PowerStopped, false},
		{"a stop can be tried again", pool("User", stop), pool("User", stop), v1beta1.StateFailed, v1beta1.PowerRunning, false},
		{"a stopped pool can be started", pool("User", stop), pool("User", run), v1beta1.StateSucceeded, v1beta1.PowerStopped, false},
		{"and so can one whose stop failed", pool("User", stop), pool("User", run), v1beta1.StateFailed, v1beta1.PowerRunning, false},
		{"starting what runs changes nothing", pool("User", nil), pool("User", run), v1beta1.StateSucceeded, v1beta1.PowerRunning, false},
	} {
		found := ValidatePoolPower(PoolPowerInput{Old: c.old, New: c.new, State: c.state, Power: v1beta1.PowerState{Code: c.power}})
		if (len(found) > 0) != c.refused || c.refused && found[0].Code != CodeOperationNotAllowed {
			t.Errorf("%s: %v", c.why, found)
		}
	}
}
