package compute

import (
	"context"
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
)

func (p provider) listAllScaleSets(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	var groups v1beta1.ResourceGroupList
	if err := p.APIReader.List(ctx, &groups, client.InNamespace(r.Namespace())); err != nil {
		return nil, fmt.Errorf("list resource groups: %w", err)
	}
	var items []arm.Item
	for i := range groups.Items {
		found, err := p.scaleSets(ctx, r, &groups.Items[i])
		if err != nil {
			return nil, err
		}
		items = append(items, itemsOf(r, found)...)
	}
	return p.Page(r, items)
}

func (p provider) listScaleSets(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	group, err := p.Group(ctx, r)
	if err != nil {
		return nil, err
	}
	found, err := p.scaleSets(ctx, r, group)
	if err != nil {
		return nil, err
	}
	return p.Page(r, itemsOf(r, found))
}

func itemsOf(r *arm.Request, sets []scaleSet) []arm.Item {
	items := make([]arm.Item, 0, len(sets))
	for i := range sets {
		items = append(items, arm.Item{Key: sets[i].pool.Name, Body: renderScaleSet(r, &sets[i])})
	}
	return items
}

func (p provider) getScaleSet(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	set, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	return arm.OK(renderScaleSet(r, set))
}

// scaleSetView counts the instances by their states.
func (p provider) scaleSetView(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	set, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	var order []string
	for _, one := range set.instances {
		for _, code := range []string{"ProvisioningState/" + one.provisioning(), "PowerState/" + one.power()} {
			if counts[code] == 0 {
				order = append(order, code)
			}
			counts[code]++
		}
	}
	summary := make([]any, 0, len(order))
	for _, code := range order {
		summary = append(summary, map[string]any{"code": code, "count": counts[code]})
	}
	return arm.OK(map[string]any{
		"virtualMachine": map[string]any{"statusesSummary": summary},
		"extensions":     []any{},
		"statuses":       []any{status("ProvisioningState/succeeded", "Provisioning succeeded")},
	})
}

// writeScaleSet answers a PUT and a PATCH: of a scale set that there is, tags can be
// changed and the capacity lowered. Everything else must be as it is.
func (p provider) writeScaleSet(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	sent := map[string]any{}
	if err := r.Decode(&sent); err != nil {
		return nil, err
	}
	set, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := set.refuseDeleting(); err != nil {
		return nil, err
	}
	change, err := readChange(sent, renderScaleSet(r, set))
	if err != nil {
		return nil, err
	}
	fewer, err := set.surplus(change.capacity)
	if err != nil {
		return nil, err
	}
	if err := arm.CheckTags(change.tags); err != nil {
		return nil, err
	}
	var op *v1beta1.Operation
	if len(fewer) > 0 { // before the tags: it may be refused, and then nothing was changed
		if op, err = p.begin(ctx, r, set, v1beta1.InstanceDelete, fewer); err != nil {
			return nil, err
		}
	}
	if change.tags != nil {
		if err := p.setTags(ctx, r, set, change.tags); err != nil {
			return nil, err
		}
	}
	if op == nil {
		return arm.OK(renderScaleSet(r, set))
	}
	if set, err = p.require(ctx, r); err != nil {
		return nil, err
	}
	return p.Accepted(set.operations(r), op, http.StatusOK, renderScaleSet(r, set)), nil
}

// surplus are the instances that go when a scale set gets another capacity, the newest.
func (s *scaleSet) surplus(capacity *int) ([]instance, error) {
	if capacity == nil || *capacity == s.capacity() {
		return nil, nil
	}
	if *capacity < 0 || *capacity > s.capacity() {
		return nil, arm.InvalidParameter("sku.capacity",
			"The value of parameter sku.capacity is invalid: the scale set has %d instances, and here it can only get fewer. Scale agent pool '%s' of the cluster instead: `az aks nodepool scale`.", s.capacity(), s.pool.Spec.Name)
	}
	var fewer []instance
	for i := len(s.instances) - 1; i >= 0 && len(fewer) < s.capacity()-*capacity; i-- {
		if s.instances[i].stays() {
			fewer = append(fewer, s.instances[i])
		}
	}
	return fewer, nil
}

// setTags writes the tags, and who set them. The pool owns what is written and takes it along.
func (p provider) setTags(ctx context.Context, r *arm.Request, set *scaleSet, tags map[string]string) error {
	object := &v1beta1.VirtualMachineScaleSet{ObjectMeta: metav1.ObjectMeta{Namespace: set.pool.Namespace, Name: set.pool.Name}}
	var earlier v1beta1.TagsChanged
	if set.set != nil {
		object, earlier = set.set.DeepCopy(), set.set.Spec.Changed
	}
	system := policy.ScaleSetSystemTags(set.pool.Spec.Name, set.name)
	now := v1beta1.TagsChanged{Time: metav1.NewTime(p.Now().Truncate(1e9)), By: r.Caller.Name()}
	object.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set.pool, v1beta1.GroupVersion.WithKind("AgentPool"))}
	object.Spec = v1beta1.VirtualMachineScaleSetSpec{
		Tags: tags, PoolOperation: policy.PoolAttempt(set.pool),
		Changed: policy.WhoChanged(earlier, policy.ScaleSetTags(set.pool, system, set.set), system, now),
	}
	var err error
	if set.set == nil {
		err = p.Client.Create(ctx, object)
	} else {
		err = p.Client.Update(ctx, object)
	}
	if err != nil {
		return fmt.Errorf("write tags of scale set %s: %w", set.name, err)
	}
	set.set = object
	return nil
}

// deleteScaleSet refuses: a pool would be left that has none.
func (p provider) deleteScaleSet(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	set, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	return nil, arm.Errorf(http.StatusConflict, "OperationNotAllowed",
		"Operation is not allowed: scale set '%s' holds the nodes of agent pool '%s' and is deleted with it: `az aks nodepool delete`. Its instances can be deleted one by one.", set.name, set.pool.Spec.Name)
}

// refuseDeleting refuses to change what is going.
func (s *scaleSet) refuseDeleting() error {
	if s.cluster.DeletionTimestamp.IsZero() && s.pool.DeletionTimestamp.IsZero() {
		return nil
	}
	return arm.PendingOperation(s.name, string(v1beta1.StateDeleting))
}
