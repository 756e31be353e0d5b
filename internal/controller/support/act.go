package support

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy/support"
)

// requester is who begins the operations.
const requester = "berth/support"

// next names the operation for an act that is due, unless one is under way or has just
// ended, and says whether it is to be begun once that name is written.
func (r *reconciler) next(ctx context.Context, o *observation, verdict *support.Verdict) (bool, error) {
	due, last := verdict.Due, verdict.Status.LastAct
	if due == nil {
		return false, nil
	}
	if last != nil && last.Clause == due.Clause && last.Act == due.Act {
		var op v1beta1.Operation
		err := r.reader.Get(ctx, client.ObjectKey{Namespace: o.cluster.Namespace, Name: last.Name}, &op)
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("read operation %s: %w", last.Name, err)
		}
		// Whoever began it may have ended before it was told.
		if err := r.events.Log.Tell(ctx, begun(o.cluster, last)); err != nil {
			return false, err
		}
		passed := o.now.Sub(last.Time.Time)
		if !operation.Finished(&op) || passed >= 0 && passed < o.plan.Interval {
			return false, nil
		}
	}
	at := metav1.NewTime(o.now.Truncate(time.Second))
	verdict.Status.LastAct = &v1beta1.SupportOperation{
		Clause: due.Clause, Act: due.Act, Time: at,
		Name: operation.NameOf("support", string(o.cluster.UID), due.Clause, string(due.Act), at.UTC().Format(time.RFC3339)),
	}
	return true, nil
}

// begin makes the operation as a request through ARM would. Somebody who was faster is
// waited for.
func (r *reconciler) begin(ctx context.Context, o *observation, act *v1beta1.SupportOperation) error {
	op := &v1beta1.Operation{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.cluster.Namespace, Name: act.Name},
		Spec: v1beta1.OperationSpec{
			RequestedBy: requester, CorrelationID: act.Name,
			Target: v1beta1.OperationTarget{Kind: v1beta1.TargetManagedCluster, Name: o.cluster.Name, ResourceID: operation.ClusterID(o.cluster)},
		},
	}
	switch act.Act {
	case v1beta1.ActDelete:
		op.Spec.Type, op.Spec.State = v1beta1.OperationDelete, v1beta1.StateDeleting
	default:
		op.Spec.Type, op.Spec.State, op.Spec.Desired = v1beta1.OperationPut, v1beta1.StateStopping, stopped(o)
	}
	err := operation.Begin(ctx, r.client, r.reader, op)
	var held *operation.BusyError
	if errors.As(err, &held) {
		return nil
	}
	// What is written and could not be carried on here is by who looks after operations, and
	// often at the same time.
	if err != nil && r.reader.Get(ctx, client.ObjectKeyFromObject(op), &v1beta1.Operation{}) != nil {
		return fmt.Errorf("begin to %s by clause %s: %w", act.Act, act.Clause, err)
	}
	notice := begun(o.cluster, act)
	r.events.Show(o.cluster, corev1.EventTypeWarning, notice.Reason, string(act.Act), notice.Message)
	return r.events.Log.Tell(ctx, notice)
}

// tellDeletion tells of a cluster that goes by the policy, should whoever began that have
// ended before it was told.
func (r *reconciler) tellDeletion(ctx context.Context, cluster *v1beta1.ManagedCluster) error {
	if cluster.Status.Support == nil {
		return nil
	}
	last := cluster.Status.Support.LastAct
	if last == nil || last.Act != v1beta1.ActDelete {
		return nil
	}
	err := r.reader.Get(ctx, client.ObjectKey{Namespace: cluster.Namespace, Name: last.Name}, &v1beta1.Operation{})
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	return r.events.Log.Tell(ctx, begun(cluster, last))
}

// begun tells which clause an operation is of, once however often it is told.
func begun(cluster *v1beta1.ManagedCluster, act *v1beta1.SupportOperation) activity.Notice {
	return activity.Notice{
		Caller: requester, Object: cluster, Occasion: act.Name,
		ActivityNotice: v1beta1.ActivityNotice{
			Reason: "Support" + string(act.Act), Warning: true,
			Message: fmt.Sprintf("clause %s of the support policy: operation %s has begun", act.Clause, act.Name),
		},
	}
}

// stopped is the cluster as it is asked for, but stopped, with all its pools, so that
// they show what goes on.
func stopped(o *observation) *v1beta1.DesiredState {
	desired := &v1beta1.DesiredState{Cluster: o.cluster.Spec.DeepCopy()}
	desired.Cluster.PowerState = &v1beta1.PowerState{Code: v1beta1.PowerStopped}
	for i := range o.pools {
		desired.AgentPools = append(desired.AgentPools, *o.pools[i].Spec.DeepCopy())
	}
	return desired
}
