package armtest

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/pki"
	"berth.dev/berth/internal/policy"
)

// FailNext makes the next Put that settles fail with this error.
func (w *World) FailNext(cause *v1beta1.OperationError) { w.failed = cause }

// Run settles every operation soon after it began, until the test ends.
func (w *World) Run(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if err := w.Settle(ctx); err != nil && ctx.Err() == nil {
					t.Errorf("settle: %v", err)
				}
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// Settle does at once what the controllers do in time: it ends every unfinished
// operation and makes the world as its targets ask.
func (w *World) Settle(ctx context.Context) error {
	var operations v1beta1.OperationList
	if err := w.Client.List(ctx, &operations); err != nil {
		return fmt.Errorf("list operations: %w", err)
	}
	// What is aborted must not succeed first.
	slices.SortStableFunc(operations.Items, func(a, b v1beta1.Operation) int {
		return cmp.Compare(aborts(&b), aborts(&a))
	})
	for i := range operations.Items {
		op := &operations.Items[i]
		if operation.Finished(op) {
			continue
		}
		if err := w.settle(ctx, op); err != nil && !apierrors.IsConflict(err) {
			return err
		}
	}
	return w.follow(ctx)
}

// follow has the activity log say how operations ended, as controller/activity does.
func (w *World) follow(ctx context.Context) error {
	var operations v1beta1.OperationList
	if err := w.Client.List(ctx, &operations); err != nil {
		return fmt.Errorf("list operations: %w", err)
	}
	log := activity.Log{Client: w.Client, Now: w.Now, Log: slog.New(slog.DiscardHandler)}
	for i := range operations.Items {
		if _, err := log.Follow(ctx, &operations.Items[i]); err != nil && !apierrors.IsConflict(err) {
			return err
		}
	}
	return nil
}

func aborts(op *v1beta1.Operation) int {
	if op.Spec.Type == v1beta1.OperationAbort {
		return 1
	}
	return 0
}

// settleAbort ends the operation that is aborted, and then the abort.
func (w *World) settleAbort(ctx context.Context, op *v1beta1.Operation) error {
	var aborted v1beta1.Operation
	if err := w.Client.Get(ctx, client.ObjectKey{Namespace: op.Namespace, Name: op.Spec.Aborts}, &aborted); err != nil {
		return err
	}
	cause := &v1beta1.OperationError{Code: "OperationPreempted", Message: "The operation was aborted."}
	if err := operation.End(ctx, w.Client, &aborted, v1beta1.OperationCanceled, cause, w.Now()); err != nil {
		return err
	}
	return operation.End(ctx, w.Client, op, v1beta1.OperationSucceeded, nil, w.Now())
}

func (w *World) settle(ctx context.Context, op *v1beta1.Operation) error {
	if op.Spec.Type == v1beta1.OperationAbort {
		return w.settleAbort(ctx, op)
	}
	if op.Spec.Type == v1beta1.OperationInstances {
		return w.settleInstances(ctx, op)
	}
	if begun, err := w.begun(ctx, op); err != nil || !begun {
		return err
	}
	if op.Spec.Type == v1beta1.OperationDelete {
		if err := w.remove(ctx, op); err != nil {
			return err
		}
		return operation.End(ctx, w.Client, op, v1beta1.OperationSucceeded, nil, w.Now())
	}
	cause, code, state := w.failed, v1beta1.OperationSucceeded, v1beta1.StateSucceeded
	w.failed = nil
	if cause != nil {
		code, state = v1beta1.OperationFailed, v1beta1.StateFailed
	}
	if err := w.converge(ctx, op, state, cause); err != nil {
		return err
	}
	return operation.End(ctx, w.Client, op, code, cause, w.Now())
}

// begun says whether the request has written all that it wants: before that, there
// is nothing to settle.
func (w *World) begun(ctx context.Context, op *v1beta1.Operation) (bool, error) {
	targets := map[string]client.Object{op.Spec.Target.Name: &v1beta1.ManagedCluster{}}
	switch op.Spec.Target.Kind {
	case v1beta1.TargetAgentPool:
		targets[op.Spec.Target.Name] = &v1beta1.AgentPool{}
	case v1beta1.TargetResourceGroup:
		targets[op.Spec.Target.Name] = &v1beta1.ResourceGroup{}
	}
	if op.Spec.Desired != nil {
		for _, spec := range op.Spec.Desired.AgentPools {
			targets[v1beta1.ObjectName(spec.ResourceGroup, spec.ClusterName, spec.Name)] = &v1beta1.AgentPool{}
		}
	}
	for name, object := range targets {
		err := w.Client.Get(ctx, client.ObjectKey{Namespace: op.Namespace, Name: name}, object)
		if err != nil {
			return false, client.IgnoreNotFound(err)
		}
		deleting := !object.GetDeletionTimestamp().IsZero()
		if object.GetAnnotations()[v1beta1.AnnotationOperation] != op.Name || deleting != (op.Spec.Type == v1beta1.OperationDelete) {
			return false, nil
		}
	}
	return true, nil
}

func (w *World) converge(ctx context.Context, op *v1beta1.Operation, state v1beta1.ProvisioningState, cause *v1beta1.OperationError) error {
	if spec := op.Spec.Desired.Cluster; spec != nil {
		var cluster v1beta1.ManagedCluster
		if err := w.Client.Get(ctx, client.ObjectKey{Namespace: op.Namespace, Name: op.Spec.Target.Name}, &cluster); err != nil {
			return client.IgnoreNotFound(err)
		}
		version, _ := versions(w).Target(cluster.Spec.KubernetesVersion, cluster.Status.CurrentKubernetesVersion)
		power := cluster.Status.PowerState
		if cause == nil || power.Code == "" {
			power.Code = cluster.Spec.PowerState.Wanted()
		}
		cluster.Status = v1beta1.ManagedClusterStatus{
			ObservedGeneration: cluster.Generation, ProvisioningState: state, PowerState: power,
			Conditions: []metav1.Condition{w.stopped(power)}, Rotations: cluster.Spec.Rotations.Asked(), AutoUpgrades: cluster.Status.AutoUpgrades,
			CurrentKubernetesVersion: version, Error: cause, ControlPlaneAddress: "100.65.0.77",
			FQDN: cluster.Spec.DNSPrefix + "-00000000.hcp." + cluster.Spec.Location + ".berth.internal",
		}
		if err := w.Client.Status().Update(ctx, &cluster); err != nil {
			return err
		}
		if err := w.kubeconfigs(ctx, &cluster); err != nil {
			return err
		}
		if err := w.letGo(ctx, &cluster); err != nil {
			return err
		}
	}
	for _, spec := range op.Spec.Desired.AgentPools {
		var pool v1beta1.AgentPool
		if err := w.Client.Get(ctx, client.ObjectKey{Namespace: op.Namespace, Name: v1beta1.ObjectName(spec.ResourceGroup, spec.ClusterName, spec.Name)}, &pool); err != nil {
			return client.IgnoreNotFound(err)
		}
		pool.Status.ObservedGeneration, pool.Status.ProvisioningState, pool.Status.Error = pool.Generation, state, cause
		pool.Status.PowerState.Code, pool.Status.NodeImageVersion = pool.Spec.PowerState.Wanted(), Catalogue().NodeImageVersion
		if wanted := op.Spec.Desired.Cluster; wanted != nil && wanted.PowerState.Wanted() == v1beta1.PowerStopped {
			pool.Status.PowerState.Code = v1beta1.PowerStopped
		}
		var cluster v1beta1.ManagedCluster
		if err := w.Client.Get(ctx, client.ObjectKey{Namespace: op.Namespace, Name: v1beta1.ObjectName(spec.ResourceGroup, spec.ClusterName)}, &cluster); err != nil {
			return client.IgnoreNotFound(err)
		}
		pool.Status.CurrentOrchestratorVersion, _ = versions(w).PoolTarget(spec.OrchestratorVersion, pool.Status.CurrentOrchestratorVersion, cluster.Status.CurrentKubernetesVersion)
		pool.Status.Count, pool.Status.ReadyCount = *pool.Spec.Count, *pool.Spec.Count
		if err := w.Client.Status().Update(ctx, &pool); err != nil {
			return err
		}
	}
	return nil
}

func versions(w *World) policy.Versions { return policy.Versions{Catalogue: Catalogue(), Now: w.Now()} }

// stopped is the condition that tells since when a cluster is stopped.
func (w *World) stopped(power v1beta1.PowerState) metav1.Condition {
	condition := metav1.Condition{
		Type: v1beta1.ConditionStopped, Status: metav1.ConditionFalse,
		Reason: string(power.Code), LastTransitionTime: metav1.NewTime(w.Now()),
	}
	if power.Code == v1beta1.PowerStopped {
		condition.Status = metav1.ConditionTrue
	}
	return condition
}

// kubeconfigs writes what the control plane's controller would.
func (w *World) kubeconfigs(ctx context.Context, cluster *v1beta1.ManagedCluster) error {
	namespace := v1beta1.ControlPlaneNamespace(cluster.Spec.ID)
	if err := w.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); client.IgnoreAlreadyExists(err) != nil {
		return err
	}
	for secret, user := range map[string]string{"admin-kubeconfig": "clusterAdmin", "user-kubeconfig": "clusterUser"} {
		config, err := pki.Kubeconfig(pki.KubeconfigRequest{
			Cluster: cluster.Spec.Name, User: user + "_" + cluster.Spec.ResourceGroup + "_" + cluster.Spec.Name,
			Server: "https://100.65.0.77:6443", TLSServerName: cluster.Status.FQDN, CA: []byte("ca"), Cert: []byte("cert"), Key: []byte("key"),
		})
		if err != nil {
			return err
		}
		object := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: secret},
			Data:       map[string][]byte{"kubeconfig": config},
		}
		if err := w.Client.Create(ctx, object); client.IgnoreAlreadyExists(err) != nil {
			return err
		}
	}
	return nil
}

// remove lets go of a deleted target and of everything below it.
func (w *World) remove(ctx context.Context, op *v1beta1.Operation) error {
	target := op.Spec.Target.Name
	var clusters v1beta1.ManagedClusterList
	var pools v1beta1.AgentPoolList
	var snapshots v1beta1.SnapshotList
	var groups v1beta1.ResourceGroupList
	var windows v1beta1.MaintenanceConfigurationList
	for _, list := range []client.ObjectList{&clusters, &pools, &snapshots, &groups, &windows} {
		if err := w.Client.List(ctx, list, client.InNamespace(op.Namespace)); err != nil {
			return err
		}
	}
	var going []client.Object
	take := func(object client.Object, names ...string) {
		if slices.Contains(names, target) {
			going = append(going, object)
		}
	}
	for i := range pools.Items {
		spec := pools.Items[i].Spec
		take(&pools.Items[i], pools.Items[i].Name, v1beta1.ObjectName(spec.ResourceGroup, spec.ClusterName), v1beta1.ObjectName(spec.ResourceGroup))
	}
	for i := range windows.Items {
		spec := windows.Items[i].Spec
		take(&windows.Items[i], v1beta1.ObjectName(spec.ResourceGroup, spec.ClusterName), v1beta1.ObjectName(spec.ResourceGroup))
	}
	for i := range clusters.Items {
		take(&clusters.Items[i], clusters.Items[i].Name, v1beta1.ObjectName(clusters.Items[i].Spec.ResourceGroup))
	}
	for i := range snapshots.Items {
		take(&snapshots.Items[i], v1beta1.ObjectName(snapshots.Items[i].Spec.ResourceGroup))
	}
	for i := range groups.Items {
		take(&groups.Items[i], groups.Items[i].Name)
	}
	var locks v1beta1.ManagementLockList
	if err := w.Client.List(ctx, &locks, client.InNamespace(op.Namespace)); err != nil {
		return err
	}
	for i := range locks.Items {
		if slices.ContainsFunc(going, func(object client.Object) bool { return owns(object, &locks.Items[i]) }) {
			going = append(going, &locks.Items[i])
		}
	}
	for _, object := range going {
		if err := w.keep(ctx, object, pools.Items); err != nil {
			return err
		}
		object.SetFinalizers(nil)
		if err := w.Client.Update(ctx, object); client.IgnoreNotFound(err) != nil {
			return err
		}
		if err := w.Client.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

// owns does what Kubernetes' garbage collector would decide.
func owns(owner, object client.Object) bool {
	return slices.ContainsFunc(object.GetOwnerReferences(), func(reference metav1.OwnerReference) bool { return reference.UID == owner.GetUID() })
}
