package machine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Force deletes what disruption budgets protect, and nothing that could not be evicted for
// another reason.
func TestProtected(t *testing.T) {
	refusal := func(code int32, message string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Message: message}}
	}
	const shared = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
	for _, c := range []struct {
		why  string
		err  error
		want bool
	}{
		{"its budget allows none", apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0), true},
		{"two budgets", refusal(http.StatusInternalServerError, shared), true},
		{"wrapped", fmt.Errorf("evict: %w", refusal(http.StatusInternalServerError, shared)), true},
		{"etcd is away", refusal(http.StatusInternalServerError, "etcdserver: request timed out"), false},
		{"a webhook says the same", refusal(http.StatusForbidden, shared), false},
		{"it took too long", context.DeadlineExceeded, false},
		{"nobody answers", errors.New("connection refused"), false},
		{"evicted", nil, false},
	} {
		if got := protected(c.err); got != c.want {
			t.Errorf("%s: %t", c.why, got)
		}
	}
}
