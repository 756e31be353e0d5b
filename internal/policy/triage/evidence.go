// Package triage decides whether a support ticket is in scope of the support policy
// (X4): B2-B4, C1-C7, D1-D13, G1-G6, I1, K1 and L1-L3. It is one table of clauses, read
// by a pure function on what the ticket says and what was found in the cluster.
package triage

import (
	"time"

	"berth.dev/berth/api/v1beta1"
)

// Ticket is what the customer says.
type Ticket struct {
	Topic Topic
	// Text is the title and the description, in the customer's words.
	Text     string
	Severity v1beta1.SupportSeverity
	// Consent says that support may look into the cluster (B2).
	Consent bool
	// Unregistered are previews that the ticket is about and the subscription did not
	// register (L1).
	Unregistered []string
}

// Evidence is what was found in the cluster that a ticket is about.
type Evidence struct {
	// Cluster says that the ticket names a cluster that there is. Without one all else is empty.
	Cluster bool
	// Unread says why the cluster itself could not be looked into; empty if it was, or
	// need not be.
	Unread string
	// Findings are those of the cluster's supportability.
	Findings []v1beta1.SupportFinding
	Stopped  bool
	// OwnCNI says that the customer brings the network (networkPlugin none).
	OwnCNI bool
	// PolicyEngine says that the service enforces network policies.
	PolicyEngine bool
	// OwnPolicyEngines are engines that the customer installed, such as "calico-node".
	OwnPolicyEngines []string
	// Ingresses are the ingress controllers in the cluster.
	Ingresses []Controller
	// Contested are managed components that somebody changes again and again (A7).
	Contested []string
	// Faults are what is broken on the platform's side, in words.
	Faults []string
	// Repairs are what Berth is doing about ill nodes, in words.
	Repairs []string
	// Tuners are the customer's DaemonSets on ill nodes that reach into the node.
	Tuners []Tuner
	// Webhooks are the customer's admission webhooks that catch kube-system and do not answer.
	Webhooks []string
	// Behind are node pools whose node image is not the newest.
	Behind []string
	// SelfPatched are node pools whose nodes patch their operating system themselves.
	SelfPatched []string
}

// Controller is an ingress controller, by the name of its IngressClass.
type Controller struct {
	Name string
	// Managed says that the service brought it.
	Managed bool
}

// Tuner is a DaemonSet of the customer's on a node that is ill (G5, G6).
type Tuner struct {
	// Name is namespace/name, and Reach how it gets into the node: "privileged", "hostPID",
	// "hostPath", or a capability such as "SYS_ADMIN".
	Name, Reach string
	Node        string
	// Started is when its pod there started, and IllSince since when the node is ill.
	Started, IllSince time.Time
	// HealthyWith and HealthyWithout count the healthy nodes with this revision of the
	// DaemonSet and without, and HealthySince is the first start on one; zero if there is none.
	HealthyWith, HealthyWithout int
	HealthySince                time.Time
}

// onset is how soon after a DaemonSet came a node must fall ill to blame it.
const onset = time.Hour

// suspect says whether the DaemonSet, and not the node, is what ails: the node fell ill
// soon after it came, or of all nodes only ill ones have it. One that came after the
// illness, or that a healthy node bears for longer, proves nothing (G5).
func (t Tuner) suspect() bool {
	after := t.IllSince.Sub(t.Started)
	if after < 0 || !t.HealthySince.IsZero() && t.IllSince.Sub(t.HealthySince) > onset {
		return false
	}
	return after <= onset || t.HealthyWith == 0 && t.HealthyWithout > 0
}
