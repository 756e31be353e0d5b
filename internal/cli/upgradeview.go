package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// upgradeView is what an upgrade is doing, read from what Berth adds to AKS's bodies
// below `status`.
type upgradeView struct {
	State        string
	ControlPlane controlPlaneView
	Pools        []poolView
}

// controlPlaneView is a change of version; Message says what keeps its components out, or
// why it failed, which the operation's error says too.
type controlPlaneView struct{ From, To, Phase, Message string }

type poolView struct {
	Name, State          string
	Nodes, Done, Surge   int32
	Waiting              string
	Version, NodeImage   string
	Draining, DrainStuck []string
}

// String is the view in one line: the control plane's phase, then each pool that
// moves, with how many of its nodes are done, what is draining and what holds it up.
func (v upgradeView) String() string {
	var parts []string
	if to := v.ControlPlane.To; to != "" {
		text := fmt.Sprintf("control plane %s → %s (%s)", v.ControlPlane.From, to, v.ControlPlane.Phase)
		if why := v.ControlPlane.Message; why != "" && v.ControlPlane.Phase == "Components" {
			text += ", blocked: " + why
		}
		parts = append(parts, text)
	}
	for _, pool := range v.Pools {
		if text := pool.String(); text != "" {
			parts = append(parts, text)
		}
	}
	if len(parts) == 0 {
		return v.State
	}
	return v.State + ": " + strings.Join(parts, "; ")
}

func (p poolView) String() string {
	if p.Nodes == 0 {
		return ""
	}
	text := fmt.Sprintf("pool %s %d/%d nodes", p.Name, p.Done, p.Nodes)
	if len(p.Draining) > 0 {
		text += ", draining " + strings.Join(p.Draining, ", ")
	}
	for _, why := range slices.Concat(p.DrainStuck, []string{p.Waiting}) {
		if why != "" {
			text += ", blocked: " + why
		}
	}
	return text
}

// The bodies that the view is read from.
type (
	clusterProgressBody struct {
		Properties struct {
			ProvisioningState string             `json:"provisioningState"`
			AgentPoolProfiles []poolProgressBody `json:"agentPoolProfiles"`
			Status            struct {
				Upgrade controlPlaneView `json:"upgrade"`
			} `json:"status"`
		} `json:"properties"`
	}
	poolProgressBody struct {
		Name              string `json:"name"`
		ProvisioningState string `json:"provisioningState"`
		Status            struct {
			Upgrade struct {
				OrchestratorVersion, NodeImageVersion, Waiting string
				Nodes, Done, Surge                             int32
			} `json:"upgrade"`
		} `json:"status"`
	}
	machineProgressBody struct {
		Value []struct {
			Name       string `json:"name"`
			Properties struct {
				Status struct{ Phase, DrainBlocker string } `json:"status"`
			} `json:"properties"`
		} `json:"value"`
	}
)

func (b poolProgressBody) view() poolView {
	upgrade := b.Status.Upgrade
	return poolView{
		Name: b.Name, State: b.ProvisioningState, Nodes: upgrade.Nodes, Done: upgrade.Done, Surge: upgrade.Surge,
		Waiting: upgrade.Waiting, Version: upgrade.OrchestratorVersion, NodeImage: upgrade.NodeImageVersion,
	}
}

// upgradeState reads how a cluster's upgrade goes, for a progress line.
func (r clusterRef) upgradeState(c *clients) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		var body clusterProgressBody
		err := answer(ctx, &body, func(ctx context.Context) error {
			_, err := c.clusters.Get(ctx, r.group, r.name, nil)
			return err
		})
		if err != nil {
			return "", err
		}
		view := upgradeView{State: body.Properties.ProvisioningState, ControlPlane: body.Properties.Status.Upgrade}
		for _, pool := range body.Properties.AgentPoolProfiles {
			one := pool.view()
			if err := one.readMachines(ctx, c, poolRef{r, pool.Name}); err != nil {
				return "", err
			}
			view.Pools = append(view.Pools, one)
		}
		return view.String(), nil
	}
}

// upgradeState reads how a pool's upgrade goes, for a progress line.
func (r poolRef) upgradeState(c *clients) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		var body struct {
			Properties poolProgressBody `json:"properties"`
		}
		err := answer(ctx, &body, func(ctx context.Context) error {
			_, err := c.pools.Get(ctx, r.cluster.group, r.cluster.name, r.name, nil)
			return err
		})
		if err != nil {
			return "", err
		}
		one := body.Properties.view()
		one.Name = r.name
		if err := one.readMachines(ctx, c, r); err != nil {
			return "", err
		}
		return upgradeView{State: one.State, Pools: []poolView{one}}.String(), nil
	}
}

// readMachines finds the nodes that are being drained, while any are replaced.
func (p *poolView) readMachines(ctx context.Context, c *clients, ref poolRef) error {
	if p.Nodes == 0 {
		return nil
	}
	var body machineProgressBody
	err := answer(ctx, &body, func(ctx context.Context) error {
		_, err := c.machines.NewListPager(ref.cluster.group, ref.cluster.name, ref.name, nil).NextPage(ctx)
		return err
	})
	if err != nil {
		return err
	}
	for _, machine := range body.Value {
		status := machine.Properties.Status
		if status.Phase == "Draining" || status.Phase == "Blocked" {
			p.Draining = append(p.Draining, machine.Name)
		}
		if status.DrainBlocker != "" {
			p.DrainStuck = append(p.DrainStuck, status.DrainBlocker)
		}
	}
	return nil
}
