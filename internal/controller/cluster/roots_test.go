package cluster

import (
	"errors"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
)

// A cluster that has come up gets no new roots of trust when its own are gone.
func TestLostRootsAreNotReplaced(t *testing.T) {
	cluster := &v1beta1.ManagedCluster{}
	cluster.Status.Initialized = true
	r := &reconciler{client: fake.NewClientBuilder().Build()}
	if _, err := r.roots(t.Context(), &pass{cluster: cluster}, nil); !errors.Is(err, errRootsLost) {
		t.Errorf("the roots of a cluster that runs are made anew: %v", err)
	}
}
