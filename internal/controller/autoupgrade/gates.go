package autoupgrade

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// askAgain is how long what a cluster's gates said holds: a budget that was changed
// lets a run begin within this time, as long as its window is open.
const askAgain = 5 * time.Minute

// codeUnreadable is ARM's for a cluster that does not answer (E6).
const codeUnreadable = "KubernetesAPICallFailed"

// Preflight reads in managed clusters what may hold an upgrade up; package preflight
// does.
type Preflight interface {
	Budgets(ctx context.Context, cluster *v1beta1.ManagedCluster, pools []string) ([]policy.Budget, error)
	Uses(ctx context.Context, cluster *v1beta1.ManagedCluster) ([]policy.APIUse, error)
	Window(ctx context.Context) (time.Duration, error)
}

// refusals are what gates said a moment ago, by cluster. They save questions alone: a
// process that begins anew asks again.
type refusals struct {
	mu        sync.Mutex
	ofCluster map[types.UID]refused
}

// refused is why parts of a cluster's runs may not begin, by the parts' keys.
type refused struct {
	until      time.Time
	generation int64
	parts      map[string]string
}

// of is what holds still; a changed cluster, such as one that is forced now, is asked.
func (r *refusals) of(cluster *v1beta1.ManagedCluster, now time.Time) map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.ofCluster[cluster.UID]
	if !ok || known.generation != cluster.Generation || !now.Before(known.until) {
		delete(r.ofCluster, cluster.UID)
		return map[string]string{}
	}
	return maps.Clone(known.parts)
}

func (r *refusals) keep(o *observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ofCluster == nil {
		r.ofCluster = map[types.UID]refused{}
	}
	known, ok := r.ofCluster[o.cluster.UID]
	if !ok || known.generation != o.cluster.Generation {
		known = refused{until: o.now.Add(askAgain), generation: o.cluster.Generation}
	}
	known.parts = maps.Clone(o.held)
	r.ofCluster[o.cluster.UID] = known
}

// decideGated decides, and asks the gates about each part that would begin, until one
// may or none is left.
func (r *reconciler) decideGated(ctx context.Context, o *observation) ([]v1beta1.AutoUpgradeStatus, *step, time.Time, error) {
	for {
		next, begin, again := decideAll(o)
		if begin == nil {
			return next, nil, again, nil
		}
		reason, err := r.refusal(ctx, o, begin.part)
		if err != nil {
			return nil, nil, time.Time{}, err
		}
		if reason == "" {
			return next, begin, again, nil
		}
		o.held[begin.part.key] = reason
		r.refusals.keep(o)
	}
}

// refusal says why a part may not begin, with AKS's code, or "". It asks what ARM asks
// before a PUT (E6), and the cluster's override lets everything pass.
func (r *reconciler) refusal(ctx context.Context, o *observation, part *part) (string, error) {
	if r.Preflight == nil || policy.UpgradeForced(o.cluster.Spec.UpgradeSettings, o.now) {
		return "", nil
	}
	gates, desired := policy.Gates{Now: o.now}, part.spec.Desired
	var pools []string
	for i := range desired.AgentPools {
		pools = append(pools, desired.AgentPools[i].Name)
	}
	var err error
	if len(pools) > 0 {
		if gates.Budgets, err = r.Preflight.Budgets(ctx, o.cluster, pools); err != nil {
			return unreadable(err), nil
		}
	}
	var found []policy.Violation
	if running := o.cluster.Status.CurrentKubernetesVersion; desired.Cluster != nil && desired.Cluster.KubernetesVersion != running {
		if gates.Uses, err = r.Preflight.Uses(ctx, o.cluster); err != nil {
			return unreadable(err), nil
		}
		if gates.Window, err = r.Preflight.Window(ctx); err != nil {
			return "", err
		}
		found = gates.BlockingAPIs(running, desired.Cluster.KubernetesVersion)
	}
	if found = append(found, gates.BlockingBudgets()...); len(found) == 0 {
		return "", nil
	}
	code := found[0].Code
	if found[0].Subcode != "" {
		code += " (" + found[0].Subcode + ")"
	}
	return code + ": " + found[0].Message, nil
}

func unreadable(err error) string {
	return fmt.Sprintf("%s: the cluster's API server does not answer, so that the checks before an upgrade cannot be made: %v", codeUnreadable, err)
}
