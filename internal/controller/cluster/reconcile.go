package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/controller/apply"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/release"
)

const (
	// resync is how often a cluster that is as it should be is looked at again.
	resync = 5 * time.Minute
	// probeAgain is how soon an API server is asked again that does not answer
	// yet, and lookAgain how soon something without a watch is looked at again.
	probeAgain = 250 * time.Millisecond
	lookAgain  = 500 * time.Millisecond
	// atOnce repeats a pass whose own writes changed what it starts from.
	atOnce = time.Millisecond
)

type reconciler struct {
	Config
	client  client.Client
	reader  client.Reader // not a cache: for Secrets, and where a stale answer would do harm
	applier *apply.Applier
	events  activity.Recorder
	// archiving is held by whoever may be the next to be archived.
	archiving sync.Mutex
	// looks are those at etcds whose members may hold different data.
	looks looks
	// etcds are those that were asked how they are, and silent since when some do not tell who
	// their members are.
	etcds  memory[health]
	silent memory[time.Time]
	// finals are the final backups of deleted clusters that are waited for.
	finals memory[final]
}

// pass is what one reconcile knows and finds out.
type pass struct {
	cluster *v1beta1.ManagedCluster
	now     time.Time
	// release is what runs in this pass, goal what is asked for.
	release, goal release.Release
	input         controlplane.Input
	// upgrade is how the control plane looks while it changes its version.
	upgrade upgradeShape
	found   findings
	// again is when to look again; zero means resync.
	again time.Duration
}

// lookIn makes the pass be repeated after d at the latest.
func (p *pass) lookIn(d time.Duration) {
	if p.again == 0 || d < p.again {
		p.again = d
	}
}

// step does one part of the work. It returns false to end the pass: what comes
// after depends on it.
type step func(context.Context, *pass) (bool, error)

// Reconcile implements reconcile.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var cluster v1beta1.ManagedCluster
	if err := r.client.Get(ctx, request.NamespacedName, &cluster); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	p := &pass{cluster: cluster.DeepCopy(), now: r.Now()}
	if r.ofNewer(p) {
		return ctrl.Result{RequeueAfter: operation.TakeoverAgain}, nil
	}
	steps := []step{
		r.claim, r.version, r.foundation, r.adopt, r.secrets, r.keptMember, r.recovery, r.power, r.archive, r.replicas, r.workloads, r.unpulled, r.upgradePodsStep, r.rotateCertificates,
		r.pools, r.nodeGroup, r.readiness, r.release, r.proof, r.patience,
	}
	if !cluster.DeletionTimestamp.IsZero() {
		steps = []step{r.retain, r.deletePools, r.dropNamespaces, r.deleteControlPlane, r.deleteVolumes, r.deleteNamespaces, r.deleteNodeGroup, r.deleteMaintenance, r.letGo}
	}
	for _, run := range steps {
		next, err := run(ctx, p)
		if err != nil {
			return ctrl.Result{}, fmt.Errorf("cluster %s: %w", request, err)
		}
		if !next {
			break
		}
	}
	if err := r.writeStatus(ctx, p); err != nil {
		return ctrl.Result{}, fmt.Errorf("cluster %s: %w", request, err)
	}
	if p.again == 0 {
		p.again = resync
	}
	return ctrl.Result{RequeueAfter: p.again}, nil
}
