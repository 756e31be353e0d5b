package support

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
)

// now is the time as it is stored.
func (p provider) now() metav1.Time { return metav1.NewTime(p.Now().UTC().Truncate(time.Second)) }

// find reads the ticket that the path names, nil if there is none.
func (p provider) find(ctx context.Context, r *arm.Request, name string) (*v1beta1.SupportTicket, error) {
	var ticket v1beta1.SupportTicket
	if !namePattern.MatchString(name) {
		return nil, nil
	}
	err := p.APIReader.Get(ctx, client.ObjectKey{Namespace: r.Namespace(), Name: v1beta1.ObjectName(name)}, &ticket)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read support ticket %s: %w", name, err)
	}
	return &ticket, nil
}

// require is find, or 404.
func (p provider) require(ctx context.Context, r *arm.Request) (*v1beta1.SupportTicket, error) {
	ticket, err := p.find(ctx, r, r.Parameter("ticket"))
	if err == nil && ticket == nil {
		err = arm.Errorf(http.StatusNotFound, "ResourceNotFound", "The support ticket '%s' was not found in this subscription.", clip(r.Parameter("ticket")))
	}
	return ticket, err
}

func (p provider) getTicket(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	ticket, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	return arm.OK(p.renderTicket(r, ticket))
}

func (p provider) listTickets(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	wanted, err := parseFilter(r.Query("$filter"), ticketFields)
	if err != nil {
		return nil, err
	}
	var list v1beta1.SupportTicketList
	if err := p.APIReader.List(ctx, &list, client.InNamespace(r.Namespace())); err != nil {
		return nil, fmt.Errorf("list support tickets: %w", err)
	}
	var items []arm.Item
	for i := range list.Items {
		body := p.renderTicket(r, &list.Items[i])
		if wanted.holds(map[string]string{
			"status": body.Properties.Status, "serviceid": body.Properties.ServiceID, "createddate": body.Properties.CreatedDate,
			"problemclassificationid": body.Properties.ProblemClassificationID,
		}) {
			items = append(items, arm.Item{Key: list.Items[i].Name, Body: body})
		}
	}
	return p.Page(r, items)
}

// putTicket makes a ticket and answers it: both are one write, so that no ticket is ever
// without an answer. The same ticket put again is the one that there is.
func (p provider) putTicket(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	var body ticketBody
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	spec, err := specOf(r, &body, p.now())
	if err != nil {
		return nil, err
	}
	existing, err := p.find(ctx, r, spec.Name)
	if err != nil {
		return nil, err
	}
	if existing != nil {
		return p.putAgain(r, existing, spec)
	}
	ticket := &v1beta1.SupportTicket{ObjectMeta: metav1.ObjectMeta{
		Namespace: r.Namespace(), Name: v1beta1.ObjectName(spec.Name), Annotations: map[string]string{annotationAsked: asked(spec)},
	}, Spec: *spec}
	answer, err := p.decide(ctx, r, ticket)
	if err != nil {
		return nil, err
	}
	post(ticket, answer)
	if err := p.Client.Create(ctx, ticket); err != nil {
		return nil, fmt.Errorf("write support ticket %s: %w", spec.Name, err)
	}
	return arm.OK(p.renderTicket(r, ticket))
}

// annotationAsked has the sum of what a ticket was made of: the same request is known
// again, whatever was changed since.
const annotationAsked = "berth.dev/asked"

// asked is the sum of what a customer asks for with a ticket, and of nothing that the
// service adds.
func asked(spec *v1beta1.SupportTicketSpec) string {
	bare := *spec
	bare.Name, bare.TicketID, bare.Created, bare.Modified, bare.Consented = "", "", metav1.Time{}, metav1.Time{}, nil
	raw, err := json.Marshal(bare)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(raw))
}

// putAgain answers a PUT of a ticket that there is: a client that tries again gets it,
// as it is now, and any other is told to choose another name.
func (p provider) putAgain(r *arm.Request, existing *v1beta1.SupportTicket, spec *v1beta1.SupportTicketSpec) (*arm.Response, error) {
	same := *spec
	same.Name, same.TicketID, same.Created, same.Modified, same.Status = existing.Spec.Name, existing.Spec.TicketID, existing.Spec.Created, existing.Spec.Modified, existing.Spec.Status
	same.Consent, same.Consented = existing.Spec.Consent, existing.Spec.Consented
	if sum := asked(spec); sum != "" && sum == existing.Annotations[annotationAsked] {
		return arm.OK(p.renderTicket(r, existing))
	}
	if !equality.Semantic.DeepEqual(same, existing.Spec) {
		return nil, arm.Errorf(http.StatusConflict, "Conflict", "The support ticket '%s' exists already. Choose another name, or change it with PATCH.", existing.Spec.Name)
	}
	return arm.OK(p.renderTicket(r, existing))
}

// change changes the ticket that the path names.
func (p provider) change(ctx context.Context, r *arm.Request, apply func(*v1beta1.SupportTicket) error) (*v1beta1.SupportTicket, error) {
	find := func() (*v1beta1.SupportTicket, error) { return p.require(ctx, r) }
	return update(ctx, p.Client, find, func(ticket *v1beta1.SupportTicket) error {
		before := ticket.DeepCopy()
		if err := apply(ticket); err != nil {
			return err
		}
		if !equality.Semantic.DeepEqual(before, ticket) {
			ticket.Spec.Modified = p.now()
		}
		return nil
	})
}

func (p provider) patchTicket(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	var body updateBody
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	for _, field := range []struct {
		target, value string
		allowed       []string
	}{
		{"severity", body.Severity, severities}, {"advancedDiagnosticConsent", body.AdvancedDiagnosticConsent, consents},
		{"status", body.Status, []string{string(v1beta1.TicketOpen), string(v1beta1.TicketClosed)}},
	} {
		if err := oneOf(field.target, field.value, append(slices.Clone(field.allowed), "")); err != nil {
			return nil, err
		}
	}
	ticket, err := p.change(ctx, r, func(ticket *v1beta1.SupportTicket) error {
		spec := &ticket.Spec
		spec.Severity = v1beta1.SupportSeverity(cmp.Or(body.Severity, string(spec.Severity)))
		openOrClose(spec, body.Status, p.now())
		if body.AdvancedDiagnosticConsent != "" {
			consentTo(spec, body.AdvancedDiagnosticConsent == "Yes", p.now())
		}
		if body.ContactDetails == nil {
			return nil
		}
		spec.Contact = merged(spec.Contact, *body.ContactDetails)
		return checkContact(&spec.Contact)
	})
	if err != nil {
		return nil, err
	}
	return arm.OK(p.renderTicket(r, ticket))
}

// merged are contact details with those replaced that a client sends.
func merged(has, sent v1beta1.SupportContact) v1beta1.SupportContact {
	out := v1beta1.SupportContact{
		FirstName: cmp.Or(sent.FirstName, has.FirstName), LastName: cmp.Or(sent.LastName, has.LastName),
		PreferredContactMethod:   cmp.Or(sent.PreferredContactMethod, has.PreferredContactMethod),
		PrimaryEmailAddress:      cmp.Or(sent.PrimaryEmailAddress, has.PrimaryEmailAddress),
		AdditionalEmailAddresses: has.AdditionalEmailAddresses, PhoneNumber: cmp.Or(sent.PhoneNumber, has.PhoneNumber),
		PreferredTimeZone: cmp.Or(sent.PreferredTimeZone, has.PreferredTimeZone), Country: cmp.Or(sent.Country, has.Country),
		PreferredSupportLanguage: cmp.Or(sent.PreferredSupportLanguage, has.PreferredSupportLanguage),
	}
	if sent.AdditionalEmailAddresses != nil {
		out.AdditionalEmailAddresses = sent.AdditionalEmailAddresses
	}
	return out
}
