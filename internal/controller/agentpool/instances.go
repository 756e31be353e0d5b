package agentpool

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// instances carries out what was asked of the pool's machines through the IaaS view as
// far as it is the pool's: those that are to be deleted go and are not made again (G4).
// A new attempt undoes what was done behind the service's back (G2): machines that were
// stopped start, and those that are missing count as missing again.
func (r *Reconciler) instances(ctx context.Context, v *view) error {
	if v.off {
		v.pool.Status.Removed = nil
		return nil
	}
	if newAttempt(v.pool) {
		v.pool.Status.Removed = nil
		if err := r.startAll(ctx, v); err != nil {
			return err
		}
	}
	var doomed []*v1beta1.Machine
	noted := len(v.pool.Status.Removed)
	for i := range v.machines {
		m := &v.machines[i]
		asked := m.Spec.Requested
		if asked == nil || asked.Action != v1beta1.InstanceDelete || !m.DeletionTimestamp.IsZero() {
			continue
		}
		doomed = append(doomed, m)
		same := func(removed v1beta1.RemovedInstance) bool { return removed.NodeName == m.Spec.NodeName }
		// A machine that an upgrade added, or left aside, is not one of the pool's count.
		if m.Spec.Surge || m.Spec.Quarantined || slices.ContainsFunc(v.pool.Status.Removed, same) {
			continue
		}
		v.pool.Status.Removed = append(v.pool.Status.Removed, v1beta1.RemovedInstance{
			NodeName: m.Spec.NodeName, Time: metav1.NewTime(v.now), RequestedBy: asked.RequestedBy,
		})
	}
	if len(doomed) == 0 {
		return nil
	}
	if len(v.pool.Status.Removed) != noted {
		// It is written down first: a machine that is missing for no reason is made again.
		if err := r.client.Status().Update(ctx, v.pool); err != nil {
			return fmt.Errorf("note the machines of %s that were deleted through the IaaS view: %w", v.pool.Name, err)
		}
	}
	if err := r.deleteAll(ctx, doomed); err != nil {
		return err
	}
	now := metav1.NewTime(v.now)
	for _, m := range doomed {
		m.DeletionTimestamp = &now
	}
	return nil
}

// startAll has every machine start that was stopped through the IaaS view, or is about to be.
func (r *Reconciler) startAll(ctx context.Context, v *view) error {
	machines, err := r.machines(ctx, r.reader, v.pool)
	if err != nil {
		return err
	}
	for i := range machines {
		m := &machines[i]
		if m.Status.Off == nil && !policy.StopsSoon(m) || m.Spec.Reconciled == policy.PoolAttempt(v.pool) || !m.DeletionTimestamp.IsZero() {
			continue
		}
		m.Spec.Reconciled = policy.PoolAttempt(v.pool)
		if err := r.client.Update(ctx, m); err != nil {
			return fmt.Errorf("start machine %s: %w", m.Name, err)
		}
	}
	v.machines = machines
	return nil
}

// missing is how many machines were deleted through the IaaS view and are not made again.
func (v view) missing() int32 { return int32(len(v.pool.Status.Removed)) }
