package cluster

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// lookForTurn is how often a cluster that waits to be archived looks whether it may.
const lookForTurn = 10 * time.Second

// archiveTurn says whether the cluster may be archived now. What a cache has of the others
// is enough to wait; to begin, they are read as they are.
func (r *reconciler) archiveTurn(ctx context.Context, p *pass) (bool, error) {
	service, err := r.servicePolicy(ctx)
	if err != nil {
		return false, err
	}
	for _, reader := range []client.Reader{r.client, r.reader} {
		var all v1beta1.ManagedClusterList
		if err := reader.List(ctx, &all); err != nil {
			return false, fmt.Errorf("list clusters: %w", err)
		}
		if !policy.ArchiveTurn(p.cluster, all.Items, service, p.now) {
			return false, nil
		}
	}
	return true, nil
}
