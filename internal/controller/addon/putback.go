package addon

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/addon"
	"berth.dev/berth/internal/controller/apply"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/tenant"
)

// mostWrites is how often an object is written in one pass, if it changes meanwhile.
const mostWrites = 5

// pass is one look at a cluster's managed objects.
type pass struct {
	*reconciler
	cluster *v1beta1.ManagedCluster
	id      string
	target  client.Client
	plan    policy.PutBackPlan
}

// bringAll brings every object that is due, in order. One that the API server refuses
// does not keep the others from it; an API server that does not answer ends the pass.
func (p *pass) bringAll(ctx context.Context, objects []client.Object) error {
	var errs []error
	wanted := map[tenant.Ref]bool{}
	for _, object := range objects {
		want, hash, err := apply.Render(object)
		if err != nil {
			return err
		}
		ref := tenant.Ref{GroupVersionKind: want.GroupVersionKind(), ObjectKey: client.ObjectKeyFromObject(want)}
		wanted[ref] = true
		if !p.keeper.due(p.id, ref, hash, p.plan, p.Now()) {
			continue
		}
		if err := p.bring(ctx, ref, want, hash); err != nil {
			errs = append(errs, fmt.Errorf("apply %s: %w", ref, err))
			if apierrors.ReasonForError(err) == metav1.StatusReasonUnknown {
				break
			}
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	p.keeper.drop(p.id, wanted)
	return p.prune(ctx, wanted)
}

// bring has one object be as it is rendered, and tells if somebody had changed it.
func (p *pass) bring(ctx context.Context, ref tenant.Ref, want *unstructured.Unstructured, hash [sha256.Size]byte) error {
	live, err := p.read(ctx, ref)
	if err != nil {
		return err
	}
	known, again := p.keeper.known(p.id, ref)
	again = again && known.rendered == hash
	if again && live != nil && sightOf(live) == known.good {
		p.keeper.brought(p.id, ref, hash, known.good, p.Now())
		return nil
	}
	result, found, err := p.write(ctx, want.DeepCopy(), live)
	for again := 1; apierrors.IsConflict(err) && again < mostWrites; again++ {
		// Somebody wrote in between, and it may be what is theirs to change.
		earlier := found
		if live, err = p.read(ctx, ref); err != nil {
			return err
		}
		if result, found, err = p.write(ctx, want.DeepCopy(), live); len(found.managers) == 0 {
			found = earlier
		}
	}
	if err != nil {
		return err
	}
	good := sightOf(result)
	p.keeper.brought(p.id, ref, hash, good, p.Now())
	switch {
	case again && live == nil:
		p.tell(ctx, ref, result, "it was deleted")
	case len(found.managers) > 0:
		p.tell(ctx, ref, result, fmt.Sprintf("%s changed %s", strings.Join(found.managers, ", "), found))
	case again && changed(live, result):
		p.tell(ctx, ref, result, "it was changed")
	}
	return nil
}

// changed says whether two states of an object differ in what is put back. Controllers
// may report in between.
func changed(before, after *unstructured.Unstructured) bool {
	content := func(object *unstructured.Unstructured) map[string]any {
		left := object.DeepCopy()
		for _, path := range [][]string{
			{"status"}, {"metadata", "annotations"}, {"metadata", "generation"}, {"metadata", "managedFields"}, {"metadata", "resourceVersion"},
		} {
			unstructured.RemoveNestedField(left.Object, path...)
		}
		return left.Object
	}
	return !equality.Semantic.DeepEqual(content(before), content(after))
}

// read returns nil for an object that does not exist.
func (p *pass) read(ctx context.Context, ref tenant.Ref) (*unstructured.Unstructured, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(ref.GroupVersionKind)
	err := p.target.Get(ctx, ref.ObjectKey, live)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return live, err
}

// write returns the object as it then is, and what of others was put back. It is refused,
// as a conflict, if the object is not the one that was read any more. Should the process end
// before the last step, the next one begins anew, with the same end.
func (p *pass) write(ctx context.Context, want, live *unstructured.Unstructured) (*unstructured.Unstructured, foreign, error) {
	if want.GetLabels()[addon.LabelMode] == addon.ModeEnsureExists {
		result, err := p.ensureExists(ctx, want, live)
		return result, foreign{}, err
	}
	var found foreign
	if live != nil {
		keepHooks(want, live)
		want.SetResourceVersion(live.GetResourceVersion())
		var err error
		if found, err = foreignIn(live.GetKind(), want.GetAPIVersion(), live); err != nil {
			return nil, foreign{}, err
		}
	}
	if len(found.managers) > 0 {
		raw, err := found.patch(live)
		if err != nil {
			return nil, foreign{}, err
		}
		taken := live.DeepCopy()
		if err := p.target.Patch(ctx, taken, client.RawPatch(types.JSONPatchType, raw), client.FieldOwner(fieldOwner)); err != nil {
			return nil, foreign{}, err
		}
		want.SetResourceVersion(taken.GetResourceVersion())
	}
	result, err := p.apply(ctx, want)
	if live != nil && immovable(err) {
		// Somebody made one of the same name that cannot become the right one.
		uid := live.GetUID()
		if err := p.target.Delete(ctx, live, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
			return nil, foreign{}, err
		}
		want.SetResourceVersion("")
		result, err = p.apply(ctx, want)
	}
	return result, found, err
}

func (p *pass) apply(ctx context.Context, want *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	result := want.DeepCopy()
	err := p.target.Apply(ctx, client.ApplyConfigurationFromUnstructured(result), client.FieldOwner(fieldOwner), client.ForceOwnership)
	return result, err
}

// ensureExists makes what is not there. What is, is the customer's, but for the labels
// that say so.
func (p *pass) ensureExists(ctx context.Context, want, live *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if live == nil {
		made := want.DeepCopy()
		err := p.target.Create(ctx, made, client.FieldOwner(fieldOwner))
		return made, err
	}
	missing := false
	for key, value := range want.GetLabels() {
		missing = missing || live.GetLabels()[key] != value
	}
	if !missing {
		return live, nil
	}
	labels := &unstructured.Unstructured{}
	labels.SetGroupVersionKind(want.GroupVersionKind())
	labels.SetNamespace(want.GetNamespace())
	labels.SetName(want.GetName())
	labels.SetLabels(want.GetLabels())
	return p.apply(ctx, labels)
}

// keepHooks has what is applied hold what the customer set, where that is theirs to set
// (AKS: customize-resource-configuration).
func keepHooks(want, live *unstructured.Unstructured) {
	if !policy.CustomersResources(live.GetKind(), live.GetAnnotations()) {
		return
	}
	path := []string{"spec", "template", "spec", "containers"}
	wanted, _, _ := unstructured.NestedSlice(want.Object, path...)
	there, _, _ := unstructured.NestedSlice(live.Object, path...)
	theirs := map[any]any{}
	for _, container := range there {
		if c, ok := container.(map[string]any); ok {
			theirs[c["name"]] = c["resources"]
		}
	}
	for _, container := range wanted {
		if c, ok := container.(map[string]any); ok && theirs[c["name"]] != nil {
			c["resources"] = theirs[c["name"]]
		}
	}
	_ = unstructured.SetNestedSlice(want.Object, wanted, path...) // what was read from there fits there
}

// immovable says whether an object is refused because of a field that only a new object
// can have.
func immovable(err error) bool {
	if !apierrors.IsInvalid(err) {
		return false
	}
	for _, words := range []string{"field is immutable", "cannot change roleRef", "may not change once set"} {
		if strings.Contains(err.Error(), words) {
			return true
		}
	}
	return false
}

// prune deletes what Berth made and renders no more. What only carries the labels is left
// alone: AKS deleted customers' objects for them (I#1435).
func (p *pass) prune(ctx context.Context, wanted map[tenant.Ref]bool) error {
	var left []tenant.Ref
	p.seen.Each(p.id, func(ref tenant.Ref, seen sight) {
		if seen.ours && !wanted[ref] {
			left = append(left, ref)
		}
	})
	for _, ref := range left {
		live, err := p.read(ctx, ref)
		if err != nil {
			return fmt.Errorf("prune %s: %w", ref, err)
		}
		if live == nil || !sightOf(live).ours {
			continue
		}
		uid := live.GetUID()
		if err := p.target.Delete(ctx, live, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("prune %s: %w", ref, err)
		}
		log.FromContext(ctx).Info("a managed object that is no longer part of the components was deleted", "cluster", p.id, "object", ref.String())
	}
	return nil
}
