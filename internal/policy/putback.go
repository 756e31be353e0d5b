package policy

import (
	"time"

	"berth.dev/berth/api/v1beta1"
)

// The defaults of ServicePolicy for putting managed components back (A7). AKS is told
// to take about a minute; Berth watches, and takes a second.
const (
	DefaultAddonCheck    = 10 * time.Minute
	DefaultAddonDelay    = 5 * time.Second
	DefaultAddonMaxDelay = 5 * time.Minute
	DefaultAddonCalm     = 10 * time.Minute
)

// patientPutBacks is how often a component is put back at once before whoever changes
// it is taken for a controller that will not give in.
const patientPutBacks = 3

// PutBackPlan is what ServicePolicy asks for of managed components that are changed.
type PutBackPlan struct {
	Check, Delay, MaxDelay, Calm time.Duration
}

// PutBacks reads ServicePolicy.
func PutBacks(spec v1beta1.ServicePolicySpec) PutBackPlan {
	set := spec.AddonPutBack
	if set == nil {
		set = &v1beta1.AddonPutBack{}
	}
	return PutBackPlan{
		Check: durationOr(set.Check, DefaultAddonCheck), Delay: durationOr(set.Delay, DefaultAddonDelay),
		MaxDelay: durationOr(set.MaxDelay, DefaultAddonMaxDelay), Calm: durationOr(set.Calm, DefaultAddonCalm),
	}
}

// Wait is how long a component that was put back so many times waits until it is put
// back again: not at all at first, then twice as long each time.
func (p PutBackPlan) Wait(times int) time.Duration {
	if times < patientPutBacks {
		return 0
	}
	wait := p.Delay
	for ; times > patientPutBacks && wait < p.MaxDelay; times-- {
		wait *= 2
	}
	return min(wait, p.MaxDelay)
}

// Calmed says whether a component was left alone for long enough since it was put back.
func (p PutBackPlan) Calmed(last, now time.Time) bool { return now.Sub(last) >= p.Calm }
