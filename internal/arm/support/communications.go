package support

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
)

// serviceSender signs what Berth writes.
const serviceSender = "Berth"

// communicationBody is a message on the wire.
type communicationBody struct {
	ID         string                  `json:"id" arm:"read"`
	Name       string                  `json:"name" arm:"read"`
	Type       string                  `json:"type" arm:"read"`
	Properties communicationProperties `json:"properties"`
}

type communicationProperties struct {
	CommunicationType      string `json:"communicationType,omitempty" arm:"read"`
	CommunicationDirection string `json:"communicationDirection,omitempty" arm:"read"`
	Sender                 string `json:"sender,omitempty"`
	Subject                string `json:"subject"`
	Body                   string `json:"body"`
	CreatedDate            string `json:"createdDate,omitempty" arm:"read"`
}

// renderCommunication shows a message as seen by the customer: outbound is theirs.
func renderCommunication(r *arm.Request, ticket *v1beta1.SupportTicket, said *v1beta1.SupportCommunication) *communicationBody {
	body := &communicationBody{
		ID: ticketID(r, ticket.Spec.Name) + "/communications/" + said.Name, Name: said.Name, Type: communicationType,
		Properties: communicationProperties{
			CommunicationType: "web", CommunicationDirection: "outbound", Sender: said.Sender, Subject: said.Subject, Body: said.Body,
			CreatedDate: stamp(said.Created),
		},
	}
	if said.FromService {
		body.Properties.CommunicationDirection = "inbound"
	}
	return body
}

// saidBy finds a message by its name, nil if there is none.
func saidBy(ticket *v1beta1.SupportTicket, name string) *v1beta1.SupportCommunication {
	i := slices.IndexFunc(ticket.Communications, func(c v1beta1.SupportCommunication) bool { return strings.EqualFold(c.Name, name) })
	if i < 0 {
		return nil
	}
	return &ticket.Communications[i]
}

// listCommunications lists the messages, the oldest first.
func (p provider) listCommunications(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	wanted, err := parseFilter(r.Query("$filter"), communicationFields)
	if err != nil {
		return nil, err
	}
	ticket, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	var items []arm.Item
	for i := range ticket.Communications {
		body := renderCommunication(r, ticket, &ticket.Communications[i])
		if wanted.holds(map[string]string{"communicationtype": body.Properties.CommunicationType, "createddate": body.Properties.CreatedDate}) {
			items = append(items, arm.Item{Key: fmt.Sprintf("%04d", i), Body: body})
		}
	}
	return p.Page(r, items)
}

func (p provider) getCommunication(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	ticket, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	said := saidBy(ticket, r.Parameter("communication"))
	if said == nil {
		return nil, arm.Errorf(http.StatusNotFound, "ResourceNotFound", "The communication '%s' was not found on support ticket '%s'.", clip(r.Parameter("communication")), ticket.Spec.Name)
	}
	return arm.OK(renderCommunication(r, ticket, said))
}

// putCommunication adds a message, the customer's or an engineer's. The same one put again
// is the one that there is.
func (p provider) putCommunication(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	var body communicationBody
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	name, said := r.Parameter("communication"), &body.Properties
	sender, engineer := cmp.Or(said.Sender, r.Caller.User), r.Caller.Engineer
	if engineer {
		sender = r.Caller.Name()
	}
	if err := checkSaid(name, sender, said, engineer); err != nil {
		return nil, err
	}
	ticket, err := p.change(ctx, r, func(ticket *v1beta1.SupportTicket) error {
		if existing := saidBy(ticket, name); existing != nil {
			if existing.FromService != engineer || existing.Subject != said.Subject || existing.Body != said.Body || existing.Sender != sender {
				return arm.Errorf(http.StatusConflict, "Conflict", "The communication '%s' exists already, and what was said stays. Choose another name.", existing.Name)
			}
			return nil
		}
		if err := checkOpen(ticket); err != nil {
			return err
		}
		ticket.Communications = append(ticket.Communications, v1beta1.SupportCommunication{
			Name: name, Sender: sender, Subject: said.Subject, Body: said.Body, Created: p.now(), FromService: engineer,
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return arm.OK(renderCommunication(r, ticket, saidBy(ticket, name)))
}

// checkSaid holds a message to what must be there and to what is stored. Whom an engineer
// speaks as is known, and is not theirs to say.
func checkSaid(name, sender string, said *communicationProperties, engineer bool) error {
	switch {
	case !namePattern.MatchString(name):
		return invalid("communicationName", "The name '%s' of the communication is invalid: it must be 1 to 90 letters, digits, underscores, periods and hyphens, and begin and end with a letter or a digit.", clip(name))
	case engineer && said.Sender != "" && said.Sender != sender:
		return invalid("properties.sender", "The sender '%s' is invalid: support speaks as '%s', as its token says.", clip(said.Sender), sender)
	case !engineer && sender == "":
		return invalid("properties.sender", "The field sender is required if a service principal calls.")
	case !engineer && !emailPattern.MatchString(sender) || len(sender) > maxTitle:
		return invalid("properties.sender", "The sender '%s' is not an e-mail address.", clip(sender))
	case said.Subject == "" || size(said.Subject) > maxTitle:
		return invalid("properties.subject", "The subject is required, and may have %d bytes.", maxTitle)
	case said.Body == "" || size(said.Body) > maxText:
		return invalid("properties.body", "The body is required, and may have %d bytes.", maxText)
	}
	return nil
}
