package support

import (
	"context"
	"encoding/json"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/support"
)

// instance sees what was done to a machine through the IaaS view (B3, G2). A machine
// that is going tells nothing more.
func (o *observation) instance(m *v1beta1.Machine) {
	if off := m.Status.Off; off != nil && m.DeletionTimestamp.IsZero() {
		o.evidence.Off = append(o.evidence.Off, support.Instance{Node: m.Spec.NodeName, Since: off.Since.Time, By: off.RequestedBy, Power: off.Power})
	}
	if files := m.Status.ChangedFiles; files != nil && m.DeletionTimestamp.IsZero() {
		o.evidence.Files = append(o.evidence.Files, support.Files{Node: m.Spec.NodeName, ChangedFiles: *files})
	}
}

// removed sees how many machines there should be, and which of them were deleted through
// the IaaS view (G4). A stopped pool has none in any case.
func (o *observation) removed() {
	for i := range o.pools {
		if spec := &o.pools[i].Spec; spec.PowerState.Wanted() == v1beta1.PowerRunning && spec.Count != nil {
			o.evidence.Machines += int(*spec.Count)
		}
		for _, one := range o.pools[i].Status.Removed {
			o.evidence.Removed = append(o.evidence.Removed, support.Instance{Node: one.NodeName, Since: one.Time.Time, By: one.RequestedBy})
		}
	}
}

// tags sees which of the system's tags are not as it made them (B4).
func (o *observation) tags(ctx context.Context, reader client.Reader) error {
	var group v1beta1.ResourceGroup
	name := o.cluster.Spec.NodeResourceGroup
	err := reader.Get(ctx, client.ObjectKey{Namespace: o.cluster.Namespace, Name: v1beta1.ObjectName(name)}, &group)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read node resource group: %w", err)
	}
	system := policy.NodeGroupTags(o.cluster.Spec)
	if err == nil && group.Spec.ManagedBy != "" && group.DeletionTimestamp.IsZero() && policy.TagsRecorded(&group, system) {
		var changed v1beta1.TagsChanged
		// Who it was is lost if the note cannot be read; that the tags are not there is not.
		_ = json.Unmarshal([]byte(group.Annotations[v1beta1.AnnotationTagsChanged]), &changed)
		o.addTags("resource group "+group.Spec.Name, group.Spec.Tags, system, changed)
	}
	for i := range o.pools {
		pool := &o.pools[i]
		var set v1beta1.VirtualMachineScaleSet
		err := reader.Get(ctx, client.ObjectKeyFromObject(pool), &set)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("read scale set of %s: %w", pool.Name, err)
		}
		if err == nil {
			name := machine.ScaleSet(pool.Spec.Name, o.cluster.Spec.ID)
			system := policy.ScaleSetSystemTags(pool.Spec.Name, name)
			o.addTags("scale set "+name, policy.ScaleSetTags(pool, system, &set), system, set.Spec.Changed)
		}
	}
	return nil
}

func (o *observation) addTags(resource string, have, system map[string]string, changed v1beta1.TagsChanged) {
	if keys := policy.ChangedTags(have, system); len(keys) > 0 {
		o.evidence.Tags = append(o.evidence.Tags, support.Tags{Resource: resource, By: changed.By, Keys: keys, Since: changed.Time.Time})
	}
}
