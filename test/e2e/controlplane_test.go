package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"berth.dev/berth/test/harness"
)

// controlPlaneUpgrade takes the control plane of c1 up a minor and leaves its pool
// where it is. Objects stay, and the API server answers meanwhile.
func controlPlaneUpgrade(e *harness.Env) {
	e.Cluster("c1", "create", "configmap", "over-the-upgrade", "--from-literal=a=b")
	objects := e.ObjectsOf("c1")
	probe := e.StartProbe("127.0.0.1:6443", e.FQDN("rg1", "c1"))
	started := time.Now()
	e.Run("az", "aks", "upgrade", "-g", "rg1", "-n", "c1", "-k", "1.37.2", "--control-plane-only", "-y")
	e.T.Logf("upgraded in %.1f s", time.Since(started).Seconds())
	probe.Check(e, harness.AimGap)
	if version := e.Cluster("c1", "version"); !strings.Contains(version, "Server Version: v1.37.2") {
		e.T.Errorf("kubectl version: %s", version)
	}
	if versions := e.Cluster("c1", "get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}"); strings.Contains(versions, "v1.37") {
		e.T.Errorf("nodes went along with the control plane: %s", versions)
	}
	e.Lost("c1", objects)
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
	objects := e.ObjectsOf("c1")
	probe := e.StartProbe("127.0.0.1:6443", e.FQDN("rg1", "c1"))
	out, err := e.Try("az", "aks", "upgrade", "-g", "rg1", "-n", "c1", "-k", "1.38.0", "--control-plane-only", "-y")
	if err == nil || !strings.Contains(out, "UpgradeFailed") || !strings.Contains(out, "1.37.2 runs") {
		e.T.Errorf("an upgrade to what cannot start: %v\n%s", err, out)
	}
	probe.Check(e, 0) // it came to nothing
	e.Lost("c1", objects)
	var shown struct{ ProvisioningState, CurrentKubernetesVersion string }
	e.Decode(e.Run("az", "aks", "show", "-g", "rg1", "-n", "c1", "-o", "json"), &shown)
	if shown.ProvisioningState != "Failed" || shown.CurrentKubernetesVersion != "1.37.2" {
		e.T.Errorf("after the failure: %+v", shown)
	}
	e.Run("az", "aks", "upgrade", "-g", "rg1", "-n", "c1", "-k", "1.37.2", "--control-plane-only", "-y")
	e.Decode(e.Run("az", "aks", "show", "-g", "rg1", "-n", "c1", "-o", "json"), &shown)
	if shown.ProvisioningState != "Succeeded" {
		e.T.Errorf("with the version that runs asked for again: %+v", shown)
	}
}

// addBrokenRelease puts a version into Berth's catalogue whose control plane is
// the pause image, and has Berth read it.
func addBrokenRelease(e *harness.Env, version string) {
	e.T.Helper()
	var catalogue map[string]any
	e.Decode(e.Management("-n", "berth-system", "get", "configmap", "berth-catalogue", "-o", `go-template={{index .data "catalogue.json"}}`), &catalogue)
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
