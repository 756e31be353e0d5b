package support

import (
	"fmt"
	"slices"
	"strings"

	"berth.dev/berth/internal/policy"
)

// Evictions is the resource of a webhook that must answer for evictions of pods.
const Evictions = "pods/eviction"

// stopBars are why a webhook holds a stop up. The first one that matches holds.
var stopBars = []struct {
	matches func(Webhook) bool
	why     func(Webhook) string
}{
	{func(w Webhook) bool { return w.Down != "" },
		func(w Webhook) string { return "cannot: " + w.Down }},
	// Nodes are cordoned and deleted while they take what answers along, and none joins again
	// before it does. What is evicted has time until then.
	{func(w Webhook) bool {
		return w.Inside && slices.ContainsFunc(w.Resources, func(r string) bool { return r != Evictions })
	},
		func(Webhook) string {
			return "cannot any more once the nodes are gone that it runs on, nor when they are to start again"
		}},
}

// RefuseStop names the webhooks for which a cluster could not be stopped, or not be
// started again (AKS: start-stop-cluster). What answers from outside the cluster does not
// go with it, so that it is no reason.
func RefuseStop(hooks []Webhook) []policy.Violation {
	var out []policy.Violation
	for _, one := range hooks {
		for _, bar := range stopBars {
			if !bar.matches(one) {
				continue
			}
			out = append(out, policy.Violation{Code: policy.CodeValidationError, Message: fmt.Sprintf(
				"Stopping the cluster is not possible: webhook %s of %s must answer for %s, and %s. Narrow its rules to what is in namespaces (scope Namespaced and a namespaceSelector), set its failurePolicy to Ignore, or remove it, and stop again",
				one.Name, one.Configuration, strings.Join(one.Resources, ", "), bar.why(one))})
			break
		}
	}
	return out
}
