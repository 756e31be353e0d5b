package policy

import "berth.dev/berth/api/v1beta1"

// PoolPowerInput is a pool as it is asked for, and as it is.
type PoolPowerInput struct {
	// Old is nil for a new pool.
	Old, New *v1beta1.AgentPoolProfile
	// State and Power are what the pool's status says.
	State v1beta1.ProvisioningState
	Power v1beta1.PowerState
}

// ValidatePoolPower returns the reasons why a pool may not be stopped or started as
// asked for (AKS: start-stop-nodepools). That its cluster runs is a matter of
// ValidatePower.
func ValidatePoolPower(in PoolPowerInput) []Violation {
	var out violations
	const target = "properties.powerState"
	if code := in.New.PowerState.Wanted(); code != v1beta1.PowerRunning && code != v1beta1.PowerStopped {
		out.add(CodeInvalidParameter, target, "The value of parameter powerState.code is invalid: it is Running or Stopped, not %q", code)
	}
	stop := in.New.PowerState.Wanted() == v1beta1.PowerStopped
	switch {
	case !stop:
		// A start is always possible, also of a pool whose stop failed.
	case in.New.Mode == "System":
		out.add(CodeOperationNotAllowed, target, "Operation is not allowed: agent pool '%s' has mode System, and only user pools can be stopped. Stop the whole cluster instead", in.New.Name)
	case in.Old == nil:
		out.add(CodeOperationNotAllowed, target, "Operation is not allowed: a new agent pool runs; stop '%s' once it is there", in.New.Name)
	case in.Old.PowerState.Wanted() == v1beta1.PowerStopped:
		// It is asked to be stopped already; this is another change of it.
	case in.State != v1beta1.StateSucceeded || in.Power.Code != v1beta1.PowerRunning:
		out.add(CodeOperationNotAllowed, target, "Operation is not allowed: only an agent pool that is Running and Succeeded can be stopped; '%s' is %s and %s", in.New.Name, shownPower(in.Power), in.State)
	}
	return out
}

func shownPower(power v1beta1.PowerState) v1beta1.PowerCode {
	if power.Code == "" {
		return v1beta1.PowerRunning
	}
	return power.Code
}
