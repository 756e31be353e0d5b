package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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

// TestPoolUpgrade upgrades a pool of two nodes from 1.36 to 1.37 under steady
// requests: first a disruption budget blocks it, then it goes on. No request may
// fail, and what was left on a node by hand is gone (G2).
func TestPoolUpgrade(t *testing.T) {
	e := harness.New(t)
	e.Up()
	e.Run("berth", "login", "az", "--state-dir", e.State)
	e.Run("berth", "group", "create", "-n", "rg1", "-l", "westus2")
	e.Run("berth", "cluster", "create", "-g", "rg1", "-n", "up", "-k", "1.37.2", "-c", "1")
	e.Run("berth", "cluster", "get-credentials", "-g", "rg1", "-n", "up")
	e.Run("berth", "nodepool", "add", "-g", "rg1", "--cluster-name", "up", "-n", "work", "-c", "2", "--mode", "User", "-k", "1.36.3", "--drain-timeout", "1")
	nodes := kubelets(e)
	if len(nodes) != 2 || slices.ContainsFunc(nodes, func(n string) bool { return !strings.HasSuffix(n, " v1.36.3") }) {
		t.Fatalf("nodes of the pool: %v", nodes)
	}
	deployUpgradeWorkload(e)
	inMachines(e, nodes, "touch", handmade)
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
	rollBack(e, nodes)
}

// upgradePool brings the pool to the control plane's version: az 2.45 fails when it
// is given one (azure-cli 25530).
func upgradePool(e *harness.Env) (string, error) {
	return e.Try("az", "aks", "nodepool", "upgrade", "-g", "rg1", "--cluster-name", "up", "-n", "work", "-y")
}

// rollBack brings the pool to the versions that it had before (AKS:
// roll-back-node-pool-version).
func rollBack(e *harness.Env, nodes []string) {
	image := strings.TrimSpace(e.Management("get", "agentpools", "-A", "-o", `jsonpath={.items[?(@.spec.name=="work")].status.recentlyUsedVersions[0].nodeImageVersion}`))
	body := fmt.Sprintf(`{"properties": {"orchestratorVersion": "1.36.3", "nodeImageVersion": %q}}`, image)
	e.Run("az", "rest", "--method", "put", "--body", body, "--url",
		"/subscriptions/"+e.Variable("AZURE_SUBSCRIPTION_ID")+"/resourceGroups/rg1/providers/Microsoft.ContainerService/managedClusters/up/agentPools/work?api-version=2026-04-01")
	e.Eventually("the pool is back on 1.36.3", 3*time.Minute, func() error {
		if now := kubelets(e); !slices.Equal(now, nodes) {
			return fmt.Errorf("nodes %v", now)
		}
		return nil
	})
}

func deployUpgradeWorkload(e *harness.Env) {
	manifest, image := filepath.Join(e.State, "upgrade.yaml"), demoImage(e)
	if err := os.WriteFile(manifest, []byte(fmt.Sprintf(upgradeManifest, image, image, image)), 0o600); err != nil {
		e.T.Fatal(err)
	}
	e.Cluster("up", "apply", "-f", manifest)
	e.Cluster("up", "rollout", "status", "deployment/web", "--timeout=120s")
	e.Eventually("the prober asks", time.Minute, func() error {
		out, err := e.TryCluster("up", "logs", "prober")
		if err != nil || !strings.Contains(out, "asked") {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	e.Cluster("up", "delete", "pod", "prober", "--now")
	e.Cluster("up", "apply", "-f", manifest)
}

// kubelets lists the pool's nodes with the versions of their kubelets.
func kubelets(e *harness.Env) []string {
	out := e.Cluster("up", "get", "nodes", "-l", "agentpool=work", "-o", `jsonpath={range .items[*]}{.metadata.name} {.status.nodeInfo.kubeletVersion}{"\n"}{end}`)
	return strings.Split(strings.TrimSpace(out), "\n")
}

// inMachines runs a command in the machine of every node.
func inMachines(e *harness.Env, nodes []string, command ...string) {
	for _, line := range nodes {
		node, _, _ := strings.Cut(line, " ")
		namespace := strings.TrimSpace(e.Management("get", "pods", "-A", "--field-selector=metadata.name="+node, "-o", "jsonpath={.items[0].metadata.namespace}"))
		e.Management(append([]string{"-n", namespace, "exec", node, "--"}, command...)...)
	}
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
	after := kubelets(e)
	if !slices.Equal(after, want) {
		e.T.Errorf("nodes after the upgrade %v, want %v", after, want)
	}
	if fewest < 2 || most > 3 {
		e.T.Errorf("between %d Ready and %d machines during the upgrade, want 2 to 3", fewest, most)
	}
	inMachines(e, after, "sh", "-c", "test ! -e "+handmade)
	logs := e.Cluster("up", "logs", "prober")
	counts := regexp.MustCompile(`asked (\d+) failed (\d+)`).FindAllStringSubmatch(logs, -1)
	if len(counts) == 0 || counts[len(counts)-1][2] != "0" {
		e.T.Errorf("requests failed during the upgrade:\n%s", logs)
	} else {
		e.T.Logf("%s requests, %s failed", counts[len(counts)-1][1], counts[len(counts)-1][2])
	}
	events := e.Cluster("up", "get", "events", "-o", `jsonpath={range .items[?(@.source.component=="upgrader")]}{.type} {.reason};{end}`)
	for _, event := range []string{"Normal Surge", "Normal Drain", "Warning Drain", "Normal Upgrade"} {
		if !strings.Contains(events, event) {
			e.T.Errorf("no event %s on the nodes: %s", event, events)
		}
	}
}

// The web servers answer for some seconds after their end is asked for, as whoever
// wants no request to fail has to see to. The budget named stuck allows nothing: its
// second pod never finds a place.
const upgradeManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      nodeSelector: {agentpool: work}
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: web}}}
      containers:
      - name: web
        image: %s
        args: [serve]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
        lifecycle: {preStop: {sleep: {seconds: 5}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: default}
spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}
---
apiVersion: v1
kind: Pod
metadata: {name: prober, namespace: default}
spec:
  nodeSelector: {agentpool: nodepool1}
  terminationGracePeriodSeconds: 1
  containers:
  - {name: prober, image: %s, args: [watch, "http://web.default.svc.cluster.local/hostname"]}
---
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
