package arm

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// FeatureState is the state of a preview for a subscription, as ARM calls it.
type FeatureState string

// The states of a preview. Berth approves at once, so that none is on its way.
const (
	FeatureNotRegistered FeatureState = "NotRegistered"
	FeatureRegistered    FeatureState = "Registered"
	FeatureUnregistered  FeatureState = "Unregistered"
)

// featureAnnotation carries, on a Subscription, the state of one preview. Each has one of
// its own, so that two that are registered at the same time both are.
func featureAnnotation(feature policy.Feature) string {
	return "feature.berth.dev/" + feature.Namespace + "." + feature.Name
}

// FeatureStateOf is a preview's state for a subscription.
func FeatureStateOf(subscription *v1beta1.Subscription, feature policy.Feature) FeatureState {
	if state := FeatureState(subscription.Annotations[featureAnnotation(feature)]); state != "" {
		return state
	}
	return FeatureNotRegistered
}

// SetFeature registers or unregisters a preview for the request's subscription.
func (s *Server) SetFeature(ctx context.Context, r *Request, feature policy.Feature, state FeatureState) error {
	changed := r.Subscription.DeepCopy()
	if changed.Annotations == nil {
		changed.Annotations = map[string]string{}
	}
	changed.Annotations[featureAnnotation(feature)] = string(state)
	// The annotation is written though this server's copy has it: that may be old.
	before := r.Subscription.DeepCopy()
	delete(before.Annotations, featureAnnotation(feature))
	if err := s.Client.Patch(ctx, changed, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("set feature %s of subscription %s: %w", feature.FullName(), r.Subscription.Name, err)
	}
	r.Subscription = changed
	return nil
}

// RequireFeature refuses what a preview guards unless it is registered (L1). A
// registration of a moment ago counts. What is what is asked for, in words, and target the
// field that asks.
func (s *Server) RequireFeature(ctx context.Context, r *Request, feature policy.Feature, target, what string) error {
	if FeatureStateOf(r.Subscription, feature) == FeatureRegistered {
		return nil
	}
	var fresh v1beta1.Subscription
	if err := s.APIReader.Get(ctx, client.ObjectKeyFromObject(r.Subscription), &fresh); err != nil {
		return fmt.Errorf("read subscription %s: %w", r.Subscription.Name, err)
	}
	if FeatureStateOf(&fresh, feature) == FeatureRegistered {
		return nil
	}
	return Refusal([]policy.Violation{policy.NotRegistered(feature, target, what)})
}
