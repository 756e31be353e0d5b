package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"berth.dev/berth/api/v1beta1"
)

// Clientset is a customer's client of a managed cluster whose credentials were merged
// into the environment's kubeconfig.
func (e *Env) Clientset(cluster string) kubernetes.Interface {
	e.T.Helper()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: e.Variable("KUBECONFIG")}, &clientcmd.ConfigOverrides{CurrentContext: cluster}).ClientConfig()
	if err != nil {
		e.T.Fatal(err)
	}
	config.Timeout, config.QPS, config.Burst = 5*time.Second, 1000, 1000
	made, err := kubernetes.NewForConfig(config)
	if err != nil {
		e.T.Fatal(err)
	}
	return made
}

// Decode reads a program's JSON, past what it printed before.
func (e *Env) Decode(out string, into any) {
	e.T.Helper()
	if start := strings.IndexAny(out, "{["); start > 0 {
		out = out[start:]
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		e.T.Fatalf("not JSON: %v\n%s", err, out)
	}
}

// FQDN is the name of a cluster's API server, by which the gateway knows it.
func (e *Env) FQDN(group, cluster string) string {
	e.T.Helper()
	var shown struct{ Fqdn string }
	e.Decode(e.Run("az", "aks", "show", "-g", group, "-n", cluster, "-o", "json"), &shown)
	return shown.Fqdn
}

// ReadyNodes are the names of a managed cluster's nodes that are Ready.
func (e *Env) ReadyNodes(context string) []string {
	e.T.Helper()
	var ready []string
	for _, line := range strings.Split(e.Cluster(context, "get", "nodes", "--no-headers"), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == "Ready" {
			ready = append(ready, fields[0])
		}
	}
	return ready
}

// Kubelets are a pool's nodes, each with the version of its kubelet: "NAME vVERSION".
func (e *Env) Kubelets(context, pool string) []string {
	e.T.Helper()
	out := e.Cluster(context, "get", "nodes", "-l", "agentpool="+pool, "-o", `jsonpath={range .items[*]}{.metadata.name} {.status.nodeInfo.kubeletVersion}{"\n"}{end}`)
	return strings.Split(strings.TrimSpace(out), "\n")
}

// DemoImage is the image of the demo workload, from Berth's own registry.
func (e *Env) DemoImage() string {
	e.T.Helper()
	raw, err := os.ReadFile(filepath.Join(e.Root, "build", "catalogue.json"))
	if err != nil {
		e.T.Fatal(err)
	}
	var catalogue struct{ Images map[string]string }
	e.Decode(string(raw), &catalogue)
	return catalogue.Images["demo"]
}

// ObjectsOf lists a managed cluster's objects of the kinds that customers make.
func (e *Env) ObjectsOf(context string) []string {
	e.T.Helper()
	out := e.Cluster(context, "get", "namespaces,configmaps,serviceaccounts,services,deployments,daemonsets,clusterroles,clusterrolebindings,customresourcedefinitions", "-A", "-o", "name")
	return strings.Fields(out)
}

// Lost complains about objects that are not there any more.
func (e *Env) Lost(context string, before []string) {
	e.T.Helper()
	now := strings.Join(e.ObjectsOf(context), "\n") + "\n"
	for _, name := range before {
		if !strings.Contains(now, name+"\n") {
			e.T.Errorf("%s is lost", name)
		}
	}
}

// ScaleSet is what az shows of a scale set.
type ScaleSet struct{ Name string }

// ScaleSetInstance is what az shows of an instance of one.
type ScaleSetInstance struct {
	InstanceID string
	OSProfile  struct{ ComputerName string }
}

// AutoRun is what `berth cluster show` tells of a cluster's channel.
type AutoRun struct {
	NextRun, Target, LastRun, LastTarget, LastResult, Skipped string
}

// AutoUpgrade tells of the channel that changes a cluster's version.
func (e *Env) AutoUpgrade(group, cluster string) AutoRun {
	e.T.Helper()
	var shown struct {
		BerthAutoUpgrades []struct {
			Schedule string
			AutoRun
		}
	}
	e.Decode(e.Run("berth", "cluster", "show", "-g", group, "-n", cluster, "-o", "json"), &shown)
	for _, run := range shown.BerthAutoUpgrades {
		if run.Schedule == "aksManagedAutoUpgradeSchedule" {
			return run.AutoRun
		}
	}
	return AutoRun{}
}

// RollBack asks for the version and node image that a pool had before its last
// upgrade, and returns the version (AKS: roll-back-node-pool-version).
func (e *Env) RollBack(group, cluster, pool string) string {
	e.T.Helper()
	subscription := e.Variable("AZURE_SUBSCRIPTION_ID")
	var before struct{ OrchestratorVersion, NodeImageVersion string }
	e.Decode(e.Management("-n", v1beta1.SubscriptionNamespace(subscription), "get", "agentpool", v1beta1.ObjectName(group, cluster, pool),
		"-o", "jsonpath={.status.recentlyUsedVersions[0]}"), &before)
	body := fmt.Sprintf(`{"properties": {"orchestratorVersion": %q, "nodeImageVersion": %q}}`, before.OrchestratorVersion, before.NodeImageVersion)
	e.Run("az", "rest", "--method", "put", "--body", body, "--url",
		"/subscriptions/"+subscription+"/resourceGroups/"+group+"/providers/Microsoft.ContainerService/managedClusters/"+cluster+"/agentPools/"+pool+"?api-version=2026-04-01")
	return before.OrchestratorVersion
}
