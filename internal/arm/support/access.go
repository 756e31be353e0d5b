package support

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/pki"
	"berth.dev/berth/internal/policy/access"
	"berth.dev/berth/internal/supportaccess"
)

const (
	// defaultDuration is how long an access lasts if nothing is said.
	defaultDuration = time.Hour
	// maxReason is in bytes, maxStanding in accesses of one ticket.
	maxReason   = 1 << 10
	maxStanding = 20
)

// accessPattern is a GUID: whoever asks for an access draws its name, so that asking
// twice gives one.
var accessPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// putAccess gives an engineer access to the ticket's cluster, if the customer consents
// (C7). The rights follow in the cluster in a moment.
func (p provider) putAccess(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	var body accessBody
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if !accessPattern.MatchString(r.Parameter("access")) {
		return nil, invalid("accessName", "The name '%s' of the access is invalid: it must be a GUID that you draw.", clip(r.Parameter("access")))
	}
	ticket, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	evidence, err := p.asked(ctx, r, ticket, &body.Properties)
	if err != nil {
		return nil, err
	}
	existing, err := p.findAccess(ctx, r)
	if err != nil {
		return nil, err
	}
	if existing != nil {
		if existing.Spec.TicketID != ticket.Spec.TicketID || existing.Spec.Engineer != r.Caller.Name() || existing.Spec.Reason != evidence.Access.Reason ||
			!equality.Semantic.DeepEqual(existing.Spec.Scopes, evidence.Access.Scopes) {
			return nil, arm.Errorf(http.StatusConflict, "Conflict", "The access '%s' exists already. Draw another name.", existing.Name)
		}
		return arm.OK(renderAccess(r, existing, p.Now()))
	}
	if end := access.Decide(evidence, p.Now()); end != nil {
		return nil, arm.Errorf(http.StatusForbidden, "SupportAccessNotAllowed", "Support gets no access for the ticket '%s', since %s (support policy %s).", ticket.Spec.Name, end.Message, end.Clause)
	}
	if err := p.checkRoom(ctx, r, ticket); err != nil {
		return nil, err
	}
	made := &v1beta1.SupportAccess{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace(), Name: strings.ToLower(r.Parameter("access"))}, Spec: evidence.Access}
	if err := p.Client.Create(ctx, made); err != nil {
		return nil, fmt.Errorf("write access %s: %w", made.Name, err)
	}
	return arm.OK(renderAccess(r, made, p.Now()))
}

// asked reads what an engineer asks for, and what decides on it.
func (p provider) asked(ctx context.Context, r *arm.Request, ticket *v1beta1.SupportTicket, asked *accessProperties) (access.Evidence, error) {
	e := access.Evidence{Ticket: ticket}
	scopes, err := scopesOf(asked.Scopes)
	if err != nil {
		return e, err
	}
	if reason := strings.TrimSpace(asked.Reason); reason == "" || size(reason) > maxReason {
		return e, invalid("properties.reason", "The reason is required, for the customer to read, and may have %d bytes.", maxReason)
	}
	plan, err := supportaccess.Plan(ctx, p.APIReader)
	if err != nil {
		return e, err
	}
	duration := min(defaultDuration, plan.MaxDuration)
	if minutes := asked.DurationInMinutes; minutes != nil {
		duration = time.Duration(*minutes) * time.Minute
		if *minutes < 1 || *minutes > int64(plan.MaxDuration/time.Minute) {
			return e, invalid("properties.durationInMinutes", "The durationInMinutes %d is invalid: an access lasts for 1 to %d minutes (support policy C7).", *minutes, int64(plan.MaxDuration/time.Minute))
		}
	}
	cluster, err := p.clusterOf(ctx, r, ticket.Spec.ResourceID)
	if err != nil {
		return e, err
	}
	from := metav1.NewTime(access.From(ticket, p.now().Time))
	e.Access = v1beta1.SupportAccessSpec{
		Ticket: ticket.Spec.Name, TicketID: ticket.Spec.TicketID, ResourceID: ticket.Spec.ResourceID, Engineer: r.Caller.Name(),
		Reason: strings.TrimSpace(asked.Reason), Scopes: scopes, Created: from, Expires: metav1.NewTime(from.Add(duration)),
	}
	if cluster == nil {
		return e, arm.Errorf(http.StatusConflict, "Conflict", "The support ticket '%s' is about no cluster that there is, so that there is nothing to have access to.", ticket.Spec.Name)
	}
	e.Cluster, e.Access.Cluster, e.Access.ClusterID = cluster, cluster.Name, cluster.Spec.ID
	return e, nil
}

// checkRoom bounds how many accesses stand at once for a ticket.
func (p provider) checkRoom(ctx context.Context, r *arm.Request, ticket *v1beta1.SupportTicket) error {
	all, err := p.accessesOf(ctx, r, ticket)
	if err != nil {
		return err
	}
	standing := 0
	for i := range all {
		if all[i].Status.Ended == nil {
			standing++
		}
	}
	if standing >= maxStanding {
		return arm.Errorf(http.StatusConflict, "Conflict", "The support ticket '%s' has %d accesses that stand, which is all that it takes. End one.", ticket.Spec.Name, standing)
	}
	return nil
}

func (p provider) accessesOf(ctx context.Context, r *arm.Request, ticket *v1beta1.SupportTicket) ([]v1beta1.SupportAccess, error) {
	var list v1beta1.SupportAccessList
	if err := p.APIReader.List(ctx, &list, client.InNamespace(r.Namespace())); err != nil {
		return nil, fmt.Errorf("list accesses: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(one v1beta1.SupportAccess) bool { return one.Spec.TicketID != ticket.Spec.TicketID }), nil
}

// findAccess reads the access that the path names, nil if there is none.
func (p provider) findAccess(ctx context.Context, r *arm.Request) (*v1beta1.SupportAccess, error) {
	if !accessPattern.MatchString(r.Parameter("access")) {
		return nil, nil
	}
	var found v1beta1.SupportAccess
	err := p.APIReader.Get(ctx, client.ObjectKey{Namespace: r.Namespace(), Name: strings.ToLower(r.Parameter("access"))}, &found)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read access: %w", err)
	}
	return &found, nil
}

// requireAccess is findAccess of the path's ticket, or 404.
func (p provider) requireAccess(ctx context.Context, r *arm.Request) (*v1beta1.SupportAccess, error) {
	ticket, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	found, err := p.findAccess(ctx, r)
	if err == nil && (found == nil || found.Spec.TicketID != ticket.Spec.TicketID) {
		err = arm.Errorf(http.StatusNotFound, "ResourceNotFound", "The access '%s' was not found on support ticket '%s'.", clip(r.Parameter("access")), ticket.Spec.Name)
	}
	return found, err
}

func (p provider) getAccess(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.requireAccess(ctx, r)
	if err != nil {
		return nil, err
	}
	return arm.OK(renderAccess(r, found, p.Now()))
}

// listAccesses lists those of a ticket, the oldest first.
func (p provider) listAccesses(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	ticket, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	all, err := p.accessesOf(ctx, r, ticket)
	if err != nil {
		return nil, err
	}
	items := make([]arm.Item, 0, len(all))
	for i := range all {
		items = append(items, arm.Item{Key: stamp(all[i].Spec.Created) + all[i].Name, Body: renderAccess(r, &all[i], p.Now())})
	}
	return p.Page(r, items)
}

// changeAccess changes the access that the path names.
func (p provider) changeAccess(ctx context.Context, r *arm.Request, apply func(*v1beta1.SupportAccess) error) (*v1beta1.SupportAccess, error) {
	find := func() (*v1beta1.SupportAccess, error) { return p.requireAccess(ctx, r) }
	return update(ctx, p.Client, find, apply)
}

// revokeAccess ends an access, for good. The customer may, and so may every engineer.
func (p provider) revokeAccess(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.changeAccess(ctx, r, func(of *v1beta1.SupportAccess) error {
		if of.Spec.Revoked == nil && of.Status.Ended == nil {
			of.Spec.Revoked = &v1beta1.SupportRevocation{By: r.Caller.Name(), Time: p.now()}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return arm.OK(renderAccess(r, found, p.Now()))
}

// accessCredentials gives an engineer a credential of an access of theirs. It is worth
// what the access is at each moment; one from before is void.
func (p provider) accessCredentials(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	token, kept := supportaccess.NewToken()
	found, err := p.changeAccess(ctx, r, func(of *v1beta1.SupportAccess) error {
		if of.Spec.Engineer != r.Caller.Name() {
			return arm.Errorf(http.StatusForbidden, "AuthorizationFailed", "The access '%s' is another engineer's. Ask for one of your own, so that what is done is told of you.", of.Name)
		}
		evidence, err := supportaccess.Gather(ctx, p.APIReader, of)
		if err != nil {
			return err
		}
		end := access.Decide(evidence, p.Now())
		if end == nil && of.Status.Ended != nil {
			end = &access.End{Message: of.Status.Message}
		}
		if end != nil {
			return arm.Errorf(http.StatusConflict, "SupportAccessEnded", "The access '%s' has ended, since %s.", of.Name, end.Message)
		}
		of.Spec.Token = kept
		return nil
	})
	if err != nil {
		return nil, err
	}
	name := found.Spec.Cluster + "-" + access.RoleName
	kubeconfig, err := pki.Kubeconfig(pki.KubeconfigRequest{
		Cluster: name, User: access.User(found), Context: name, Server: p.PublicURL + supportaccess.Path(r.Subscription.Name, found.Name), CA: p.CA, Token: token,
	})
	if err != nil {
		return nil, err
	}
	return arm.OK(map[string]any{"kubeconfigs": []any{map[string]any{"name": access.RoleName, "value": kubeconfig}}})
}

// listAccessRequests lists what was done with an access (X5), the oldest first.
func (p provider) listAccessRequests(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.requireAccess(ctx, r)
	if err != nil {
		return nil, err
	}
	all, err := supportaccess.Record(ctx, p.APIReader, found)
	if err != nil {
		return nil, err
	}
	items := make([]arm.Item, 0, len(all))
	for i := range all {
		items = append(items, arm.Item{Key: all[i].Time.UTC().Format(microseconds) + all[i].ID, Body: renderRequest(r, found, &all[i])})
	}
	return p.Page(r, items)
}
