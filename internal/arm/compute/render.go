package compute

import (
	"strings"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
)

// renderScaleSet is a pool's scale set on the wire.
func renderScaleSet(r *arm.Request, s *scaleSet) map[string]any {
	return map[string]any{
		"id": s.id(r), "name": s.name, "type": scaleSetType, "location": arm.NormalLocation(s.cluster.Spec.Location), "tags": s.tags(),
		"sku": map[string]any{"name": s.pool.Spec.VMSize, "tier": "Standard", "capacity": s.capacity()},
		"properties": map[string]any{
			"provisioningState": s.provisioning(), "orchestrationMode": "Uniform", "overprovision": false, "singlePlacementGroup": false,
			"upgradePolicy": map[string]any{"mode": "Manual"},
			"timeCreated":   s.pool.CreationTimestamp.UTC().Format(time.RFC3339),
			"virtualMachineProfile": map[string]any{
				"osProfile":        s.osProfile(map[string]any{"computerNamePrefix": s.name}),
				"storageProfile":   s.storage(r, s.pool.Status.NodeImageVersion),
				"extensionProfile": map[string]any{"extensions": []any{}},
			},
		},
	}
}

// provisioning is Updating while an action on an instance is under way.
func (s *scaleSet) provisioning() string {
	for _, one := range s.instances {
		if one.provisioning() != "succeeded" {
			return "Updating"
		}
	}
	return "Succeeded"
}

func (s *scaleSet) osProfile(named map[string]any) map[string]any {
	linux := map[string]any{"disablePasswordAuthentication": true}
	if profile := s.cluster.Spec.LinuxProfile; profile != nil {
		named["adminUsername"] = profile.AdminUsername
	}
	named["linuxConfiguration"] = linux
	return named
}

func (s *scaleSet) storage(r *arm.Request, image string) map[string]any {
	return map[string]any{
		"imageReference": map[string]any{"id": r.SubscriptionPath() + "/providers/" + namespace + "/images/" + image},
		"osDisk":         map[string]any{"createOption": "FromImage", "osType": "Linux", "diskSizeGB": s.pool.Spec.OSDiskSizeGB},
	}
}

// renderInstance is one instance on the wire.
func renderInstance(r *arm.Request, s *scaleSet, one instance, withView bool) map[string]any {
	properties := map[string]any{
		"latestModelApplied": one.Status.KubernetesVersion == one.Spec.KubernetesVersion && one.Status.NodeImageVersion == one.Spec.NodeImageVersion &&
			one.Status.UnmanagedOS == one.Spec.UnmanagedOS,
		"vmId": string(one.UID), "provisioningState": title(one.provisioning()),
		"osProfile":      s.osProfile(map[string]any{"computerName": one.Spec.NodeName}),
		"storageProfile": s.storage(r, one.Status.NodeImageVersion),
	}
	if withView {
		properties["instanceView"] = viewOf(one)
	}
	return map[string]any{
		"id": s.instanceID(r, one), "name": s.name + "_" + one.id(), "instanceId": one.id(), "type": instanceType,
		"location": arm.NormalLocation(s.cluster.Spec.Location), "tags": s.tags(),
		"sku": map[string]any{"name": one.Spec.VMSize, "tier": "Standard"}, "properties": properties,
	}
}

// viewOf is an instance as it runs.
func viewOf(one instance) map[string]any {
	return map[string]any{
		"computerName": one.Spec.NodeName,
		"extensions":   []any{},
		"statuses": []any{
			status("ProvisioningState/"+one.provisioning(), "Provisioning "+one.provisioning()),
			status("PowerState/"+one.power(), "VM "+one.power()),
		},
	}
}

func status(code, display string) map[string]any {
	return map[string]any{"code": code, "level": "Info", "displayStatus": display}
}

// atWork is the action that an instance is at; empty for none.
func (i instance) atWork() v1beta1.InstanceAction {
	asked, progress := i.Spec.Requested, i.Status.Instance
	if asked == nil || progress != nil && progress.Operation == asked.Operation && progress.State != v1beta1.OperationInProgress {
		return ""
	}
	return asked.Action
}

// provisioning is the last word of the code ProvisioningState.
func (i instance) provisioning() string {
	progress := i.Status.Instance
	switch {
	case !i.stays():
		return "deleting"
	case i.atWork() != "" && i.atWork() != v1beta1.InstanceRunCommand:
		return "updating"
	case progress != nil && progress.State == v1beta1.OperationFailed && progress.Action != v1beta1.InstanceRunCommand:
		return "failed"
	default:
		return "succeeded"
	}
}

// power is the last word of the code PowerState.
func (i instance) power() string {
	off := i.Status.Off
	switch {
	case policy.InstancePowerAfter(i.atWork()) == v1beta1.InstanceDeallocated:
		return "deallocating"
	case policy.InstancePowerAfter(i.atWork()) == v1beta1.InstanceStopped, !i.stays():
		return "stopping"
	case off != nil:
		return strings.ToLower(string(off.Power))
	case i.Status.Phase == "", i.Status.Phase == v1beta1.MachinePending, i.Status.Phase == v1beta1.MachineReimaged:
		return "starting"
	default:
		return "running"
	}
}

// title has the first letter in upper case.
func title(word string) string { return strings.ToUpper(word[:1]) + word[1:] }
