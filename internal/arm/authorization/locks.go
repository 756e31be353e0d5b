package authorization

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
)

// lockBody is a lock on the wire.
type lockBody struct {
	ID         string         `json:"id" arm:"read"`
	Name       string         `json:"name" arm:"read"`
	Type       string         `json:"type" arm:"read"`
	SystemData map[string]any `json:"systemData,omitempty" arm:"read"`
	Properties lockProperties `json:"properties"`
}

type lockProperties struct {
	Level  v1beta1.LockLevel `json:"level" arm:"enum=CanNotDelete|ReadOnly"`
	Notes  string            `json:"notes,omitempty"`
	Owners []lockOwner       `json:"owners,omitempty"`
}

type lockOwner struct {
	ApplicationID string `json:"applicationId"`
}

// putLock makes a lock, or replaces all of it. Synchronous, like all that follows.
func (p provider) putLock(find arm.Find) arm.Handler {
	return func(ctx context.Context, r *arm.Request) (*arm.Response, error) {
		var body lockBody
		if err := r.Decode(&body); err != nil {
			return nil, err
		}
		at, err := find(ctx, r)
		if err != nil {
			return nil, err
		}
		if err := at.RefuseDeleting(); err != nil {
			return nil, err
		}
		spec := v1beta1.ManagementLockSpec{Name: r.Parameter("lock"), Scope: at.ID, Level: body.Properties.Level, Notes: body.Properties.Notes}
		for _, owner := range body.Properties.Owners {
			spec.Owners = append(spec.Owners, v1beta1.LockOwner(owner))
		}
		if found := policy.ValidateLock(spec); len(found) > 0 {
			return nil, arm.Refusal(found)
		}
		lock, err := p.findLock(ctx, r, at)
		if err != nil {
			return nil, err
		}
		if lock == nil {
			return p.createLock(ctx, r, at, spec)
		}
		spec.Name, spec.Scope = lock.Spec.Name, lock.Spec.Scope
		lock.Spec = spec
		if err := p.Client.Update(ctx, lock); err != nil {
			return nil, fmt.Errorf("update lock %s: %w", spec.Name, err)
		}
		return arm.OK(renderLock(lock))
	}
}

func (p provider) createLock(ctx context.Context, r *arm.Request, at arm.Target, spec v1beta1.ManagementLockSpec) (*arm.Response, error) {
	lock := &v1beta1.ManagementLock{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace(), Name: v1beta1.LockObjectName(spec.Scope, spec.Name)},
		Spec:       spec,
	}
	if at.Object != nil {
		kind, err := apiutil.GVKForObject(at.Object, p.Client.Scheme())
		if err != nil {
			return nil, fmt.Errorf("own lock %s: %w", spec.Name, err)
		}
		lock.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: kind.GroupVersion().String(), Kind: kind.Kind, Name: at.Object.GetName(), UID: at.Object.GetUID(),
		}}
	}
	if err := p.Client.Create(ctx, lock); err != nil {
		return nil, fmt.Errorf("create lock %s: %w", spec.Name, err)
	}
	return &arm.Response{Status: http.StatusCreated, Body: renderLock(lock)}, nil
}

func (p provider) getLock(find arm.Find) arm.Handler {
	return func(ctx context.Context, r *arm.Request) (*arm.Response, error) {
		at, err := find(ctx, r)
		if err != nil {
			return nil, err
		}
		lock, err := p.findLock(ctx, r, at)
		if err != nil {
			return nil, err
		}
		if lock == nil {
			return nil, arm.Errorf(http.StatusNotFound, "LockNotFound", "The lock '%s' could not be found at scope '%s'. List the locks to see where it is.", r.Parameter("lock"), at.ID)
		}
		return arm.OK(renderLock(lock))
	}
}

func (p provider) deleteLock(find arm.Find) arm.Handler {
	return func(ctx context.Context, r *arm.Request) (*arm.Response, error) {
		at, err := find(ctx, r)
		if err != nil {
			return nil, err
		}
		lock, err := p.findLock(ctx, r, at)
		if err != nil {
			return nil, err
		}
		if lock == nil {
			return arm.NoContent()
		}
		if err := p.Client.Delete(ctx, lock); client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("delete lock %s: %w", lock.Spec.Name, err)
		}
		return &arm.Response{Status: http.StatusOK}, nil
	}
}

// listLocks lists the locks at, above and below a scope, as ARM does without a filter;
// with atScope(), those that hold it: at and above.
func (p provider) listLocks(find arm.Find) arm.Handler {
	return func(ctx context.Context, r *arm.Request) (*arm.Response, error) {
		filter := strings.TrimSpace(r.Query("$filter"))
		if filter != "" && !strings.EqualFold(filter, "atScope()") {
			return nil, arm.Errorf(http.StatusBadRequest, "InvalidFilterInQueryString", "Invalid $filter specified in the query string. Supported is \"atScope()\".")
		}
		at, err := find(ctx, r)
		if err != nil {
			return nil, err
		}
		var list v1beta1.ManagementLockList
		if err := p.APIReader.List(ctx, &list, client.InNamespace(r.Namespace())); err != nil {
			return nil, fmt.Errorf("list locks: %w", err)
		}
		var items []arm.Item
		for i := range list.Items {
			lock := &list.Items[i]
			if policy.ScopeWithin(at.ID, lock.Spec.Scope) || filter == "" && policy.ScopeWithin(lock.Spec.Scope, at.ID) {
				items = append(items, arm.Item{Key: strings.ToLower(lockID(lock)), Body: renderLock(lock)})
			}
		}
		return p.Page(r, items)
	}
}

// findLock is the lock that the path names at a scope, nil if there is none.
func (p provider) findLock(ctx context.Context, r *arm.Request, at arm.Target) (*v1beta1.ManagementLock, error) {
	var lock v1beta1.ManagementLock
	key := client.ObjectKey{Namespace: r.Namespace(), Name: v1beta1.LockObjectName(at.ID, r.Parameter("lock"))}
	err := p.APIReader.Get(ctx, key, &lock)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read lock %s: %w", key, err)
	}
	return &lock, nil
}

func lockID(lock *v1beta1.ManagementLock) string {
	return lock.Spec.Scope + "/providers/" + namespace + "/locks/" + lock.Spec.Name
}

func renderLock(lock *v1beta1.ManagementLock) lockBody {
	properties := lockProperties{Level: lock.Spec.Level, Notes: lock.Spec.Notes}
	for _, owner := range lock.Spec.Owners {
		properties.Owners = append(properties.Owners, lockOwner(owner))
	}
	return lockBody{ID: lockID(lock), Name: lock.Spec.Name, Type: namespace + "/locks", Properties: properties}
}
