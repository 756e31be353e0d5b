package support

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy/access"
)

// consentBody is Berth's own resource: to what a ticket consents, and until when (B2, C7).
type consentBody struct {
	ID         string            `json:"id" arm:"read"`
	Name       string            `json:"name" arm:"read"`
	Type       string            `json:"type" arm:"read"`
	Properties consentProperties `json:"properties"`
}

type consentProperties struct {
	AdvancedDiagnosticConsent string   `json:"advancedDiagnosticConsent,omitempty" arm:"read"`
	Scopes                    []string `json:"scopes"`
	Expires                   string   `json:"expires,omitempty"`
	Since                     string   `json:"since,omitempty" arm:"read"`
	GivenBy                   string   `json:"givenBy,omitempty" arm:"read"`
}

// consentTo has a ticket consent, or not. One that begins again, also after its end, is
// another one: what was given with the one before stays ended.
func consentTo(spec *v1beta1.SupportTicketSpec, given bool, now metav1.Time) {
	switch {
	case !given:
		spec.AdvancedDiagnosticConsent, spec.Consent, spec.Consented = false, nil, nil
	case !access.ConsentStands(spec, now.Time):
		spec.AdvancedDiagnosticConsent, spec.Consent, spec.Consented = true, nil, &now
	}
}

// openOrClose changes a ticket's status. Closing ends every access, and opening it again
// brings none back.
func openOrClose(spec *v1beta1.SupportTicketSpec, status string, now metav1.Time) {
	if status == "" || status == string(spec.Status) {
		return
	}
	spec.Status = v1beta1.SupportTicketStatus(status)
	if spec.Status == v1beta1.TicketOpen && spec.AdvancedDiagnosticConsent {
		spec.Consented = &now
	}
}

func (p provider) renderConsent(r *arm.Request, ticket *v1beta1.SupportTicket) *consentBody {
	body := &consentBody{ID: ticketID(r, ticket.Spec.Name) + "/accessConsent/default", Name: "default", Type: consentType}
	shown := &body.Properties
	shown.AdvancedDiagnosticConsent, shown.Scopes = "No", []string{}
	if access.ConsentStands(&ticket.Spec, p.Now()) {
		shown.AdvancedDiagnosticConsent = "Yes"
		for _, scope := range access.Consented(ticket) {
			shown.Scopes = append(shown.Scopes, string(scope))
		}
	}
	if ticket.Spec.Consented != nil {
		shown.Since = stamp(*ticket.Spec.Consented)
	}
	if consent := ticket.Spec.Consent; consent != nil {
		shown.GivenBy = consent.GivenBy
		if consent.Expires != nil {
			shown.Expires = stamp(*consent.Expires)
		}
	}
	return body
}

func (p provider) getConsent(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	ticket, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	return arm.OK(p.renderConsent(r, ticket))
}

// putConsent says to what and until when support may act. What is narrower than before
// ends accesses that go further; what is wider, or comes after the end, is another consent.
func (p provider) putConsent(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	var body consentBody
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	scopes, err := scopesOf(body.Properties.Scopes)
	if err != nil {
		return nil, err
	}
	consent := &v1beta1.SupportConsent{Scopes: scopes, GivenBy: r.Caller.Name()}
	if text := body.Properties.Expires; text != "" {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil || !at.After(p.Now()) {
			return nil, invalid("properties.expires", "The expires '%s' is invalid: it must be a time to come, such as %s.", clip(text), p.Now().Add(8*time.Hour).UTC().Format(time.RFC3339))
		}
		expires := metav1.NewTime(at.UTC().Truncate(time.Second))
		consent.Expires = &expires
	}
	ticket, err := p.change(ctx, r, func(ticket *v1beta1.SupportTicket) error {
		if ticket.Spec.Status != v1beta1.TicketOpen {
			return closed(ticket)
		}
		if _, is := access.ClusterOf(ticket.Spec.ResourceID); !is {
			return arm.Errorf(http.StatusConflict, "Conflict", "The support ticket '%s' is about no cluster, so that there is nothing to consent to. Make one with the cluster's id as technicalTicketDetails.resourceId.", ticket.Spec.Name)
		}
		if access.Renews(ticket, scopes, p.Now()) {
			consentTo(&ticket.Spec, false, p.now())
		}
		consentTo(&ticket.Spec, true, p.now())
		ticket.Spec.Consent = consent
		return nil
	})
	if err != nil {
		return nil, err
	}
	return arm.OK(p.renderConsent(r, ticket))
}

// deleteConsent withdraws it, whatever else stands in the way.
func (p provider) deleteConsent(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	_, err := p.change(ctx, r, func(ticket *v1beta1.SupportTicket) error {
		consentTo(&ticket.Spec, false, p.now())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return arm.NoContent()
}

// scopesOf reads scopes, in their own order. To diagnose is a part of each other one.
func scopesOf(names []string) ([]v1beta1.SupportScope, error) {
	all := access.Scopes()
	known := make([]string, 0, len(all))
	for _, scope := range all {
		known = append(known, string(scope))
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, invalid("properties.scopes", "The value '%s' of properties.scopes is invalid. It must be of '%s'.", clip(name), strings.Join(known, "', '"))
		}
	}
	var scopes []v1beta1.SupportScope
	for _, scope := range all {
		if scope == v1beta1.ScopeDiagnose || slices.Contains(names, string(scope)) {
			scopes = append(scopes, scope)
		}
	}
	return scopes, nil
}

func closed(ticket *v1beta1.SupportTicket) error {
	return arm.Errorf(http.StatusConflict, "Conflict", "The support ticket '%s' is closed. Open it again with PATCH and status open, or make a new one.", ticket.Spec.Name)
}
