package eventgrid

import (
	"context"
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/event"
	hook "berth.dev/berth/internal/webhook"
)

// put makes an event subscription, or replaces all of it. It is done when it is answered:
// an endpoint that does not want events changes nothing.
func (p provider) put(find arm.Find) arm.Handler {
	return func(ctx context.Context, r *arm.Request) (*arm.Response, error) {
		spec, url, err := parseBody(r)
		if err != nil {
			return nil, err
		}
		at, err := find(ctx, r)
		if err != nil {
			return nil, err
		}
		if err := at.RefuseDeleting(); err != nil {
			return nil, err
		}
		spec.Name, spec.Scope = r.Parameter("eventSubscription"), at.ID
		there, err := p.read(ctx, r, at)
		if err != nil {
			return nil, err
		}
		if there == nil {
			return p.create(ctx, r, at, spec, url)
		}
		spec.Name, spec.Scope = there.Spec.Name, there.Spec.Scope
		return p.change(ctx, there, spec, url)
	}
}

// patch changes what is sent.
func (p provider) patch(find arm.Find) arm.Handler {
	return func(ctx context.Context, r *arm.Request) (*arm.Response, error) {
		var sent properties
		if err := r.Decode(&sent); err != nil {
			return nil, err
		}
		there, err := p.mustRead(ctx, r, find)
		if err != nil {
			return nil, err
		}
		spec := *there.Spec.DeepCopy()
		url, err := sent.apply(&spec)
		if err != nil {
			return nil, err
		}
		return p.change(ctx, there, spec, url)
	}
}

func (p provider) create(ctx context.Context, r *arm.Request, at arm.Target, spec v1beta1.EventSubscriptionSpec, url string) (*arm.Response, error) {
	if err := p.check(ctx, spec, url); err != nil {
		return nil, err
	}
	var all v1beta1.EventSubscriptionList
	if err := p.APIReader.List(ctx, &all, client.InNamespace(r.Namespace())); err != nil {
		return nil, fmt.Errorf("list event subscriptions: %w", err)
	}
	if len(all.Items) >= event.MaxSubscriptions {
		return nil, arm.Errorf(http.StatusConflict, policy.CodeQuotaExceeded, "There are %d event subscriptions, and a subscription can have no more than %d. Delete one that is not needed.", len(all.Items), event.MaxSubscriptions)
	}
	made := &v1beta1.EventSubscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace(), Name: v1beta1.EventSubscriptionObjectName(spec.Scope, spec.Name)},
		Spec:       spec,
	}
	if at.Object != nil {
		kind, err := apiutil.GVKForObject(at.Object, p.Client.Scheme())
		if err != nil {
			return nil, fmt.Errorf("own event subscription %s: %w", spec.Name, err)
		}
		made.OwnerReferences = []metav1.OwnerReference{{APIVersion: kind.GroupVersion().String(), Kind: kind.Kind, Name: at.Object.GetName(), UID: at.Object.GetUID()}}
	}
	if err := p.Client.Create(ctx, made); err != nil {
		return nil, fmt.Errorf("create event subscription %s: %w", spec.Name, err)
	}
	if err := p.keep(ctx, made, url); err != nil {
		return nil, err
	}
	return begun(made, v1beta1.StateCreating), nil
}

// begun answers a write as Event Grid does: with 201 and a state that is not final, though all
// is done. Clients then read the resource, and Azure's SDK for Python misreads an answer
// that is both the first and the last.
func begun(s *v1beta1.EventSubscription, state v1beta1.ProvisioningState) *arm.Response {
	shown := render(s)
	shown.Properties.ProvisioningState = string(state)
	return &arm.Response{Status: http.StatusCreated, Header: http.Header{"Retry-After": {"1"}}, Body: shown}
}

func (p provider) change(ctx context.Context, there *v1beta1.EventSubscription, spec v1beta1.EventSubscriptionSpec, url string) (*arm.Response, error) {
	if err := p.check(ctx, spec, url); err != nil {
		return nil, err
	}
	there.Spec = spec
	if err := p.Client.Update(ctx, there); err != nil {
		return nil, fmt.Errorf("update event subscription %s: %w", spec.Name, err)
	}
	if url != "" {
		if err := p.keep(ctx, there, url); err != nil {
			return nil, err
		}
	}
	return begun(there, v1beta1.StateUpdating), nil
}

// check refuses what is wrong, and last an endpoint that does not want events.
func (p provider) check(ctx context.Context, spec v1beta1.EventSubscriptionSpec, url string) error {
	if found := event.Validate(spec, p.Now()); len(found) > 0 {
		return arm.Refusal(found)
	}
	if url == "" {
		return nil
	}
	client, err := p.sender(ctx)
	if err != nil {
		return err
	}
	select {
	case p.asks <- struct{}{}:
		defer func() { <-p.asks }()
	default:
		e := arm.Errorf(http.StatusTooManyRequests, "TooManyRequests", "Too many endpoints are being validated. Try again in %d seconds.", validation/time.Second)
		e.Header = http.Header{"Retry-After": {fmt.Sprint(int(validation / time.Second))}}
		return e
	}
	if err := client.Validate(ctx, url); err != nil {
		refused := arm.Errorf(http.StatusBadRequest, "Url validation", "The attempt to validate the provided endpoint %s failed: %s. See https://aka.ms/esvalidation.", spec.EndpointBaseURL, err)
		refused.Target = "properties.destination.properties.endpointUrl"
		return refused
	}
	return nil
}

// sender is how endpoints are reached, as ServicePolicy has it.
func (p provider) sender(ctx context.Context) (hook.Client, error) {
	var service v1beta1.ServicePolicy
	if err := p.Client.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service); client.IgnoreNotFound(err) != nil {
		return hook.Client{}, fmt.Errorf("read ServicePolicy: %w", err)
	}
	var allowed []string
	var bundle string
	if set := service.Spec.Webhooks; set != nil {
		allowed, bundle = set.AllowedRanges, set.CABundle
	}
	return hook.NewClient(p.own, allowed, bundle, validation)
}
