package support

import (
	"context"
	"strings"

	"berth.dev/berth/internal/arm"
)

// nameBody asks whether a name is free.
type nameBody struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

func decodeName(r *arm.Request, kind string) (string, error) {
	var body nameBody
	if err := r.Decode(&body); err != nil {
		return "", err
	}
	if body.Name == "" {
		return "", invalid("name", "The field name is required.")
	}
	if !strings.EqualFold(body.Type, kind) {
		return "", invalid("type", "The type '%s' is invalid. It must be '%s'.", clip(body.Type), kind)
	}
	return body.Name, nil
}

// availability answers whether a name is free.
func availability(name string, taken bool) (*arm.Response, error) {
	switch {
	case !namePattern.MatchString(name):
		return arm.OK(map[string]any{"nameAvailable": false, "reason": "Name is invalid", "message": "Name must be 1 to 90 letters, digits, underscores, periods and hyphens, and begin and end with a letter or a digit"})
	case taken:
		return arm.OK(map[string]any{"nameAvailable": false, "reason": "Name is already in use", "message": "Name not available"})
	default:
		return arm.OK(map[string]any{"nameAvailable": true})
	}
}

func (p provider) checkTicketName(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	name, err := decodeName(r, ticketType)
	if err != nil {
		return nil, err
	}
	ticket, err := p.find(ctx, r, name)
	if err != nil {
		return nil, err
	}
	return availability(name, ticket != nil)
}

func (p provider) checkCommunicationName(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	name, err := decodeName(r, communicationType)
	if err != nil {
		return nil, err
	}
	ticket, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	return availability(name, saidBy(ticket, name) != nil)
}
