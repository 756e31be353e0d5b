package triage

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/api/v1beta1"
)

// about holds for every ticket of the row's topics.
func about(what string) func(Ticket, Evidence) proof {
	return func(Ticket, Evidence) proof { return proof{evidence: "the ticket is about " + what} }
}

// names finds components of a kind in the ticket's words.
func names(of kind, what string) func(Ticket, Evidence) proof {
	return func(t Ticket, _ Evidence) proof {
		found := named(t.Text, of)
		if len(found) == 0 {
			return proof{}
		}
		return proof{evidence: fmt.Sprintf("the ticket names %s, which %s", strings.Join(found, ", "), what)}
	}
}

// What is shown of evidence: so many items, and so many bytes of each.
const (
	maxItems = 5
	maxItem  = 400
)

// list is evidence that is there when there is something to list. A ticket is kept as one
// object: what is long is cut.
func list(format string, items []string) proof {
	if len(items) == 0 {
		return proof{}
	}
	var shown []string
	for _, item := range items[:min(len(items), maxItems)] {
		if len(item) > maxItem {
			item = strings.ToValidUTF8(item[:maxItem], "") + "…"
		}
		shown = append(shown, item)
	}
	if more := len(items) - len(shown); more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return proof{evidence: fmt.Sprintf(format, strings.Join(shown, "; "))}
}

// finding finds what supportability says under a clause.
func finding(state v1beta1.SupportState, clause string) func(Ticket, Evidence) proof {
	return func(_ Ticket, e Evidence) proof {
		return told(e, func(f v1beta1.SupportFinding) bool { return f.Clause == clause && f.State == state })
	}
}

// otherFinding finds what takes a cluster out of support under a clause that has no row.
func otherFinding(_ Ticket, e Evidence) proof {
	known := []string{"B3", "B4", "G2", "G3", "G4", "I1", "F1", "F4", "J3", "J4", "J6", "J7"}
	return told(e, func(f v1beta1.SupportFinding) bool {
		return f.State == v1beta1.SupportOutOfSupport && !slices.Contains(known, f.Clause)
	})
}

func told(e Evidence, wanted func(v1beta1.SupportFinding) bool) proof {
	var found []string
	next := ""
	for _, f := range e.Findings {
		if wanted(f) {
			found = append(found, f.Message)
			next = f.WayBack
		}
	}
	p := list("%s", found)
	p.next = next
	return p
}

func applicationAlone(_ Ticket, e Evidence) proof {
	if len(e.Faults) > 0 {
		return proof{}
	}
	return proof{evidence: "the ticket is about an application of the customer's, and nothing of the platform is found at fault"}
}

func faults(_ Ticket, e Evidence) proof { return list("the platform is at fault: %s", e.Faults) }

func ownCNI(_ Ticket, e Evidence) proof {
	if !e.OwnCNI {
		return proof{}
	}
	return proof{evidence: "the cluster has networkPlugin none: the customer brings the network"}
}

func ownPolicyEngine(t Ticket, e Evidence) proof {
	if len(e.OwnPolicyEngines) > 0 {
		return list("the cluster runs %s, which the service did not bring", e.OwnPolicyEngines)
	}
	return names(policyEngine, "the service does not bring")(t, e)
}

func noPolicyEngine(_ Ticket, e Evidence) proof {
	if !e.Cluster || e.PolicyEngine || e.OwnCNI {
		return proof{}
	}
	return proof{evidence: "the cluster has networkPolicy none"}
}

// controllers are the names of those that are managed, or not.
func controllers(e Evidence, managed bool) []string {
	var found []string
	for _, c := range e.Ingresses {
		if c.Managed == managed {
			found = append(found, c.Name)
		}
	}
	return found
}

// ownIngress finds a controller that the service does not manage, unless the cluster has
// a managed one besides and the ticket does not say which it means.
func ownIngress(t Ticket, e Evidence) proof {
	own := controllers(e, false)
	if said := slices.DeleteFunc(slices.Clone(own), func(name string) bool { return !strings.Contains(t.Text, name) }); len(said) > 0 {
		return list("the ticket names the ingress controller %s, which the service does not manage", said)
	}
	if len(own) > 0 && len(controllers(e, true)) == 0 {
		return list("the ingress controllers in the cluster are not managed: %s", own)
	}
	return names(ingress, "is an ingress controller that the service does not manage")(t, e)
}

func whichIngress(t Ticket, e Evidence) proof {
	own, managed := controllers(e, false), controllers(e, true)
	if len(own) == 0 || len(managed) == 0 || ownIngress(t, e).evidence != "" || slices.ContainsFunc(managed, func(name string) bool { return strings.Contains(t.Text, name) }) {
		return proof{}
	}
	return list("the cluster has managed ingress controllers and others: %s", append(managed, own...))
}

func stopped(_ Ticket, e Evidence) proof {
	if !e.Stopped {
		return proof{}
	}
	return proof{evidence: "the cluster is stopped"}
}

func contested(_ Ticket, e Evidence) proof {
	return list("somebody changes managed components again and again: %s", e.Contested)
}

func webhooks(_ Ticket, e Evidence) proof {
	return list("admission webhooks of the customer's catch kube-system and do not answer: %s", e.Webhooks)
}

func notNamed(t Ticket, e Evidence) proof {
	if c, _ := Find(t.Topic); e.Cluster || !c.OfCluster {
		return proof{}
	}
	return proof{evidence: "the ticket names no cluster that there is"}
}

func unread(_ Ticket, e Evidence) proof {
	if e.Unread == "" {
		return proof{}
	}
	return proof{evidence: "the cluster could not be looked into: " + e.Unread}
}

func suspects(_ Ticket, e Evidence) proof {
	return list("the node is ill with a DaemonSet of the customer's: %s", tuners(e, true))
}

func bystanders(_ Ticket, e Evidence) proof {
	return list("DaemonSets of the customer's that reach into the node run elsewhere, or did before it fell ill: %s", tuners(e, false))
}

func tuners(e Evidence, suspect bool) []string {
	var found []string
	for _, t := range e.Tuners {
		if t.suspect() == suspect {
			found = append(found, fmt.Sprintf("%s (%s) on %s since %s, which is ill since %s", t.Name, t.Reach, t.Node, stamp(t.Started), stamp(t.IllSince)))
		}
	}
	return found
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

func noConsent(t Ticket, _ Evidence) proof {
	if t.Consent {
		return proof{}
	}
	return proof{evidence: "the ticket asks to look into a node, and does not consent to it"}
}

func consented(t Ticket, _ Evidence) proof {
	if !t.Consent {
		return proof{}
	}
	return proof{evidence: "the customer consents to support looking into the cluster"}
}

func repairs(_ Ticket, e Evidence) proof { return list("Berth repairs it: %s", e.Repairs) }

func unregistered(t Ticket, _ Evidence) proof {
	return list("the subscription has not registered %s", t.Unregistered)
}

func critical(t Ticket, _ Evidence) proof {
	if t.Severity != v1beta1.SeverityCritical && t.Severity != v1beta1.SeverityHighest {
		return proof{}
	}
	return proof{evidence: "the ticket is critical, and a preview is not for production"}
}

func selfPatched(_ Ticket, e Evidence) proof {
	return list("the nodes patch their operating system themselves (nodeOSUpgradeChannel Unmanaged) in node pools %s", e.SelfPatched)
}

func behind(_ Ticket, e Evidence) proof {
	return list("node pools do not have the newest node image: %s", e.Behind)
}
