package arm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/identity"
)

// authenticate verifies the bearer token.
func (s *Server) authenticate(r *Request) error {
	header := r.Header.Get("Authorization")
	if header == "" {
		return s.unauthorized("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.", "")
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return s.unauthorized("AuthenticationFailed", "Authentication failed. The 'Authorization' header must be 'Bearer' and a token.", "invalid_request")
	}
	caller, err := s.identity.Verify(strings.TrimSpace(token))
	if errors.Is(err, identity.ErrExpired) {
		return s.unauthorized("ExpiredAuthenticationToken", "The access token has expired. Log in again.", "invalid_token")
	}
	if err != nil {
		return s.unauthorized("InvalidAuthenticationToken", "The access token is invalid. Get one from the login endpoint of this cloud.", "invalid_token")
	}
	r.Caller = caller
	return nil
}

func (s *Server) unauthorized(code, message, oauthCode string) *Error {
	challenge := fmt.Sprintf("Bearer authorization_uri=%q", s.identity.AuthorizationURI())
	if oauthCode != "" {
		challenge += fmt.Sprintf(", error=%q, error_description=%q", oauthCode, message)
	}
	e := Errorf(http.StatusUnauthorized, code, "%s", message)
	e.Header = http.Header{"Www-Authenticate": {challenge}}
	return e
}

// checkCaller refuses customers what is support's, and support what is the customers' (C7).
func (s *Server) checkCaller(route *Route, r *Request) error {
	if route.Callers == CustomersAndEngineers || (route.Callers == Engineers) == r.Caller.Engineer {
		return nil
	}
	who := "an engineer of support, who has no rights on customers' resources (support policy C7)"
	if !r.Caller.Engineer {
		who = "a customer: support alone does this, with the customer's consent (support policy C7)"
		if _, scoped := r.parameters["subscription"]; !scoped {
			who = "a customer: this is of the whole service, and for its engineers alone"
		}
	}
	return Errorf(http.StatusForbidden, "AuthorizationFailed", "The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s': it is %s.",
		r.Caller.Name(), r.Caller.ObjectID, route.action(), r.URL.Path, who)
}

// action is what a request does, as Azure names it.
func (r *Route) action() string {
	verb := map[string]string{http.MethodGet: "read", http.MethodHead: "read", http.MethodPut: "write", http.MethodPatch: "write", http.MethodDelete: "delete"}[r.Method]
	return strings.Join(slices.DeleteFunc([]string{r.provider.Namespace, r.Type, cmp.Or(verb, "action")}, func(part string) bool { return part == "" }), "/")
}

// checkSubscription finds the subscription that the path names. One that is not
// of the caller's tenant does not exist for the caller.
func (s *Server) checkSubscription(ctx context.Context, r *Request) error {
	id, scoped := r.parameters["subscription"]
	if !scoped {
		return nil
	}
	if !guidPattern.MatchString(id) {
		return Errorf(http.StatusBadRequest, "InvalidSubscriptionId", "The provided subscription identifier '%s' is malformed or invalid: it must be a GUID.", id)
	}
	var subscription v1beta1.Subscription
	err := s.Client.Get(ctx, client.ObjectKey{Name: strings.ToLower(id)}, &subscription)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read subscription %s: %w", id, err)
	}
	// An engineer of the service may know of every subscription, for the few routes that
	// are engineers'.
	visible := err == nil && (Visible(&subscription, r) || r.Caller.Engineer && subscription.Spec.State != v1beta1.SubscriptionDeleted)
	if apierrors.IsNotFound(err) || !visible {
		return Errorf(http.StatusNotFound, "SubscriptionNotFound", "The subscription '%s' could not be found.", id)
	}
	r.Subscription = &subscription
	return nil
}

// checkState refuses what changes something in a suspended subscription (J6). Deletions
// are let through, as in Azure.
func checkState(route *Route, r *Request) error {
	if r.Subscription == nil || r.Subscription.Spec.State != v1beta1.SubscriptionSuspended ||
		!route.writes() || route.WhileSuspended || r.Method == http.MethodDelete {
		return nil
	}
	return Errorf(http.StatusConflict, "ReadOnlyDisabledSubscription",
		"The subscription '%s' is disabled and therefore marked as read only. You cannot perform any write actions on this subscription until it is re-enabled.", r.Parameter("subscription"))
}

// warn tells who changes something in a subscription that was warned what comes next (J6).
func warn(header http.Header, route *Route, r *Request) {
	if r.Subscription != nil && r.Subscription.Spec.State == v1beta1.SubscriptionWarned && route.writes() {
		header.Set("Warning", fmt.Sprintf("299 - %q", "The subscription is Warned: when it is suspended its clusters are stopped at once, and deleted later."))
	}
}

// Visible says whether the caller may know that a subscription exists.
func Visible(subscription *v1beta1.Subscription, r *Request) bool {
	return strings.EqualFold(subscription.Spec.TenantID, r.Caller.TenantID) && subscription.Spec.State != v1beta1.SubscriptionDeleted
}
