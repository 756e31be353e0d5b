package supportaccess

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/access"
	"berth.dev/berth/internal/supportaccess"
	"berth.dev/berth/internal/tenant"
)

const (
	// check is how often a cluster's role and binding are looked at, beside the watches.
	check = 10 * time.Minute
	// passTimeout bounds one look.
	passTimeout = 30 * time.Second
	// soonest and latest bound how soon a look that failed is made again.
	soonest, latest = 100 * time.Millisecond, 30 * time.Second
	// awayAgain is how soon a cluster is looked at again whose API server is away.
	awayAgain = 5 * time.Second
)

// rights is the controller of the role and its binding.
type rights struct {
	Config
	client client.Client
	reader client.Reader // not a cache: what it does not see yet would lose its rights
	events activity.Recorder
	seen   *tenant.Inventory[string]
	known  *clusters
}

func (r *rights) setup(mgr ctrl.Manager) error {
	r.known = newClusters()
	var wake func(types.NamespacedName)
	r.seen = &tenant.Inventory[string]{
		Source: r.Tenants,
		Kinds: []tenant.Followed{
			{GroupVersionKind: rbacv1.SchemeGroupVersion.WithKind("ClusterRole"), Name: access.RoleName},
			{GroupVersionKind: rbacv1.SchemeGroupVersion.WithKind("ClusterRoleBinding"), Name: access.BindingName},
		},
		Digest: func(object *metav1.PartialObjectMetadata) string { return object.ResourceVersion },
		Changed: func(clusterID string, _ tenant.Ref) {
			if name, ok := r.known.name(clusterID); ok {
				wake(name)
			}
		},
	}
	if err := mgr.Add(r.seen); err != nil {
		return fmt.Errorf("set up watches of support's rights: %w", err)
	}
	// Nothing is watched before the first look, which the queue comes before.
	changes := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		wake = func(cluster types.NamespacedName) { queue.Add(ctrl.Request{NamespacedName: cluster}) }
		return nil
	})
	err := ctrl.NewControllerManagedBy(mgr).
		Named("supportaccess-rights").
		For(&v1beta1.ManagedCluster{}).
		Watches(&v1beta1.SupportAccess{}, handler.EnqueueRequestsFromMapFunc(clusterOf)).
		WatchesRawSource(changes).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: 2,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](soonest, latest),
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up controller of support's rights: %w", err)
	}
	return nil
}

func clusterOf(_ context.Context, object client.Object) []ctrl.Request {
	of, ok := object.(*v1beta1.SupportAccess)
	if !ok {
		return nil
	}
	return []ctrl.Request{{NamespacedName: client.ObjectKey{Namespace: of.Namespace, Name: of.Spec.Cluster}}}
}

// Reconcile implements reconcile.Reconciler.
func (r *rights) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var cluster v1beta1.ManagedCluster
	if err := r.client.Get(ctx, request.NamespacedName, &cluster); err != nil {
		if client.IgnoreNotFound(err) == nil {
			r.leave(request.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	// What is left in a cluster that is stopped goes when it starts: nobody gets at it before.
	if !cluster.DeletionTimestamp.IsZero() || cluster.Status.APIServerReady == nil || policy.NodesAway(&cluster) {
		r.leave(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	wait, err := r.look(ctx, &cluster)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("support's rights in %s: %w", request, err)
	}
	return ctrl.Result{RequeueAfter: wait}, nil
}

func (r *rights) leave(name types.NamespacedName) {
	if id, ok := r.known.drop(name); ok {
		r.seen.Stop(id)
	}
}

// look has the role and the binding be as the accesses of a cluster want them, notes that
// on the accesses, and says when to look again.
func (r *rights) look(ctx context.Context, cluster *v1beta1.ManagedCluster) (time.Duration, error) {
	standing, ended, wait, err := r.accesses(ctx, cluster)
	if err != nil {
		return 0, err
	}
	target, err := r.Tenants.Client(ctx, cluster.Spec.ID)
	if err != nil {
		return awayAgain, err
	}
	wanted := wantedOf(standing)
	changed, err := bring(ctx, target, wanted)
	if err != nil {
		return 0, err
	}
	r.known.add(cluster.Spec.ID, client.ObjectKeyFromObject(cluster))
	r.seen.Keep(cluster.Spec.ID)
	r.tell(cluster, wanted, changed, len(ended) > 0)
	return wait, r.note(ctx, standing, ended)
}

// accesses are those of a cluster that stand, and those that have ended and are not noted
// to be without rights. One that is over but not ended yet has no rights either.
func (r *rights) accesses(ctx context.Context, cluster *v1beta1.ManagedCluster) (standing, ended []*v1beta1.SupportAccess, wait time.Duration, err error) {
	var list v1beta1.SupportAccessList
	if err := r.reader.List(ctx, &list, client.InNamespace(cluster.Namespace)); err != nil {
		return nil, nil, 0, fmt.Errorf("list accesses: %w", err)
	}
	wait = check
	for i := range list.Items {
		one := &list.Items[i]
		if one.Spec.ClusterID != cluster.Spec.ID || one.Status.Removed != nil {
			continue
		}
		evidence, err := supportaccess.Gather(ctx, r.reader, one)
		if err != nil {
			return nil, nil, 0, err
		}
		if one.Status.Ended != nil || access.Decide(evidence, r.Now()) != nil {
			ended = append(ended, one)
			continue
		}
		standing = append(standing, one)
		wait = min(wait, max(access.Until(evidence).Sub(r.Now()), time.Millisecond))
	}
	return standing, ended, wait, nil
}

// note writes on the accesses that they have their rights, or have them no more.
func (r *rights) note(ctx context.Context, standing, ended []*v1beta1.SupportAccess) error {
	now := metav1.NewTime(r.Now().UTC().Truncate(time.Second))
	for _, one := range append(slices.Clone(standing), ended...) {
		before := one.DeepCopy()
		switch {
		case slices.Contains(ended, one) && one.Status.Ended != nil:
			one.Status.Removed = &now
		case slices.Contains(standing, one) && one.Status.Granted == nil:
			one.Status.Granted = &now
		default:
			continue
		}
		if err := r.client.Status().Patch(ctx, one, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("note the rights of access %s: %w", one.Name, err)
		}
	}
	return nil
}

// tell says that somebody made, kept or widened what is support's. What this controller
// brought itself is no news.
func (r *rights) tell(cluster *v1beta1.ManagedCluster, wanted *wantedRights, changed []change, ending bool) {
	news := r.known.brought(cluster.Spec.ID, wanted)
	for _, one := range changed {
		if news || ending && one.removed {
			continue
		}
		what := "was changed, and put back"
		switch {
		case one.removed:
			what = "was there without an access of support, and is removed"
		case one.missing:
			what = "was removed, and is there again"
		}
		r.events.Event(cluster, corev1.EventTypeWarning, "SupportRightsPutBack", "PutBack", fmt.Sprintf("C7: %s %s %s", one.kind, one.name, what))
	}
}

// wantedRights are the role and the binding for some accesses; nil for none.
type wantedRights struct {
	role    *rbacv1.ClusterRole
	binding *rbacv1.ClusterRoleBinding
}

func wantedOf(standing []*v1beta1.SupportAccess) *wantedRights {
	if len(standing) == 0 {
		return nil
	}
	var scopes []v1beta1.SupportScope
	var users []string
	for _, one := range standing {
		scopes = append(scopes, one.Spec.Scopes...)
		users = append(users, access.User(one))
	}
	slices.Sort(users)
	labels := map[string]string{"kubernetes.azure.com/managedby": "aks", "kubernetes.io/cluster-service": "true"}
	wanted := &wantedRights{
		role: &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: access.RoleName, Labels: labels}, Rules: access.Rules(scopes)},
		binding: &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: access.BindingName, Labels: labels},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: access.RoleName},
		},
	}
	for _, user := range users {
		wanted.binding.Subjects = append(wanted.binding.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user})
	}
	return wanted
}

// mark tells wanted rights apart.
func (w *wantedRights) mark() string {
	if w == nil {
		return ""
	}
	var users []string
	for _, subject := range w.binding.Subjects {
		users = append(users, subject.Name)
	}
	return strings.Join(users, " ")
}

// change is what was not as it should be.
type change struct {
	kind, name string
	// missing: it was not there. removed: it was, and should not have been.
	missing, removed bool
}

// bring has the role and the binding be as wanted, the role first as long as they are to
// be, and the binding first when they go. It tells what was otherwise.
func bring(ctx context.Context, target client.Client, wanted *wantedRights) ([]change, error) {
	if wanted == nil {
		binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: access.BindingName}}
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: access.RoleName}}
		return removeAll(ctx, target, binding, role)
	}
	var changed []change
	var role rbacv1.ClusterRole
	err := target.Get(ctx, client.ObjectKeyFromObject(wanted.role), &role)
	switch {
	case apierrors.IsNotFound(err):
		changed = append(changed, change{kind: "ClusterRole", name: access.RoleName, missing: true})
		err = target.Create(ctx, wanted.role.DeepCopy())
	case err == nil && (!equality.Semantic.DeepEqual(role.Rules, wanted.role.Rules) || role.AggregationRule != nil):
		changed = append(changed, change{kind: "ClusterRole", name: access.RoleName})
		role.Rules, role.AggregationRule, role.Labels = wanted.role.Rules, nil, wanted.role.Labels
		err = target.Update(ctx, &role)
	}
	if err != nil {
		return nil, fmt.Errorf("role %s: %w", access.RoleName, err)
	}
	more, err := bringBinding(ctx, target, wanted.binding)
	return append(changed, more...), err
}

func bringBinding(ctx context.Context, target client.Client, wanted *rbacv1.ClusterRoleBinding) ([]change, error) {
	var binding rbacv1.ClusterRoleBinding
	var changed []change
	err := target.Get(ctx, client.ObjectKeyFromObject(wanted), &binding)
	switch {
	case apierrors.IsNotFound(err):
		changed = append(changed, change{kind: "ClusterRoleBinding", name: access.BindingName, missing: true})
		err = target.Create(ctx, wanted.DeepCopy())
	case err == nil && binding.RoleRef != wanted.RoleRef: // it cannot be changed
		changed = append(changed, change{kind: "ClusterRoleBinding", name: access.BindingName})
		if err = client.IgnoreNotFound(target.Delete(ctx, &binding)); err == nil {
			err = target.Create(ctx, wanted.DeepCopy())
		}
	case err == nil && !equality.Semantic.DeepEqual(binding.Subjects, wanted.Subjects):
		changed = append(changed, change{kind: "ClusterRoleBinding", name: access.BindingName})
		binding.Subjects, binding.Labels = wanted.Subjects, wanted.Labels
		err = target.Update(ctx, &binding)
	}
	if err != nil {
		return nil, fmt.Errorf("binding %s: %w", access.BindingName, err)
	}
	return changed, nil
}

func removeAll(ctx context.Context, target client.Client, objects ...client.Object) ([]change, error) {
	var changed []change
	for _, object := range objects {
		err := target.Get(ctx, client.ObjectKeyFromObject(object), object)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err == nil {
			err = client.IgnoreNotFound(target.Delete(ctx, object))
		}
		if err != nil {
			return nil, fmt.Errorf("remove %s: %w", object.GetName(), err)
		}
		kind := "ClusterRole"
		if _, binding := object.(*rbacv1.ClusterRoleBinding); binding {
			kind = "ClusterRoleBinding"
		}
		changed = append(changed, change{kind: kind, name: object.GetName(), removed: true})
	}
	return changed, nil
}
