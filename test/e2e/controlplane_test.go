package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"berth.dev/berth/test/harness"
)

// aimGap is the longest time without an answer that an upgrade may bring.
const aimGap = 5 * time.Second

// controlPlaneUpgrade takes the control plane of c1 up a minor and leaves its pool
// where it is. Objects stay, and the API server answers meanwhile.
func controlPlaneUpgrade(e *harness.Env) {
	e.Cluster("c1", "create", "configmap", "over-the-upgrade", "--from-literal=a=b")
	objects := objectsOf(e, "c1")
	probe := e.StartProbe("127.0.0.1:6443", fqdn(e, "c1"))
	started := time.Now()
	e.Run("az", "aks", "upgrade", "-g", "rg1", "-n", "c1", "-k", "1.37.2", "--control-plane-only", "-y")
	took := time.Since(started)
	gap, failed, asked, last := probe.Stop()
	e.T.Logf("upgraded in %.1f s; longest gap %.2f s, %d of %d questions failed (%v)", took.Seconds(), gap.Seconds(), failed, asked, last)
	if gap > aimGap {
		e.T.Errorf("the API server was away for %s", gap)
	}
	if version := e.Cluster("c1", "version"); !strings.Contains(version, "Server Version: v1.37.2") {
		e.T.Errorf("kubectl version: %s", version)
	}
	if versions := e.Cluster("c1", "get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}"); strings.Contains(versions, "v1.37") {
		e.T.Errorf("nodes went along with the control plane: %s", versions)
	}
	lost(e, "c1", objects)
	if value := e.Cluster("c1", "get", "configmap", "over-the-upgrade", "-o", "jsonpath={.data.a}"); value != "b" {
		e.T.Errorf("what was written before the upgrade: %q", value)
	}
	e.Eventually("nothing of the upgrade is left", time.Minute, func() error {
		out := e.Management("get", "pods", "-A", "-l", "berth.dev/component in (kube-trial,etcd-snapshot)", "-o", "name")
		if out != "" {
			return fmt.Errorf("pods %s", out)
		}
		return nil
	})
}

// controlPlaneRollsBack asks for a version whose image is not Kubernetes at all.
func controlPlaneRollsBack(e *harness.Env) {
	addBrokenRelease(e, "1.38.0")
	e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", `{"spec":{"upgradeTimeout":"20s"}}`)
	defer e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", `{"spec":{"upgradeTimeout":null}}`)
	objects := objectsOf(e, "c1")
	probe := e.StartProbe("127.0.0.1:6443", fqdn(e, "c1"))
	out, err := e.Try("az", "aks", "upgrade", "-g", "rg1", "-n", "c1", "-k", "1.38.0", "--control-plane-only", "-y")
	if err == nil || !strings.Contains(out, "UpgradeFailed") || !strings.Contains(out, "1.37.2 runs") {
		e.T.Errorf("an upgrade to what cannot start: %v\n%s", err, out)
	}
	if gap, failed, asked, last := probe.Stop(); failed > 0 {
		e.T.Errorf("an upgrade that came to nothing took the API away for %s: %d of %d questions failed: %v", gap, failed, asked, last)
	}
	lost(e, "c1", objects)
	var shown struct{ ProvisioningState, CurrentKubernetesVersion string }
	decode(e, e.Run("az", "aks", "show", "-g", "rg1", "-n", "c1", "-o", "json"), &shown)
	if shown.ProvisioningState != "Failed" || shown.CurrentKubernetesVersion != "1.37.2" {
		e.T.Errorf("after the failure: %+v", shown)
	}
	e.Run("az", "aks", "upgrade", "-g", "rg1", "-n", "c1", "-k", "1.37.2", "--control-plane-only", "-y")
	decode(e, e.Run("az", "aks", "show", "-g", "rg1", "-n", "c1", "-o", "json"), &shown)
	if shown.ProvisioningState != "Succeeded" {
		e.T.Errorf("with the version that runs asked for again: %+v", shown)
	}
}

// addBrokenRelease puts a version into Berth's catalogue whose control plane is
// the pause image, and has Berth read it.
func addBrokenRelease(e *harness.Env, version string) {
	e.T.Helper()
	var catalogue map[string]any
	decode(e, e.Management("-n", "berth-system", "get", "configmap", "berth-catalogue", "-o", `go-template={{index .data "catalogue.json"}}`), &catalogue)
	images, _ := catalogue["images"].(map[string]any)
	releases, _ := catalogue["releases"].([]any)
	newest, _ := releases[0].(map[string]any)
	catalogue["releases"] = append([]any{map[string]any{
		"version": version, "state": "supported", "kubeImage": images["pause"], "nodeImage": newest["nodeImage"],
	}}, releases...)
	raw, err := json.Marshal(catalogue)
	if err != nil {
		e.T.Fatal(err)
	}
	patch, err := json.Marshal(map[string]any{"data": map[string]string{"catalogue.json": string(raw)}})
	if err != nil {
		e.T.Fatal(err)
	}
	e.Management("-n", "berth-system", "patch", "configmap", "berth-catalogue", "--type=merge", "-p", string(patch))
	e.Management("-n", "berth-system", "delete", "pod", "-l", "app.kubernetes.io/name=berth", "--wait=true")
	e.Eventually("Berth knows "+version, 2*time.Minute, func() error {
		out, err := e.Try("berth", "cluster", "get-upgrades", "-g", "rg1", "-n", "c1", "-o", "json")
		if err != nil || !strings.Contains(out, version) {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

func fqdn(e *harness.Env, cluster string) string {
	e.T.Helper()
	var shown struct{ Fqdn string }
	decode(e, e.Run("az", "aks", "show", "-g", "rg1", "-n", cluster, "-o", "json"), &shown)
	return shown.Fqdn
}

// objectsOf lists a cluster's objects of the kinds that customers make.
func objectsOf(e *harness.Env, context string) []string {
	e.T.Helper()
	out := e.Cluster(context, "get", "namespaces,configmaps,serviceaccounts,services,deployments,daemonsets,clusterroles,clusterrolebindings,customresourcedefinitions", "-A", "-o", "name")
	return strings.Fields(out)
}

// lost complains about objects that are not there any more.
func lost(e *harness.Env, context string, before []string) {
	e.T.Helper()
	now := strings.Join(objectsOf(e, context), "\n") + "\n"
	for _, name := range before {
		if !strings.Contains(now, name+"\n") {
			e.T.Errorf("%s is lost", name)
		}
	}
}
