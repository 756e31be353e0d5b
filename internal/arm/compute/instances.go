package compute

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
)

// actions are the actions by the words that paths end in.
var actions = []struct {
	word   string
	action v1beta1.InstanceAction
}{
	{"start", v1beta1.InstanceStart},
	{"deallocate", v1beta1.InstanceDeallocate},
	{"poweroff", v1beta1.InstancePowerOff},
	{"restart", v1beta1.InstanceRestart},
	{"reimage", v1beta1.InstanceReimage},
	{"reimageall", v1beta1.InstanceReimage}, // there are no other disks
	{"redeploy", v1beta1.InstanceRedeploy},
	{"delete", v1beta1.InstanceDelete},
}

func (p provider) listInstances(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	set, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	if filter := r.Query("$filter"); filter != "" {
		return nil, arm.InvalidParameter("$filter", "The query parameter $filter is not supported for instances. Leave it out.")
	}
	withView, err := expand(r)
	if err != nil {
		return nil, err
	}
	items := make([]arm.Item, 0, len(set.instances))
	for _, one := range set.instances {
		items = append(items, arm.Item{Key: one.Spec.NodeName, Body: renderInstance(r, set, one, withView)})
	}
	return p.Page(r, items)
}

// expand says whether the instance view is asked for. $select chooses nothing more.
func expand(r *arm.Request) (bool, error) {
	asked := r.Query("$expand")
	if asked != "" && !strings.EqualFold(asked, "instanceView") {
		return false, arm.InvalidParameter("$expand", "The value of query parameter $expand is invalid. It must be 'instanceView'.")
	}
	return asked != "", nil
}

func (p provider) getInstance(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	set, one, err := p.requireInstance(ctx, r)
	if err != nil {
		return nil, err
	}
	withView, err := expand(r)
	if err != nil {
		return nil, err
	}
	return arm.OK(renderInstance(r, set, one, withView))
}

func (p provider) instanceView(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	_, one, err := p.requireInstance(ctx, r)
	if err != nil {
		return nil, err
	}
	return arm.OK(viewOf(one))
}

// chosen is the body of an action on several instances.
type chosen struct {
	InstanceIDs []string `json:"instanceIds"`
}

// onScaleSet answers an action on some instances, or on all.
func (p provider) onScaleSet(action v1beta1.InstanceAction) arm.Handler {
	return func(ctx context.Context, r *arm.Request) (*arm.Response, error) {
		var body chosen
		if !r.Empty() {
			if err := r.Decode(&body); err != nil {
				return nil, err
			}
		}
		if err := refuseForce(r); err != nil {
			return nil, err
		}
		set, err := p.require(ctx, r)
		if err != nil {
			return nil, err
		}
		if action == v1beta1.InstanceDelete && len(body.InstanceIDs) == 0 {
			return nil, arm.InvalidParameter("instanceIds", "Required parameter 'instanceIds' is missing (null).")
		}
		instances, err := set.choose(body.InstanceIDs)
		if err != nil {
			return nil, err
		}
		return p.act(ctx, r, set, action, instances)
	}
}

// onInstance answers an action on one instance.
func (p provider) onInstance(action v1beta1.InstanceAction) arm.Handler {
	return func(ctx context.Context, r *arm.Request) (*arm.Response, error) {
		if err := refuseForce(r); err != nil {
			return nil, err
		}
		set, one, err := p.requireInstance(ctx, r)
		if err != nil {
			return nil, err
		}
		return p.act(ctx, r, set, action, []instance{one})
	}
}

func (p provider) deleteInstance(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	if err := refuseForce(r); err != nil {
		return nil, err
	}
	set, one, err := p.requireInstance(ctx, r)
	if set != nil && err != nil {
		return arm.NoContent()
	}
	if err != nil {
		return nil, err
	}
	return p.act(ctx, r, set, v1beta1.InstanceDelete, []instance{one})
}

// refuseForce refuses to skip what a machine does when it ends.
func refuseForce(r *arm.Request) error {
	for _, name := range []string{"skipShutdown", "forceDeletion", "hibernate"} {
		if value := r.Query(name); value != "" && !strings.EqualFold(value, "false") {
			return arm.InvalidParameter(name, "The query parameter %s is not supported: a machine ends in its own time. Leave it out.", name)
		}
	}
	return nil
}

// choose are the instances of these ids; none, or a star, are all.
func (s *scaleSet) choose(ids []string) ([]instance, error) {
	if len(ids) == 0 || slices.Contains(ids, "*") {
		return slices.DeleteFunc(slices.Clone(s.instances), func(one instance) bool { return !one.stays() }), nil
	}
	var found []instance
	for _, id := range ids {
		at := slices.IndexFunc(s.instances, func(one instance) bool { return one.id() == id })
		if at < 0 {
			return nil, arm.InvalidParameter("instanceIds", "The provided instanceId %q is not an active Virtual Machine Scale Set VM instanceId of '%s'.", id, s.name)
		}
		if !slices.ContainsFunc(found, func(one instance) bool { return one.id() == id }) {
			found = append(found, s.instances[at])
		}
	}
	return found, nil
}

// act begins an action, if every instance allows it.
func (p provider) act(ctx context.Context, r *arm.Request, set *scaleSet, action v1beta1.InstanceAction, instances []instance) (*arm.Response, error) {
	if err := set.refuseDeleting(); err != nil {
		return nil, err
	}
	if len(instances) == 0 {
		return &arm.Response{Status: http.StatusOK}, nil
	}
	op, err := p.begin(ctx, r, set, action, instances)
	if err != nil {
		return nil, err
	}
	return p.Accepted(set.operations(r), op, http.StatusAccepted, nil), nil
}

// begin writes the operation that asks the instances for an action.
func (p provider) begin(ctx context.Context, r *arm.Request, set *scaleSet, action v1beta1.InstanceAction, instances []instance) (*v1beta1.Operation, error) {
	target, state := set.id(r), v1beta1.StateUpdating
	if len(instances) == 1 {
		target = set.instanceID(r, instances[0])
	}
	if action == v1beta1.InstanceDelete {
		state = v1beta1.StateDeleting
	}
	names := make([]string, 0, len(instances))
	for _, one := range instances {
		if !one.DeletionTimestamp.IsZero() && action != v1beta1.InstanceDelete {
			return nil, arm.PendingOperation(one.id(), string(v1beta1.StateDeleting))
		}
		if violations := policy.ValidateInstance(action, one.Spec.NodeName, one.Status.Off); len(violations) > 0 {
			refusal := arm.Refusal(violations)
			refusal.Status = http.StatusConflict
			return nil, refusal
		}
		names = append(names, one.Name)
	}
	return p.Begin(ctx, r, v1beta1.OperationSpec{
		Type: v1beta1.OperationInstances, State: state,
		Target:    v1beta1.OperationTarget{Kind: v1beta1.TargetScaleSet, Name: set.pool.Name, ResourceID: target},
		Instances: &v1beta1.InstancesOperation{Action: action, Machines: names},
	})
}
