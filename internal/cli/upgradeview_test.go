package cli

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
)

func TestUpgradeView(t *testing.T) {
	for _, c := range []struct{ why, body, want string }{
		{"nothing to tell but the state", `{"properties":{"provisioningState":"Upgrading","agentPoolProfiles":[{"name":"np1"}]}}`, "Upgrading"},
		{"the control plane goes first", `{"properties":{"provisioningState":"Upgrading","status":{"upgrade":{"from":"1.36.3","to":"1.37.2","phase":"RollOut"}}}}`,
			"Upgrading: control plane 1.36.3 → 1.37.2 (RollOut)"},
		{"and says what keeps its components out", `{"properties":{"provisioningState":"Upgrading","status":{"upgrade":{"from":"1.36.3","to":"1.37.2","phase":"Components","message":"apply DaemonSet kube-system/kube-proxy: denied"}}}}`,
			"Upgrading: control plane 1.36.3 → 1.37.2 (Components), blocked: apply DaemonSet kube-system/kube-proxy: denied"},
		{"then pools, with what holds them up", `{"properties":{"provisioningState":"Upgrading","agentPoolProfiles":[
			{"name":"np1","status":{"upgrade":{"nodes":3,"done":1,"surge":1,"waiting":"room for a surge node"}}},{"name":"np2"}]}}`,
			"Upgrading: pool np1 1/3 nodes, blocked: room for a surge node"},
	} {
		var body clusterProgressBody
		if err := json.Unmarshal([]byte(c.body), &body); err != nil {
			t.Fatal(err)
		}
		view := upgradeView{State: body.Properties.ProvisioningState, ControlPlane: body.Properties.Status.Upgrade}
		for _, pool := range body.Properties.AgentPoolProfiles {
			view.Pools = append(view.Pools, pool.view())
		}
		if got := view.String(); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
	draining := poolView{Name: "np1", Nodes: 3, Done: 1, Draining: []string{"node2"}, DrainStuck: []string{"pod default/web-1 (PDB web)"}}
	if got, want := draining.String(), "pool np1 1/3 nodes, draining node2, blocked: pod default/web-1 (PDB web)"; got != want {
		t.Errorf("node by node: %q, want %q", got, want)
	}
}

func TestForceOptions(t *testing.T) {
	now := time.Date(2026, 12, 24, 12, 0, 0, 0, time.UTC)
	cluster := &armcontainerservice.ManagedClusterProperties{}
	if err := (&forceOptions{enable: true}).apply(cluster, now); err != nil {
		t.Fatal(err)
	}
	override := cluster.UpgradeSettings.OverrideSettings
	if !*override.ForceUpgrade || !override.Until.Equal(now.AddDate(0, 0, 3)) {
		t.Errorf("without an end it would have no effect, so that it holds for three days: %+v", override)
	}
	if err := (&forceOptions{disable: true}).apply(cluster, now); err != nil || *override.ForceUpgrade || override.Until != nil {
		t.Errorf("taken back: %+v, %v", override, err)
	}
}
