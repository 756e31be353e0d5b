package support

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy/access"
	"berth.dev/berth/internal/policy/triage"
)

// ticketBody is a ticket on the wire.
type ticketBody struct {
	ID         string           `json:"id" arm:"read"`
	Name       string           `json:"name" arm:"read"`
	Type       string           `json:"type" arm:"read"`
	Properties ticketProperties `json:"properties"`
}

type ticketProperties struct {
	SupportTicketID                  string                 `json:"supportTicketId,omitempty" arm:"read"`
	Description                      string                 `json:"description"`
	ProblemClassificationID          string                 `json:"problemClassificationId"`
	ProblemClassificationDisplayName string                 `json:"problemClassificationDisplayName,omitempty" arm:"read"`
	Severity                         string                 `json:"severity" arm:"enum=minimal|moderate|critical|highestcriticalimpact"`
	Require24X7Response              bool                   `json:"require24X7Response"`
	AdvancedDiagnosticConsent        string                 `json:"advancedDiagnosticConsent,omitempty" arm:"enum=Yes|No"`
	ContactDetails                   v1beta1.SupportContact `json:"contactDetails"`
	ServiceLevelAgreement            any                    `json:"serviceLevelAgreement,omitempty" arm:"read"`
	SupportEngineer                  any                    `json:"supportEngineer,omitempty" arm:"read"`
	Title                            string                 `json:"title"`
	ProblemStartTime                 string                 `json:"problemStartTime,omitempty"`
	ServiceID                        string                 `json:"serviceId"`
	ServiceDisplayName               string                 `json:"serviceDisplayName,omitempty" arm:"read"`
	Status                           string                 `json:"status,omitempty" arm:"read"`
	CreatedDate                      string                 `json:"createdDate,omitempty" arm:"read"`
	ModifiedDate                     string                 `json:"modifiedDate,omitempty" arm:"read"`
	TechnicalTicketDetails           *technicalDetails      `json:"technicalTicketDetails,omitempty"`
}

type technicalDetails struct {
	ResourceID string `json:"resourceId,omitempty"`
}

// updateBody is what a PATCH changes.
type updateBody struct {
	Severity                  string                  `json:"severity" arm:"enum=minimal|moderate|critical|highestcriticalimpact"`
	Status                    string                  `json:"status" arm:"enum=open|closed"`
	AdvancedDiagnosticConsent string                  `json:"advancedDiagnosticConsent" arm:"enum=Yes|No"`
	ContactDetails            *v1beta1.SupportContact `json:"contactDetails"`
}

// onlyEnds says that a change withdraws consent or closes the ticket, and does no more.
func (b updateBody) onlyEnds() bool {
	closes, withdraws := b.Status == string(v1beta1.TicketClosed), b.AdvancedDiagnosticConsent == "No"
	return (closes || withdraws) && (closes || b.Status == "") && (withdraws || b.AdvancedDiagnosticConsent == "") &&
		b.Severity == "" && b.ContactDetails == nil
}

// Limits of what is stored, in bytes of JSON: a ticket is one object.
const (
	maxTitle          = 250
	maxText           = 16 << 10
	maxContact        = 2 << 10
	maxCommunications = 40
)

var (
	namePattern  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,88}[A-Za-z0-9])?$`)
	emailPattern = regexp.MustCompile(`^[^@\s]+@[^@\s]+$`)
)

var (
	severities = []string{string(v1beta1.SeverityMinimal), string(v1beta1.SeverityModerate), string(v1beta1.SeverityCritical), string(v1beta1.SeverityHighest)}
	consents   = []string{"Yes", "No"}
)

// invalid refuses a value by its name, as Microsoft.Support does.
func invalid(target, format string, args ...any) error {
	e := arm.Errorf(http.StatusBadRequest, "InvalidParameterValue", format, args...)
	e.Target = target
	return e
}

// specOf checks a ticket's body and makes it the ticket that is stored.
func specOf(r *arm.Request, body *ticketBody, now metav1.Time) (*v1beta1.SupportTicketSpec, error) {
	p := &body.Properties
	if !namePattern.MatchString(r.Parameter("ticket")) {
		return nil, invalid("supportTicketName", "The name '%s' of the support ticket is invalid: it must be 1 to 90 letters, digits, underscores, periods and hyphens, and begin and end with a letter or a digit.", clip(r.Parameter("ticket")))
	}
	if !strings.EqualFold(p.ServiceID, serviceID) {
		return nil, invalid("properties.serviceId", "The serviceId '%s' is invalid. It must be '%s'.", clip(p.ServiceID), serviceID)
	}
	topic, known := topicOf(p.ProblemClassificationID)
	if !known {
		return nil, invalid("properties.problemClassificationId", "The problemClassificationId '%s' is invalid. Those of the service are listed at %s/problemClassifications.", clip(p.ProblemClassificationID), serviceID)
	}
	if err := checkTexts(p); err != nil {
		return nil, err
	}
	if err := oneOf("properties.severity", p.Severity, severities); err != nil {
		return nil, err
	}
	if p.AdvancedDiagnosticConsent == "" && r.APIVersion < consentVersion {
		p.AdvancedDiagnosticConsent = "No"
	}
	if err := oneOf("properties.advancedDiagnosticConsent", p.AdvancedDiagnosticConsent, consents); err != nil {
		return nil, err
	}
	if err := checkContact(&p.ContactDetails); err != nil {
		return nil, err
	}
	spec := &v1beta1.SupportTicketSpec{
		Name: r.Parameter("ticket"), TicketID: arm.NewID(), Problem: string(topic), Title: p.Title, Description: p.Description,
		Severity: v1beta1.SupportSeverity(p.Severity), Status: v1beta1.TicketOpen, Contact: p.ContactDetails,
		Require24X7Response: p.Require24X7Response, Created: now, Modified: now,
	}
	consentTo(spec, p.AdvancedDiagnosticConsent == "Yes", now)
	if p.ProblemStartTime != "" {
		at, err := time.Parse(time.RFC3339, p.ProblemStartTime)
		if err != nil {
			return nil, invalid("properties.problemStartTime", "The problemStartTime '%s' is invalid: it must be a time such as 2026-11-26T12:00:00Z.", clip(p.ProblemStartTime))
		}
		start := metav1.NewTime(at.UTC().Truncate(time.Second))
		spec.ProblemStartTime = &start
	}
	if details := p.TechnicalTicketDetails; details != nil && details.ResourceID != "" {
		if !strings.HasPrefix(strings.ToLower(details.ResourceID), strings.ToLower(r.SubscriptionPath())+"/") || len(details.ResourceID) > maxContact {
			return nil, invalid("properties.technicalTicketDetails.resourceId", "The resourceId '%s' is invalid: it must be the id of a resource in the ticket's subscription.", clip(details.ResourceID))
		}
		spec.ResourceID = details.ResourceID
	}
	return spec, nil
}

func checkTexts(p *ticketProperties) error {
	switch {
	case p.Title == "" || size(p.Title) > maxTitle:
		return invalid("properties.title", "The title is required, and may have %d bytes.", maxTitle)
	case p.Description == "" || size(p.Description) > maxText:
		return invalid("properties.description", "The description is required, and may have %d bytes.", maxText)
	}
	return nil
}

// checkContact holds contact details to what must be there.
func checkContact(c *v1beta1.SupportContact) error {
	required := []struct{ name, value string }{
		{"firstName", c.FirstName}, {"lastName", c.LastName}, {"preferredContactMethod", c.PreferredContactMethod},
		{"primaryEmailAddress", c.PrimaryEmailAddress}, {"preferredTimeZone", c.PreferredTimeZone}, {"country", c.Country},
		{"preferredSupportLanguage", c.PreferredSupportLanguage},
	}
	for _, one := range required {
		if one.value == "" {
			return invalid("properties.contactDetails."+one.name, "The field contactDetails.%s is required.", one.name)
		}
	}
	if err := oneOf("properties.contactDetails.preferredContactMethod", c.PreferredContactMethod, []string{"email", "phone"}); err != nil {
		return err
	}
	for _, address := range append([]string{c.PrimaryEmailAddress}, c.AdditionalEmailAddresses...) {
		if !emailPattern.MatchString(address) {
			return invalid("properties.contactDetails", "'%s' is not an e-mail address.", clip(address))
		}
	}
	if c.PreferredContactMethod == "phone" && c.PhoneNumber == "" {
		return invalid("properties.contactDetails.phoneNumber", "The field contactDetails.phoneNumber is required if the preferred contact method is phone.")
	}
	if size(c) > maxContact {
		return invalid("properties.contactDetails", "The contact details may have %d bytes.", maxContact)
	}
	return nil
}

func oneOf(target, value string, allowed []string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return invalid(target, "The value '%s' of %s is invalid. It must be one of '%s'.", clip(value), target, strings.Join(allowed, "', '"))
}

// size is how much of a stored object something takes.
func size(value any) int {
	raw, err := json.Marshal(value)
	if err != nil {
		return maxText + 1
	}
	return len(raw)
}

// clip keeps what is echoed to the client short.
func clip(text string) string {
	if len(text) > 128 {
		return text[:128] + "…"
	}
	return text
}

func ticketID(r *arm.Request, name string) string {
	return r.SubscriptionPath() + "/providers/" + ticketType + "/" + name
}

func stamp(at metav1.Time) string { return at.UTC().Format(time.RFC3339) }

func (p provider) renderTicket(r *arm.Request, ticket *v1beta1.SupportTicket) *ticketBody {
	spec := &ticket.Spec
	classification, _ := triage.Find(triage.Topic(spec.Problem))
	body := &ticketBody{ID: ticketID(r, spec.Name), Name: spec.Name, Type: ticketType, Properties: ticketProperties{
		SupportTicketID: spec.TicketID, Title: spec.Title, Description: spec.Description,
		ProblemClassificationID: classificationID(triage.Topic(spec.Problem)), ProblemClassificationDisplayName: classification.Title,
		Severity: string(spec.Severity), Require24X7Response: spec.Require24X7Response, AdvancedDiagnosticConsent: "No",
		ContactDetails: spec.Contact, ServiceID: serviceID, ServiceDisplayName: serviceTitle, Status: "Open",
		CreatedDate: stamp(spec.Created), ModifiedDate: stamp(spec.Modified),
	}}
	shown := &body.Properties
	if spec.Status == v1beta1.TicketClosed {
		shown.Status = "Closed"
	}
	if access.ConsentStands(spec, p.Now()) {
		shown.AdvancedDiagnosticConsent = "Yes"
	}
	if spec.ProblemStartTime != nil {
		shown.ProblemStartTime = stamp(*spec.ProblemStartTime)
	}
	if spec.ResourceID != "" {
		shown.TechnicalTicketDetails = &technicalDetails{spec.ResourceID}
	}
	return body
}
