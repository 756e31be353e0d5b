package access

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy/clause"
)

// Evidence is what an access is decided by.
type Evidence struct {
	// Access is what is asked for, or was given.
	Access v1beta1.SupportAccessSpec
	// Ticket and Cluster are those that the access names; nil if there is none.
	Ticket  *v1beta1.SupportTicket
	Cluster *v1beta1.ManagedCluster
	// Passed is the time that was seen to pass since the access was given.
	Passed time.Duration
}

// End is why there is no access, or none any more.
type End struct {
	Clause clause.ID
	// Reason is one word, for programs; Message is for people.
	Reason, Message string
}

// row is one thing that ends an access.
type row struct {
	clause clause.ID
	reason string
	holds  func(Evidence, time.Time) bool
	// message may have the access's figures in it.
	message func(Evidence) string
}

// table has every end. The first row that holds decides: the order is from what says most.
var table = []row{
	{"C7", "Revoked", func(e Evidence, _ time.Time) bool { return e.Access.Revoked != nil },
		func(e Evidence) string { return "it was ended by " + e.Access.Revoked.By }},
	{"C7", "TicketMissing", func(e Evidence, _ time.Time) bool {
		return e.Ticket == nil || e.Ticket.Spec.TicketID != e.Access.TicketID
	}, func(e Evidence) string { return "there is no such ticket as " + e.Access.Ticket }},
	{"C7", "TicketClosed", func(e Evidence, _ time.Time) bool { return e.Ticket.Spec.Status != v1beta1.TicketOpen },
		func(e Evidence) string { return fmt.Sprintf("the ticket %s is closed", e.Access.Ticket) }},
	{"C7", "AnotherCluster", func(e Evidence, _ time.Time) bool {
		name, is := ClusterOf(e.Ticket.Spec.ResourceID)
		return !is || name != e.Access.Cluster
	}, func(e Evidence) string {
		return fmt.Sprintf("the ticket %s is not about this cluster", e.Access.Ticket)
	}},
	{"C7", "ClusterMissing", func(e Evidence, _ time.Time) bool {
		return e.Cluster == nil || e.Cluster.Spec.ID != e.Access.ClusterID || !e.Cluster.DeletionTimestamp.IsZero()
	}, func(Evidence) string { return "the cluster is gone, or about to be" }},
	{"C7", "NoConsent", func(e Evidence, _ time.Time) bool { return !e.Ticket.Spec.AdvancedDiagnosticConsent },
		func(Evidence) string { return "the customer does not consent" }},
	{"C7", "ConsentWithdrawn", func(e Evidence, _ time.Time) bool {
		since := e.Ticket.Spec.Consented
		// Both are whole seconds: see From.
		return since != nil && !since.Time.Before(e.Access.Created.Time)
	}, func(Evidence) string {
		return "the consent that it was given with was withdrawn, or replaced by another one"
	}},
	{"C7", "ConsentExpired", func(e Evidence, now time.Time) bool { return expired(e.Ticket, now) },
		func(Evidence) string { return "the customer's consent has come to its end" }},
	{"B2", "ScopeNotConsented", func(e Evidence, _ time.Time) bool { return len(beyond(e)) > 0 },
		func(e Evidence) string { return "the customer does not consent to " + strings.Join(beyond(e), ", ") }},
	{"C7", "Expired", func(e Evidence, now time.Time) bool {
		return !now.Before(e.Access.Expires.Time) || e.Passed >= e.Access.Expires.Sub(e.Access.Created.Time)
	}, func(Evidence) string { return "its time is over" }},
	{"C7", "ClockWentBack", func(e Evidence, now time.Time) bool {
		return now.Before(e.Access.Created.Add(-clockSlack))
	}, func(Evidence) string {
		return "the service's clock went back to before it was given, so that nobody can tell how long it has lasted"
	}},
}

// clockSlack is how far clocks of two servers, or one that is set right, may differ.
const clockSlack = time.Minute

// From is when an access begins that is asked for now. It is later than the consent that it
// is given with, if by less than a second that has not come yet: a consent of the same
// second or a later one is another one.
func From(ticket *v1beta1.SupportTicket, now time.Time) time.Time {
	from := now.Truncate(time.Second)
	if since := ticket.Spec.Consented; since != nil && !from.After(since.Time) {
		from = since.Add(time.Second)
	}
	return from
}

// Decide says why an access is over, or not to be given; nil if it stands.
func Decide(e Evidence, now time.Time) *End {
	for _, r := range table {
		if r.holds(e, now) {
			return &End{Clause: r.clause, Reason: r.reason, Message: r.message(e)}
		}
	}
	return nil
}

// Until is when an access that stands ends by itself.
func Until(e Evidence) time.Time {
	until := e.Access.Expires.Time
	if consent := e.Ticket.Spec.Consent; consent != nil && consent.Expires != nil && consent.Expires.Time.Before(until) {
		until = consent.Expires.Time
	}
	return until
}

// Consented are the scopes that a ticket consents to, none if it does not consent.
func Consented(ticket *v1beta1.SupportTicket) []v1beta1.SupportScope {
	switch {
	case !ticket.Spec.AdvancedDiagnosticConsent:
		return nil
	case ticket.Spec.Consent == nil:
		return []v1beta1.SupportScope{v1beta1.ScopeDiagnose}
	default:
		return ticket.Spec.Consent.Scopes
	}
}

func expired(ticket *v1beta1.SupportTicket, now time.Time) bool {
	consent := ticket.Spec.Consent
	return consent != nil && consent.Expires != nil && !now.Before(consent.Expires.Time)
}

// Renews says whether consent to some scopes is another one than the ticket has, and not
// that one with less or with another end: what ended with the one before stays ended (C7).
func Renews(ticket *v1beta1.SupportTicket, scopes []v1beta1.SupportScope, now time.Time) bool {
	before := Consented(ticket)
	return len(before) == 0 || expired(ticket, now) ||
		slices.ContainsFunc(scopes, func(scope v1beta1.SupportScope) bool { return !slices.Contains(before, scope) })
}

// beyond are the scopes of an access that the customer does not consent to.
func beyond(e Evidence) []string {
	consented := Consented(e.Ticket)
	var out []string
	for _, scope := range e.Access.Scopes {
		if !slices.Contains(consented, scope) {
			out = append(out, string(scope))
		}
	}
	return out
}

// ClusterOf is the object name of the cluster that an ARM id names, or that the named
// resource is a part of.
func ClusterOf(resourceID string) (string, bool) {
	parts := strings.Split(strings.Trim(resourceID, "/"), "/")
	if len(parts) < 8 || !strings.EqualFold(parts[6], "managedClusters") {
		return "", false
	}
	return v1beta1.ObjectName(parts[3], parts[7]), true
}

// User is whom an engineer is in the cluster: nobody else, and in no other access.
func User(access *v1beta1.SupportAccess) string {
	return RoleName + ":" + access.Spec.Engineer + ":" + access.Name
}
