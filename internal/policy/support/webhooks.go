package support

import (
	"fmt"
	"strings"
	"time"

	"berth.dev/berth/internal/policy"
)

// Webhook is an admission webhook of the customer's without whose answer the system
// cannot write what it must.
type Webhook struct {
	// Name is the webhook's, and Configuration that of the object that has it.
	Name, Configuration string
	// Resources are those of the system that it must answer for, such as "nodes".
	Resources []string
	// Inside says that a Service of the cluster itself answers for it.
	Inside bool
	// Down says why it cannot answer now, such as "its Service a/b has no ready endpoint";
	// empty if it may.
	Down string
}

// webhooksOnSystem finds webhooks that can hold the system up. Berth changes no objects of
// the customer's to exclude it, as AKS's admissions enforcer does, and says so instead.
func webhooksOnSystem(e Evidence, _ policy.SupportPlan, _ time.Time) proof {
	parts := make([]string, 0, len(e.Webhooks))
	for _, one := range e.Webhooks {
		text := fmt.Sprintf("webhook %s of %s must answer for %s of the system", one.Name, one.Configuration, strings.Join(one.Resources, ", "))
		if one.Down != "" {
			text += ", and cannot: " + one.Down
		}
		parts = append(parts, text)
	}
	return proof{message: shown(parts)}
}

func webhooksUnknown(e Evidence) bool { return e.WebhooksUnknown }

// stand keeps a finding without a clock of which nothing can be known at the moment.
func (d *decision) stand(r row) {
	for _, finding := range d.last.Findings {
		if finding.Clause == string(r.clause) && finding.Reason == r.reason {
			d.found(finding)
		}
	}
}
