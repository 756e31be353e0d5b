package machine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

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
		{"wrapped", fmt.Errorf("cordon: %w", apierrors.NewInternalError(errors.New(`failed calling webhook "w"`))), true},
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
