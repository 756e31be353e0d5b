package arm

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// AnnotationUnregistered lists, on a Subscription, the provider namespaces that
// its owner has unregistered, separated by commas. Every other one is registered.
const AnnotationUnregistered = "berth.dev/unregistered-providers"

// Registered says whether the request's subscription uses a provider.
func (r *Request) Registered(provider *Provider) bool {
	return provider.Native || !slices.Contains(r.unregistered(), strings.ToLower(provider.Namespace))
}

func (r *Request) unregistered() []string {
	listed := r.Subscription.Annotations[AnnotationUnregistered]
	return strings.FieldsFunc(listed, func(c rune) bool { return c == ',' })
}

// SetRegistered registers or unregisters a provider for the request's subscription.
func (s *Server) SetRegistered(ctx context.Context, r *Request, provider *Provider, registered bool) error {
	if provider.Native || r.Registered(provider) == registered {
		return nil
	}
	name := strings.ToLower(provider.Namespace)
	names := slices.DeleteFunc(r.unregistered(), func(listed string) bool { return listed == name })
	if !registered {
		names = append(names, name)
	}
	changed := r.Subscription.DeepCopy()
	if changed.Annotations == nil {
		changed.Annotations = map[string]string{}
	}
	changed.Annotations[AnnotationUnregistered] = strings.Join(names, ",")
	if err := s.Client.Patch(ctx, changed, client.MergeFrom(r.Subscription)); err != nil {
		return fmt.Errorf("register %s with subscription %s: %w", provider.Namespace, r.Subscription.Name, err)
	}
	r.Subscription = changed
	return nil
}

// checkRegistration refuses writes to a provider that is not registered.
func (s *Server) checkRegistration(route *Route, r *Request) error {
	if r.Subscription == nil || !route.writes() || r.Method == http.MethodDelete || r.Registered(route.provider) {
		return nil
	}
	return Errorf(http.StatusConflict, "MissingSubscriptionRegistration",
		"The subscription is not registered to use namespace '%s'. See https://aka.ms/rps-not-found for how to register subscriptions.", route.provider.Namespace)
}
