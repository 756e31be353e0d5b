package machine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
	"berth.dev/berth/internal/tenant"
)

// Config is what the controllers of this package work with.
type Config struct {
	Provider  machine.Provider
	Tenants   tenant.Source
	Catalogue *release.Catalogue
	// RegistryAddress is the URL of Berth's registry as machines reach it, and
	// RegistryCA the PEM of the CA of its certificate.
	RegistryAddress string
	RegistryCA      []byte
	// Watches tells of changes in tenant clusters; Setup makes one when it is nil.
	Watches *tenant.Watches
	// Now and Random are the system's when nil.
	Now    func() time.Time
	Random io.Reader
	// SettleAgain is how long a machine is left alone that could not tell what a script
	// changed; five seconds when zero.
	SettleAgain time.Duration
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.SettleAgain == 0 {
		c.SettleAgain = 5 * time.Second
	}
	return c
}

// What one reconcile asks of a tenant's API server is bounded, so that one that
// hangs costs a worker for a moment only.
const (
	observeTimeout = 3 * time.Second
	actTimeout     = 15 * time.Second
)

// Reconciler reconciles Machines.
type Reconciler struct {
	client client.Client
	reader client.Reader
	Config
	// turn is held while a repair is begun.
	turn     sync.Mutex
	repaired *prometheus.CounterVec
	log      activity.Recorder
}

// New returns a Reconciler that writes with c and reads what must be current with
// reader, which must not be a cache.
func New(c client.Client, reader client.Reader, config Config) *Reconciler {
	config = config.withDefaults()
	return &Reconciler{client: c, reader: reader, Config: config, repaired: newRepairMetric(), log: activity.Quiet(c, repairCaller, config.Now)}
}

// Reconcile observes a machine, decides and takes one step.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	object := &v1beta1.Machine{}
	if err := r.client.Get(ctx, request.NamespacedName, object); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	result, err := r.reconcile(ctx, object)
	if apierrors.IsConflict(err) {
		// The cache lags behind a write, of this reconciler or another's.
		return ctrl.Result{RequeueAfter: 50 * time.Millisecond}, nil
	}
	return result, err
}

func (r *Reconciler) reconcile(ctx context.Context, object *v1beta1.Machine) (ctrl.Result, error) {
	if ready, err := r.prepare(ctx, object); !ready {
		return ctrl.Result{RequeueAfter: time.Millisecond}, err
	}
	s, err := r.observe(ctx, object)
	if err != nil {
		return ctrl.Result{}, err
	}
	if wrote, err := r.take(ctx, s); wrote || err != nil {
		return ctrl.Result{RequeueAfter: time.Millisecond}, err
	}
	if err := r.judge(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	if s.repair.Step == policy.RepairBegin {
		return r.begin(ctx, s)
	}
	mendErr := errors.Join(r.mend(ctx, s), r.restart(ctx, s))
	if mendErr != nil && s.situation.Intent == Repair {
		return ctrl.Result{}, mendErr
	}
	decision := Decide(s.situation)
	outcome, err := r.act(ctx, s, decision.Step)
	if outcome.released {
		return ctrl.Result{}, err
	}
	if err != nil {
		decision.Phase = object.Status.Phase
	}
	if underWay(object) != nil {
		outcome.again = sooner(outcome.again, instanceAgain)
	}
	return ctrl.Result{RequeueAfter: sooner(outcome.again, s.repair.Again)}, errors.Join(err, mendErr, r.report(ctx, s, decision, outcome))
}

// sooner is the shorter of two waits, of which 0 is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// prepare writes down what must be known before the first side effect: the
// finalizer, the id of the bootstrap token and what the machine is made of. It
// returns false when it wrote.
func (r *Reconciler) prepare(ctx context.Context, object *v1beta1.Machine) (bool, error) {
	if !object.DeletionTimestamp.IsZero() {
		return true, nil
	}
	if !hasFinalizer(object) {
		object.Finalizers = append(object.Finalizers, v1beta1.Finalizer)
		if err := r.client.Update(ctx, object); err != nil {
			return false, fmt.Errorf("hold machine %s: %w", object.Name, err)
		}
		return false, nil
	}
	status := &object.Status
	if status.BootstrapTokenID != "" && status.KubernetesVersion != "" {
		return true, nil
	}
	if status.BootstrapTokenID == "" {
		id, err := randomText(r.Random, tokenIDLength)
		if err != nil {
			return false, err
		}
		status.BootstrapTokenID, status.Phase = id, v1beta1.MachinePending
	}
	status.KubernetesVersion, status.NodeImageVersion, status.UnmanagedOS = object.Spec.KubernetesVersion, object.Spec.NodeImageVersion, object.Spec.UnmanagedOS
	if err := r.client.Status().Update(ctx, object); err != nil {
		return false, fmt.Errorf("name the bootstrap token of machine %s: %w", object.Name, err)
	}
	return false, nil
}
