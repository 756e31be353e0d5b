package cli

import (
	"context"
	"fmt"
	"strings"
)

// upgradeView is what goes on in a cluster or a pool, read from what Berth adds to AKS's
// bodies below `status`.
type upgradeView struct {
	State        string
	ControlPlane controlPlaneView
	Pools        []poolView
}

// controlPlaneView is a change of version; Message says what keeps its components out, or
// why it failed, which the operation's error says too.
type controlPlaneView struct{ From, To, Phase, Message string }

type poolView struct {
	Name, State        string
	Nodes, Done, Surge int32
	// Waiting is what the replacement of nodes waits for, and Held what one waits for that
	// has not begun, or what keeps nodes from being drained.
	Waiting, Held      string
	Version, NodeImage string
	Moving             []machineView
}

// machineView is a node that is being replaced, or a surge node that starts.
type machineView struct{ Name, Doing, Blocker string }

// doing is what a machine does by its phase while its pool's nodes are replaced, in the
// order in which a node passes them.
var doing = map[string]string{
	"Draining": "draining", "Blocked": "draining", "Soaking": "soaking", "Reimaged": "reimaging",
	"Pending": "reimaging", "Booting": "reimaging", "Joined": "reimaging", "Deleting": "leaving",
}

// String is the view in one line: the control plane's phase, then each pool that moves,
// with how many of its nodes are done, what each of the others is doing and what blocks it.
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
		if p.Held == "" {
			return ""
		}
		return fmt.Sprintf("pool %s: %s", p.Name, p.Held)
	}
	text := fmt.Sprintf("pool %s %d/%d nodes", p.Name, p.Done, p.Nodes)
	told := false
	for _, does := range []string{"draining", "soaking", "reimaging", "leaving", "starting surge"} {
		var names []string
		for _, machine := range p.Moving {
			if machine.Doing == does && machine.Blocker == "" {
				names = append(names, machine.Name)
			}
			told = told || strings.Contains(p.Waiting, machine.Name)
		}
		if len(names) > 0 {
			text += fmt.Sprintf(", %s %s", does, strings.Join(names, ", "))
		}
	}
	for _, machine := range p.Moving {
		if machine.Blocker != "" {
			text += fmt.Sprintf(", %s %s blocked by %s", machine.Doing, machine.Name, machine.Blocker)
		}
	}
	// What it waits for that no node tells, such as room for a surge node.
	if p.Waiting != "" && !told {
		text += ", waiting for " + p.Waiting
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
			Waiting string `json:"waiting"`
		} `json:"status"`
	}
	machineProgressBody struct {
		Value []struct {
			Name       string `json:"name"`
			Properties struct {
				Status struct {
					Phase, DrainBlocker string
					Surge               bool
				} `json:"status"`
			} `json:"properties"`
		} `json:"value"`
	}
)

func (b poolProgressBody) view() poolView {
	upgrade := b.Status.Upgrade
	return poolView{
		Name: b.Name, State: b.ProvisioningState, Nodes: upgrade.Nodes, Done: upgrade.Done, Surge: upgrade.Surge,
		Waiting: upgrade.Waiting, Held: b.Status.Waiting, Version: upgrade.OrchestratorVersion, NodeImage: upgrade.NodeImageVersion,
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

// readMachines finds what the nodes do, while any are replaced.
func (p *poolView) readMachines(ctx context.Context, c *clients, ref poolRef) error {
	if p.Nodes == 0 {
		return nil
	}
	pages := c.machines.NewListPager(ref.cluster.group, ref.cluster.name, ref.name, nil)
	for pages.More() {
		var body machineProgressBody
		err := answer(ctx, &body, func(ctx context.Context) error {
			_, err := pages.NextPage(ctx)
			return err
		})
		if err != nil {
			return err
		}
		p.add(body)
	}
	return nil
}

func (p *poolView) add(body machineProgressBody) {
	for _, machine := range body.Value {
		status := machine.Properties.Status
		does := doing[status.Phase]
		if does == "" {
			continue
		}
		one := machineView{Name: machine.Name, Doing: does}
		switch {
		case status.Surge && does == "reimaging":
			one.Doing = "starting surge"
		case does == "draining":
			one.Blocker = status.DrainBlocker
		}
		p.Moving = append(p.Moving, one)
	}
}
