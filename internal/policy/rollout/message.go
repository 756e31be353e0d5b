package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/api/v1beta1"
)

// maxNamed is how many clusters a message names.
const maxNamed = 3

// message says in words what a rollout waits for, or why it stopped.
func message(in Input, t *tally, status *v1beta1.ComponentRolloutStatus) string {
	switch status.Reason {
	case ReasonFailed:
		return failure(in, t, status)
	case ReasonOperator:
		return "stopped by " + orWord(in.Rollout.Spec.RequestedBy, "the operator") + ": no more clusters are reached until it is resumed"
	case ReasonLooking:
		return fmt.Sprintf("%d clusters have not told yet whether their components are ready", len(t.unknown))
	case ReasonBaking:
		return fmt.Sprintf("wave %d is ready, and is watched for %s", status.Wave, in.Plan.wave(status.Wave).Bake)
	case ReasonWindows:
		first := slices.MinFunc(t.waiting, func(a, b Cluster) int { return a.Opens.Compare(b.Opens) })
		opens := first.Opens
		if until := in.windowsUntil(); until.Before(opens) {
			opens = until
		}
		return fmt.Sprintf("%d clusters wait for their maintenance windows: %s until %s, all until %s at the latest",
			len(t.waiting), first.Key, opens.UTC().Format(time.RFC3339), in.windowsUntil().UTC().Format(time.RFC3339))
	case ReasonTaking:
		if len(t.taking) > 0 {
			return fmt.Sprintf("wave %d: the components of %s are not ready yet", status.Wave, names(t.taking))
		}
		return fmt.Sprintf("wave %d begins", status.Wave)
	default:
		return ""
	}
}

// failure names what failed. What was said of it stays when it is gone.
func failure(in Input, t *tally, status *v1beta1.ComponentRolloutStatus) string {
	if len(t.failing) > 0 {
		return fmt.Sprintf("wave %d: the components of %s were not ready within %s: %s", status.Wave, names(t.failing), in.Plan.ReadyWithin, orWord(t.failing[0].Words, "nothing was heard of them"))
	}
	if status.Message != "" {
		return status.Message
	}
	return "the components of " + names(t.failed) + " were not ready in time"
}

func names(clusters []Cluster) string {
	all := make([]string, 0, len(clusters))
	for _, c := range clusters {
		all = append(all, c.Key.String())
	}
	slices.Sort(all)
	if more := len(all) - maxNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:maxNamed], ", "), more)
	}
	return strings.Join(all, ", ")
}

func orWord(word, otherwise string) string {
	if word == "" {
		return otherwise
	}
	return word
}
