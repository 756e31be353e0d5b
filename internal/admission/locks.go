package admission

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
)

// refuseLocked refuses a deletion that ARM would refuse for a lock (X3).
func (r Rules) refuseLocked(ctx context.Context, object client.Object, resource, id string) error {
	var locks v1beta1.ManagementLockList
	var groups v1beta1.ResourceGroupList
	for _, list := range []client.ObjectList{&locks, &groups} {
		if err := r.Reader.List(ctx, list, client.InNamespace(object.GetNamespace())); err != nil {
			return fmt.Errorf("list what locks %s: %w", id, err)
		}
	}
	refusal := policy.RefusedByLocks(policy.LockedRequest{Method: "DELETE", Scope: id}, locks.Items, groups.Items)
	if refusal == nil {
		return nil
	}
	held := make([]string, 0, len(refusal.Locks))
	for i := range refusal.Locks {
		lock := &refusal.Locks[i]
		held = append(held, fmt.Sprintf("lock %q (%s) of %s: kubectl delete managementlock -n %s %s",
			lock.Spec.Name, lock.Spec.Level, lock.Spec.Scope, lock.Namespace, lock.Name))
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: v1beta1.GroupVersion.Group, Resource: resource}, object.GetName(),
		fmt.Errorf("%s: %s Remove first: %s", policy.CodeScopeLocked, refusal.Message(), strings.Join(held, "; ")))
}

// goesAnyway says whether a deletion was decided before it came here: what is deleted is
// going already, an operation that deletes it holds it, or what it belongs to is going.
// Locks were asked when that began; what Berth deletes by the support policy they do not
// hold (docs/decisions/0012-locks.md).
func (r Rules) goesAnyway(ctx context.Context, object, parent client.Object) (bool, error) {
	if !object.GetDeletionTimestamp().IsZero() || parent != nil && !parent.GetDeletionTimestamp().IsZero() {
		return true, nil
	}
	holder, err := operation.Active(ctx, r.Reader, object)
	return err == nil && holder != nil && holder.Spec.Type == v1beta1.OperationDelete, err
}

// group is the resource group of that name, nil if there is none.
func (r Rules) group(ctx context.Context, namespace, name string) (client.Object, error) {
	group := &v1beta1.ResourceGroup{}
	err := r.Reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1beta1.ObjectName(name)}, group)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read resource group %s: %w", name, err)
	}
	return group, nil
}

// groupRules and snapshotRules check deletions alone.
type (
	groupRules    struct{ Rules }
	snapshotRules struct{ Rules }
)

// ValidateCreate allows every group: ARM and the controllers make them.
func (r *groupRules) ValidateCreate(context.Context, *v1beta1.ResourceGroup) (admission.Warnings, error) {
	return nil, nil
}

// ValidateUpdate allows every update.
func (r *groupRules) ValidateUpdate(context.Context, *v1beta1.ResourceGroup, *v1beta1.ResourceGroup) (admission.Warnings, error) {
	return nil, nil
}

// ValidateDelete refuses to delete a group that is locked, or that has something locked in
// it. A node resource group goes with its cluster.
func (r *groupRules) ValidateDelete(ctx context.Context, group *v1beta1.ResourceGroup) (admission.Warnings, error) {
	cluster, err := r.manager(ctx, group)
	if err != nil {
		return nil, err
	}
	if goes, err := r.goesAnyway(ctx, group, cluster); err != nil || goes {
		return nil, err
	}
	return nil, r.refuseLocked(ctx, group, "resourcegroups", policy.GroupID(group))
}

// manager is the cluster that a node resource group belongs to, nil if there is none.
func (r *groupRules) manager(ctx context.Context, group *v1beta1.ResourceGroup) (client.Object, error) {
	if group.Spec.ManagedBy == "" {
		return nil, nil
	}
	var clusters v1beta1.ManagedClusterList
	if err := r.Reader.List(ctx, &clusters, client.InNamespace(group.Namespace)); err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	for i := range clusters.Items {
		if strings.EqualFold(operation.ClusterID(&clusters.Items[i]), group.Spec.ManagedBy) {
			return &clusters.Items[i], nil
		}
	}
	return nil, nil
}

// ValidateCreate allows every snapshot: only ARM makes them.
func (r *snapshotRules) ValidateCreate(context.Context, *v1beta1.Snapshot) (admission.Warnings, error) {
	return nil, nil
}

// ValidateUpdate allows every update.
func (r *snapshotRules) ValidateUpdate(context.Context, *v1beta1.Snapshot, *v1beta1.Snapshot) (admission.Warnings, error) {
	return nil, nil
}

// ValidateDelete refuses to delete a snapshot that is locked.
func (r *snapshotRules) ValidateDelete(ctx context.Context, snapshot *v1beta1.Snapshot) (admission.Warnings, error) {
	group, err := r.group(ctx, snapshot.Namespace, snapshot.Spec.ResourceGroup)
	if err != nil {
		return nil, err
	}
	if goes, err := r.goesAnyway(ctx, snapshot, group); err != nil || goes {
		return nil, err
	}
	return nil, r.refuseLocked(ctx, snapshot, "snapshots", operation.SnapshotID(snapshot))
}
