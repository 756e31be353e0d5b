package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/test/harness"
)

// handmade is a file that somebody leaves on a node by hand.
const handmade = "/etc/handmade"

// TestPoolUpgrade upgrades a cluster from 1.36 to 1.37 under steady requests, its control
// plane and then a pool of two nodes: first a disruption budget blocks it, then it goes on.
// No request may fail, and what was left on a node by hand is gone (G2).
func TestPoolUpgrade(t *testing.T) {
	e := harness.New(t)
	e.Up()
	e.Run("berth", "login", "az", "--state-dir", e.State)
	e.Run("berth", "group", "create", "-n", "rg1", "-l", "westus2")
	e.Run("berth", "cluster", "create", "-g", "rg1", "-n", "up", "-k", "1.36.3", "-c", "1")
	e.Run("berth", "cluster", "get-credentials", "-g", "rg1", "-n", "up")
	e.Run("berth", "nodepool", "add", "-g", "rg1", "--cluster-name", "up", "-n", "work", "-c", "2", "--mode", "User", "-k", "1.36.3", "--drain-timeout", "1")
	nodes := e.Kubelets("up", "work")
	if len(nodes) != 2 || slices.ContainsFunc(nodes, func(n string) bool { return !strings.HasSuffix(n, " v1.36.3") }) {
		t.Fatalf("nodes of the pool: %v", nodes)
	}
	load := e.StartLoad("up", "work")
	asked := upgradeControlPlane(e, load)
	deployStuck(e)
	e.InMachines(nodes, "touch", handmade)
	watched := watchNodes(e)

	out, err := upgradePool(e)
	if err == nil {
		t.Fatalf("an upgrade passed a budget that allows nothing: %s", out)
	}
	for _, part := range []string{"UpgradeFailed", "PodDisruptionBudget default/stuck", "pod default/stuck-"} {
		if !strings.Contains(out, part) {
			t.Errorf("the error of a blocked upgrade does not name %s: %s", part, out)
		}
	}
	e.Eventually("the blocked nodes take pods again", time.Minute, func() error {
		if cordoned := e.Cluster("up", "get", "nodes", "-o", "jsonpath={.items[*].spec.unschedulable}"); cordoned != "" {
			return fmt.Errorf("cordoned: %s", cordoned)
		}
		return nil
	})
	e.Cluster("up", "delete", "pdb", "stuck")
	started := time.Now()
	if out, err := upgradePool(e); err != nil {
		t.Fatalf("the upgrade does not go on: %v\n%s", err, out)
	}
	t.Logf("the upgrade went on and ended in %.1f s", time.Since(started).Seconds())
	fewest, most := watched()
	checkUpgraded(e, nodes, fewest, most)
	load.Check(e, asked)
	e.RollBack("rg1", "up", "work")
	e.Eventually("the pool is back on 1.36.3", 3*time.Minute, func() error {
		if now := e.Kubelets("up", "work"); !slices.Equal(now, nodes) {
			return fmt.Errorf("nodes %v", now)
		}
		return nil
	})
}

// upgradeControlPlane leaves the pools as they are, and returns how often the load was asked.
func upgradeControlPlane(e *harness.Env, load *harness.Load) int {
	e.T.Helper()
	asked, probe, started := load.Check(e, 0), e.StartProbe("127.0.0.1:6443", e.FQDN("rg1", "up")), time.Now()
	e.Run("berth", "cluster", "upgrade", "-g", "rg1", "-n", "up", "-k", "1.37.2", "--control-plane-only", "-y")
	e.T.Logf("the control plane was upgraded in %.1f s", time.Since(started).Seconds())
	probe.Check(e, harness.AimGap)
	return load.Check(e, asked)
}

// upgradePool brings the pool to the control plane's version: az 2.45 fails when it
// is given one (azure-cli 25530).
func upgradePool(e *harness.Env) (string, error) {
	return e.Try("az", "aks", "nodepool", "upgrade", "-g", "rg1", "--cluster-name", "up", "-n", "work", "-y")
}

// deployStuck runs what no drain may evict: a budget of one pod of two, the second of
// which never finds a place.
func deployStuck(e *harness.Env) {
	manifest := filepath.Join(e.State, "stuck.yaml")
	if err := os.WriteFile(manifest, []byte(fmt.Sprintf(stuckManifest, e.DemoImage())), 0o600); err != nil {
		e.T.Fatal(err)
	}
	e.Cluster("up", "apply", "-f", manifest)
}

// watchNodes looks at the pool's machines until it is told to end, and returns the
// fewest Ready ones and the most in all that it saw.
func watchNodes(e *harness.Env) (end func() (fewest, most int)) {
	management := e.ManagementClient()
	namespace := client.InNamespace(v1beta1.SubscriptionNamespace(e.Variable("AZURE_SUBSCRIPTION_ID")))
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	fewest, most := 1000, 0
	watching.Go(func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for ; ctx.Err() == nil; <-ticker.C {
			var machines v1beta1.MachineList
			if err := management.List(ctx, &machines, namespace, client.MatchingLabels{v1beta1.LabelAgentPool: "rg1.up.work"}); err != nil {
				continue
			}
			ready := 0
			for _, m := range machines.Items {
				if m.Status.Phase == v1beta1.MachineReady && m.DeletionTimestamp.IsZero() {
					ready++
				}
			}
			fewest, most = min(fewest, ready), max(most, len(machines.Items))
		}
	})
	return func() (int, int) { cancel(); watching.Wait(); return fewest, most }
}

func checkUpgraded(e *harness.Env, before []string, fewest, most int) {
	e.T.Helper()
	var want []string
	for _, line := range before {
		want = append(want, strings.Replace(line, "v1.36.3", "v1.37.2", 1))
	}
	after := e.Kubelets("up", "work")
	if !slices.Equal(after, want) {
		e.T.Errorf("nodes after the upgrade %v, want %v", after, want)
	}
	if fewest < 2 || most > 3 {
		e.T.Errorf("between %d Ready and %d machines during the upgrade, want 2 to 3", fewest, most)
	}
	e.InMachines(after, "sh", "-c", "test ! -e "+handmade)
	events := e.Cluster("up", "get", "events", "-o", `jsonpath={range .items[?(@.source.component=="upgrader")]}{.type} {.reason};{end}`)
	for _, event := range []string{"Normal Surge", "Normal Drain", "Warning Drain", "Normal Upgrade"} {
		if !strings.Contains(events, event) {
			e.T.Errorf("no event %s on the nodes: %s", event, events)
		}
	}
}

const stuckManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: stuck, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: stuck}}
  template:
    metadata: {labels: {app: stuck}}
    spec:
      nodeSelector: {agentpool: work}
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - {topologyKey: agentpool, labelSelector: {matchLabels: {app: stuck}}}
      containers:
      - {name: stuck, image: %s, args: [sleep]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: stuck, namespace: default}
spec: {minAvailable: 1, selector: {matchLabels: {app: stuck}}}
`
