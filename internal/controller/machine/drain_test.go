package machine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Force deletes what disruption budgets protect, and nothing that could not be evicted for
// another reason.
func TestProtected(t *testing.T) {
	refused := func(code int32, message string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Message: message}}
	}
	const shared = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
	for _, c := range []struct {
		why  string
		err  error
		want bool
	}{
		{"its budget allows none", apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0), true},
		{"two budgets", refused(http.StatusInternalServerError, shared), true},
		{"wrapped", fmt.Errorf("evict: %w", refused(http.StatusInternalServerError, shared)), true},
		{"etcd is away", refused(http.StatusInternalServerError, "etcdserver: request timed out"), false},
		{"a webhook says the same", refused(http.StatusForbidden, shared), false},
		{"it took too long", context.DeadlineExceeded, false},
		{"nobody answers", errors.New("connection refused"), false},
		{"evicted", nil, false},
	} {
		if got := protected(c.err); got != c.want {
			t.Errorf("%s: %t", c.why, got)
		}
	}
}

// What a webhook keeps from being written is told from what a budget does, and from an
// API server that takes its time.
func TestByWebhook(t *testing.T) {
	nodes := schema.GroupResource{Resource: "nodes"}
	for _, c := range []struct {
		why  string
		err  error
		want bool
	}{
		{"nobody answers for it", apierrors.NewInternalError(errors.New(`failed calling webhook "w.example.com": connection refused`)), true},
		{"it denies", apierrors.NewForbidden(nodes, "n1", errors.New(`admission webhook "w.example.com" denied the request: no`)), true},
		{"a policy denies", apierrors.NewForbidden(nodes, "n1", errors.New("ValidatingAdmissionPolicy 'keep' with binding 'all' denied request: no")), true},
		{"wrapped", fmt.Errorf("cordon: %w", apierrors.NewInternalError(errors.New(`failed calling webhook "w"`))), true},
		{"something that is called so", apierrors.NewInternalError(errors.New(`etcdserver: request timed out, pods "webhook-0"`)), false},
		{"a budget", apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 10), false},
		{"no time", context.DeadlineExceeded, false},
		{"no right", apierrors.NewForbidden(nodes, "n1", errors.New("no")), false},
	} {
		if got := byWebhook(c.err); got != c.want {
			t.Errorf("%s: %v", c.why, got)
		}
	}
	long := refusal(apierrors.NewInternalError(errors.New(strings.Repeat("é", maxRefusal))))
	if len(long) > maxRefusal+len("…") || !strings.HasSuffix(long, "…") {
		t.Errorf("a webhook's words are not bounded: %d bytes", len(long))
	}
}
