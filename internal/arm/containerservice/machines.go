package containerservice

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/machine"
)

func (p provider) listMachines(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, pool, err := p.requirePool(ctx, r)
	if err != nil {
		return nil, err
	}
	machines, err := p.machines(ctx, r, pool)
	if err != nil {
		return nil, err
	}
	items := make([]arm.Item, 0, len(machines))
	for i := range machines {
		items = append(items, arm.Item{Key: machines[i].Spec.NodeName, Body: renderMachine(r, found, pool, &machines[i])})
	}
	return p.Page(r, items)
}

func (p provider) getMachine(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, pool, err := p.requirePool(ctx, r)
	if err != nil {
		return nil, err
	}
	machines, err := p.machines(ctx, r, pool)
	if err != nil {
		return nil, err
	}
	for i := range machines {
		if machines[i].Spec.NodeName == r.Parameter("machine") {
			return arm.OK(renderMachine(r, found, pool, &machines[i]))
		}
	}
	return nil, arm.ResourceNotFound(machineType, found.cluster.Spec.Name+"/"+pool.Spec.Name+"/"+r.Parameter("machine"), found.cluster.Spec.ResourceGroup)
}

func (p provider) machines(ctx context.Context, r *arm.Request, pool *v1beta1.AgentPool) ([]v1beta1.Machine, error) {
	var list v1beta1.MachineList
	if err := p.APIReader.List(ctx, &list, client.InNamespace(r.Namespace())); err != nil {
		return nil, fmt.Errorf("list machines: %w", err)
	}
	var mine []v1beta1.Machine
	for _, machine := range list.Items {
		if machine.Spec.AgentPool == pool.Name {
			mine = append(mine, machine)
		}
	}
	return mine, nil
}

// renderMachine names the node resource group's scale set, as AKS does.
func renderMachine(r *arm.Request, v *view, pool *v1beta1.AgentPool, machine *v1beta1.Machine) map[string]any {
	addresses := []any{}
	if machine.Status.Address != "" {
		addresses = append(addresses, map[string]any{"family": "IPv4", "ip": machine.Status.Address})
	}
	name := machine.Spec.NodeName
	return map[string]any{
		"id": clusterID(r, &v.cluster.Spec) + "/agentPools/" + pool.Spec.Name + "/machines/" + name, "name": name, "type": machineType,
		"properties": map[string]any{
			"resourceId": instanceID(r, v.cluster.Spec.NodeResourceGroup, name),
			"network":    map[string]any{"ipAddresses": addresses},
			"status":     machineProgress(machine),
		},
	}
}

// instanceID is the machine's id in the node resource group, as its node's provider id
// has it (G1).
func instanceID(r *arm.Request, group, node string) string {
	ordinal, err := machine.Ordinal(node)
	if err != nil {
		return r.GroupPath(group)
	}
	return fmt.Sprintf("%s/providers/Microsoft.Compute/virtualMachineScaleSets/%s/virtualMachines/%d", r.GroupPath(group), machine.ScaleSetOf(node), ordinal)
}
