package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"berth.dev/berth/test/harness"
)

// isolation tries, from a pod and from the nodes of one tenant, what only
// another tenant or Berth itself may reach. Each probe is first shown to be able
// to succeed: the tenant's own API server answers it.
func isolation(e *harness.Env) {
	pod := strings.TrimSpace(e.Cluster("c1", "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}"))
	own, other := controlPlaneAddress(e, "rg1.c1"), controlPlaneAddress(e, "rg1.c2")
	if out, err := dial(e, pod, own+":6443"); err != nil {
		e.T.Fatalf("the tenant's own API server is not reached, so that this test shows nothing: %v\n%s", err, out)
	}
	otherMachine := strings.TrimSpace(e.Management("get", "machines", "-A", "-l", "berth.dev/cluster=rg1.c2", "-o", "jsonpath={.items[0].status.address}"))
	etcd := strings.TrimSpace(e.Management("get", "services", "-A", "-o", `jsonpath={range .items[?(@.metadata.name=="etcd")]}{.spec.clusterIP} {end}`))
	targets := map[string]string{
		"another tenant's API server":   other + ":6443",
		"another tenant's konnectivity": other + ":8132",
		"another tenant's kubelet":      otherMachine + ":10250",
		"the management API server":     "100.66.0.2:6443",
		"the management etcd":           "100.66.0.2:2379",
		"the management API Service":    "100.65.0.1:443",
		"the management machine's ARM":  "100.66.0.2:30443",
		"the management kubelet":        "100.66.0.2:10250",
		"the host":                      "100.66.0.1:22",
	}
	for i, address := range strings.Fields(etcd) {
		targets[fmt.Sprintf("etcd of tenant %d", i)] = address + ":2379"
	}
	var probes sync.WaitGroup
	for what, address := range targets {
		probes.Go(func() {
			if out, err := dial(e, pod, address); err == nil {
				e.T.Errorf("a tenant's pod reaches %s at %s: %s", what, address, out)
			}
		})
	}
	probes.Wait()
}

func dial(e *harness.Env, pod, address string) (string, error) {
	return e.TryCluster("c1", "exec", pod, "--", "berth-demo", "dial", address)
}

func controlPlaneAddress(e *harness.Env, cluster string) string {
	e.T.Helper()
	return strings.TrimSpace(e.Management("get", "managedclusters", "-A", "--field-selector=metadata.name="+cluster, "-o", "jsonpath={.items[0].status.controlPlaneAddress}"))
}

func authorisedRanges(e *harness.Env) {
	e.Run("berth", "cluster", "update", "-g", "rg1", "-n", "c2", "--api-server-authorized-ip-ranges", "203.0.113.0/24")
	e.Eventually("the gateway refuses 127.0.0.1", 30*time.Second, func() error {
		if out, err := e.TryCluster("c2", "get", "--raw", "/version"); err == nil {
			return fmt.Errorf("still answered: %s", out)
		}
		return nil
	})
	e.Run("berth", "cluster", "update", "-g", "rg1", "-n", "c2", "--api-server-authorized-ip-ranges", "")
	e.Eventually("the gateway lets 127.0.0.1 in again", 30*time.Second, func() error {
		_, err := e.TryCluster("c2", "get", "--raw", "/version")
		return err
	})
}

// killedServe kills Berth itself while it creates a cluster, and once more while
// it deletes it.
func killedServe(e *harness.Env) {
	kill := func() {
		e.Management("-n", "berth-system", "delete", "pod", "-l", "app.kubernetes.io/name=berth", "--grace-period=0", "--force", "--wait=false")
		e.Eventually("ARM answers again", time.Minute, func() error {
			_, err := e.Try("berth", "group", "list", "-o", "json")
			return err
		})
	}
	e.Run("berth", "cluster", "create", "-g", "rg1", "-n", "c3", "-c", "1", "--no-wait")
	kill()
	e.Run("berth", "cluster", "wait", "-g", "rg1", "-n", "c3", "--created", "--timeout", "300")
	e.Run("berth", "cluster", "delete", "-g", "rg1", "-n", "c3", "-y", "--no-wait")
	kill()
	e.Run("berth", "cluster", "wait", "-g", "rg1", "-n", "c3", "--deleted", "--timeout", "300")
}

// kubectlCreates applies a ManagedCluster to the management cluster: a bad one is
// refused in ARM's words, a good one becomes a cluster that ARM shows.
func kubectlCreates(e *harness.Env) {
	namespace := "sub-" + e.Variable("AZURE_SUBSCRIPTION_ID")
	apply := func(podCIDR string) (string, error) {
		path := filepath.Join(e.State, "c9.yaml")
		if err := os.WriteFile(path, []byte(fmt.Sprintf(clusterManifest, namespace, podCIDR)), 0o600); err != nil {
			e.T.Fatal(err)
		}
		return e.Try("kubectl", "--kubeconfig", filepath.Join(e.State, "admin.kubeconfig"), "apply", "-f", path)
	}
	if out, err := apply("10.0.0.0/8"); err == nil || !strings.Contains(out, "InvalidParameter") {
		e.T.Errorf("overlapping ranges by kubectl: %v\n%s", err, out)
	}
	if out, err := apply("10.210.0.0/16"); err != nil {
		e.T.Fatalf("%v\n%s", err, out)
	}
	e.Run("berth", "cluster", "wait", "-g", "rg1", "-n", "c9", "--created", "--timeout", "300")
	if out := e.Run("berth", "nodepool", "list", "-g", "rg1", "--cluster-name", "c9"); !strings.Contains(out, "nodepool1") {
		e.T.Errorf("pools of the applied cluster: %s", out)
	}
	e.Management("-n", namespace, "delete", "managedcluster", "rg1.c9", "--timeout=180s")
}

const clusterManifest = `
apiVersion: berth.dev/v1beta1
kind: ManagedCluster
metadata: {namespace: %s, name: rg1.c9}
spec:
  resourceGroup: rg1
  name: c9
  location: westus2
  networkProfile: {podCidr: %s}
  agentPoolProfiles:
  - name: nodepool1
`

func scalesDown(e *harness.Env) {
	e.Run("berth", "nodepool", "add", "-g", "rg1", "--cluster-name", "c1", "-n", "np2", "-c", "1", "--mode", "User", "--labels", "team=a", "--node-taints", "dedicated=a:NoSchedule")
	node := strings.TrimSpace(e.Cluster("c1", "get", "nodes", "-l", "agentpool=np2", "-o", "jsonpath={.items[0].metadata.labels.team} {.items[0].spec.taints[*].key}"))
	if !strings.HasPrefix(node, "a ") || !strings.Contains(node, "dedicated") {
		e.T.Errorf("label and taint of the new pool's node: %q", node)
	}
	e.Run("az", "aks", "nodepool", "delete", "-g", "rg1", "--cluster-name", "c1", "-n", "np2")
	e.Run("az", "aks", "scale", "-g", "rg1", "-n", "c1", "--node-count", "1", "--nodepool-name", "nodepool1")
	if nodes := e.ReadyNodes("c1"); len(nodes) != 1 {
		e.T.Errorf("ready nodes after scaling down: %v", nodes)
	}
	if out, err := e.Try("berth", "nodepool", "delete", "-g", "rg1", "--cluster-name", "c1", "-n", "nodepool1", "-y"); err == nil || !strings.Contains(out, "OperationNotAllowed") {
		e.T.Errorf("deleting the last system pool: %v\n%s", err, out)
	}
}

// downUp keeps a written object over the end of every process.
func downUp(e *harness.Env) {
	e.Cluster("c1", "create", "configmap", "kept", "--from-literal=a=b")
	e.Run("berth", "down", "--state-dir", e.State)
	e.Up()
	e.Eventually("c1 answers after down and up", 2*time.Minute, func() error {
		out, err := e.TryCluster("c1", "get", "configmap", "kept", "-o", "jsonpath={.data.a}")
		if err != nil || out != "b" {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	e.Eventually("c1's node is ready and its pods run", 4*time.Minute, func() error {
		out, err := e.TryCluster("c1", "rollout", "status", "deployment/web", "--timeout=1s")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// deletes keeps nothing for a recovery either.
func deletes(e *harness.Env) {
	e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", `{"spec":{"deletedClusterRetention":"0s"}}`)
	c, err := e.ManagedCluster("c1")
	if err != nil {
		e.T.Fatal(err)
	}
	e.Run("az", "aks", "delete", "-g", "rg1", "-n", "c1", "-y")
	e.Run("az", "group", "delete", "-n", "rg1", "-y")
	left := e.Management("get", "managedclusters,agentpools,machines,resourcegroups", "-A", "--no-headers", "--ignore-not-found")
	namespaces := e.Management("get", "namespaces", "-o", "name")
	if strings.Contains(left, "rg1") || strings.Contains(namespaces, "/cp-") || strings.Contains(namespaces, "/mc-") {
		e.T.Errorf("left after deletion:\n%s\n%s", left, namespaces)
	}
	e.Eventually("the backups go too", time.Minute, func() error {
		if kept := e.Management("get", "deletedclusters", "-A", "-o", "name"); strings.Contains(kept, c.Spec.ID) {
			return errors.New("c1 is kept")
		}
		if _, err := os.Stat(filepath.Join(e.State, "backups", c.Spec.ID)); !os.IsNotExist(err) {
			return fmt.Errorf("backups of c1: %w", err)
		}
		return nil
	})
}
