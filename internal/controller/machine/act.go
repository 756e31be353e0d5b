package machine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
)

const (
	// stopGrace is what a drained machine gets to end; hasteGrace one whose cluster
	// is deleted.
	stopGrace  = 30 * time.Second
	hasteGrace = time.Second
	// haltGrace is what a machine gets whose node is ill: its init may hang.
	haltGrace = 10 * time.Second
	// noTenantAgain is how soon an API server that did not answer is asked again.
	noTenantAgain = 2 * time.Second
)

// outcome is what a step came to.
type outcome struct {
	// again is when to look again even if no event comes; 0 is never.
	again   time.Duration
	message string
	// blocker names the pod, and the disruption budget, that a drain waits for.
	blocker string
	// released says that the finalizer is gone and with it the object.
	released bool
}

type action func(*Reconciler, context.Context, *scene, *outcome) error

// actions are what each step does, in order, and when to look again. A node's
// own changes come as events; the times are for what has no event.
var actions = map[Step]struct {
	do    []action
	again time.Duration
}{
	StepAwait:   {nil, noTenantAgain},
	StepLaunch:  {[]action{(*Reconciler).ensureMachine, (*Reconciler).admit}, 10 * time.Second},
	StepAdmit:   {[]action{(*Reconciler).ensureMachine, (*Reconciler).admit}, time.Minute},
	StepWelcome: {[]action{(*Reconciler).admit, (*Reconciler).mark}, time.Minute},
	StepSettle:  {[]action{(*Reconciler).mark, (*Reconciler).retireToken, (*Reconciler).admitPods, (*Reconciler).settle}, 10 * time.Minute},
	StepRemake:  {[]action{removeWithin(hasteGrace)}, 5 * time.Second},
	StepRenew:   {[]action{(*Reconciler).retireToken, (*Reconciler).renew}, time.Millisecond},
	StepEvict:   {[]action{(*Reconciler).seal, (*Reconciler).evict}, time.Second},
	StepStop:    {[]action{removeWithin(stopGrace)}, 5 * time.Second},
	StepHalt:    {[]action{removeWithin(haltGrace)}, time.Second},
	StepRest:    {[]action{(*Reconciler).rest}, 10 * time.Minute},
	StepAbandon: {[]action{removeWithin(hasteGrace)}, 5 * time.Second},
	StepForget:  {[]action{removeWithin(stopGrace), (*Reconciler).forgetNode, (*Reconciler).endPods, (*Reconciler).retireToken, (*Reconciler).release}, 5 * time.Second},
	StepRelease: {[]action{removeWithin(hasteGrace), (*Reconciler).release}, 0},
}

func (r *Reconciler) act(ctx context.Context, s *scene, step Step) (outcome, error) {
	plan := actions[step]
	out := outcome{again: plan.again, message: s.seen.Message}
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	for _, do := range plan.do {
		err := do(r, ctx, s, &out)
		if errors.Is(err, errNoTenant) {
			out.message, out.again = err.Error(), noTenantAgain
			return out, nil
		}
		if errors.Is(err, errSealed) {
			return out, nil
		}
		if err != nil {
			out.message = err.Error()
			return out, fmt.Errorf("%s machine %s: %w", step, s.object.Name, err)
		}
	}
	return out, nil
}

func (r *Reconciler) ensureMachine(ctx context.Context, s *scene, _ *outcome) error {
	if s.seen.State == machine.Absent {
		if err := s.disownNode(ctx, "MachineReplaced", "the machine is made anew and its kubelet has not joined yet"); err != nil {
			return err
		}
	}
	m, err := r.describe(ctx, s)
	if err != nil {
		return err
	}
	return r.Provider.Ensure(ctx, m)
}

func removeWithin(grace time.Duration) action {
	return func(r *Reconciler, ctx context.Context, s *scene, _ *outcome) error {
		return r.Provider.Delete(ctx, s.ref, grace)
	}
}

// forgetNode removes the Node. One that a webhook of the customer's keeps does not hold a
// stop up: the machine of that name takes it over when the cluster starts (J1).
func (r *Reconciler) forgetNode(ctx context.Context, s *scene, _ *outcome) error {
	if s.tenant == nil {
		return errNoTenant
	}
	held, cancel := whileHeld(ctx, s.cluster)
	defer cancel()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: s.ref.Name}}
	err := client.IgnoreNotFound(s.tenant.Delete(held, node))
	if err == nil || s.passes(ctx, held, "nodes", err) {
		return nil
	}
	return fmt.Errorf("delete node %s: %w", s.ref.Name, err)
}

// release is the last of a Machine: the object goes once its finalizer has.
func (r *Reconciler) release(ctx context.Context, s *scene, out *outcome) error {
	if err := r.deleteTokenSecret(ctx, s); err != nil {
		return err
	}
	out.released = true
	// A Machine is let go only when its deletion is asked for; until then, one of
	// a cluster that is gone waits for its pool to delete it.
	if s.object.DeletionTimestamp.IsZero() || !controllerutil.RemoveFinalizer(s.object, v1beta1.Finalizer) {
		return nil
	}
	if err := client.IgnoreNotFound(r.client.Update(ctx, s.object)); err != nil {
		return fmt.Errorf("release machine %s: %w", s.object.Name, err)
	}
	return nil
}

// settle tells the pool controller which generation the node shows.
func (r *Reconciler) settle(ctx context.Context, s *scene, _ *outcome) error {
	generation := strconv.FormatInt(s.object.Generation, 10)
	if s.object.Annotations[machine.AnnotationSettled] == generation {
		return nil
	}
	before := s.object.DeepCopy()
	metav1.SetMetaDataAnnotation(&s.object.ObjectMeta, machine.AnnotationSettled, generation)
	if err := r.client.Patch(ctx, s.object, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("settle machine %s: %w", s.object.Name, err)
	}
	return nil
}

func hasFinalizer(object *v1beta1.Machine) bool {
	return slices.Contains(object.Finalizers, v1beta1.Finalizer)
}
