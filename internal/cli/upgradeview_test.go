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
		{"then pools, with what they wait for", `{"properties":{"provisioningState":"Upgrading","agentPoolProfiles":[
			{"name":"np1","status":{"upgrade":{"nodes":3,"done":1,"surge":1,"waiting":"surge nodes"}}},{"name":"np2"}]}}`,
			"Upgrading: pool np1 1/3 nodes, waiting for surge nodes"},
		{"one that has not begun says why", `{"properties":{"provisioningState":"Upgrading","agentPoolProfiles":[
			{"name":"np2","status":{"waiting":"the upgrade waits for agent pool np1"}}]}}`,
			"Upgrading: pool np2: the upgrade waits for agent pool np1"},
		{"a stop that a budget holds up", `{"properties":{"provisioningState":"Stopping","agentPoolProfiles":[
			{"name":"np1","status":{"waiting":"node n1 drains: pod default/web, PodDisruptionBudget default/web"}}]}}`,
			"Stopping: pool np1: node n1 drains: pod default/web, PodDisruptionBudget default/web"},
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
}

// Every node of an upgrade is told by what it does, and a blocked one by what blocks it.
func TestUpgradeViewOfNodes(t *testing.T) {
	for _, c := range []struct{ why, waiting, machines, want string }{
		{"one that drains", "node n2 drains", `{"name":"n1","properties":{"status":{"phase":"Ready"}}},{"name":"n2","properties":{"status":{"phase":"Draining"}}}`,
			"pool np1 1/4 nodes, draining n2"},
		{"all at once, which waiting tells of one alone", "node n2 drains: pod default/web, PodDisruptionBudget default/web", `
			{"name":"n2","properties":{"status":{"phase":"Draining","drainBlocker":"pod default/web, PodDisruptionBudget default/web"}}},
			{"name":"n3","properties":{"status":{"phase":"Draining"}}},
			{"name":"n4","properties":{"status":{"phase":"Soaking"}}},
			{"name":"n5","properties":{"status":{"phase":"Booting"}}},
			{"name":"n6","properties":{"status":{"phase":"Reimaged"}}},
			{"name":"n7","properties":{"status":{"phase":"Pending","surge":true}}}`,
			"pool np1 1/4 nodes, draining n3, soaking n4, reimaging n5, n6, starting surge n7, draining n2 blocked by pod default/web, PodDisruptionBudget default/web"},
		{"one whose time is over", "", `{"name":"n2","properties":{"status":{"phase":"Blocked","drainBlocker":"pod default/web"}}}`,
			"pool np1 1/4 nodes, draining n2 blocked by pod default/web"},
		{"what no node tells", "the surge nodes to leave", ``, "pool np1 1/4 nodes, waiting for the surge nodes to leave"},
	} {
		var body machineProgressBody
		if err := json.Unmarshal([]byte(`{"value":[`+c.machines+`]}`), &body); err != nil {
			t.Fatal(err)
		}
		pool := poolView{Name: "np1", Nodes: 4, Done: 1, Waiting: c.waiting}
		pool.add(body)
		if got := pool.String(); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
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
