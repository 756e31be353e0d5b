package long

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/test/harness"
)

// TestTiers makes a cluster for its control plane's change from one replica to three and
// back. It is here because it takes its time: each etcd starts anew on the way.
func TestTiers(t *testing.T) {
	e := harness.New(t)
	e.Up()
	e.Run("berth", "login", "az", "--state-dir", e.State)
	e.Run("berth", "group", "create", "-n", "rg1", "-l", "westus2")
	e.Journey(t, []harness.Step{
		{Name: "a control plane gets three replicas and gives them up", Run: changesTier},
	})
}

// changesTier gives c2 a control plane of three replicas and takes it back: everything is
// kept, any one may go, and the API is away for no more than a moment (A3).
func changesTier(e *harness.Env) {
	e.Run("berth", "cluster", "create", "-g", "rg1", "-n", "c2", "-c", "1")
	e.Run("berth", "cluster", "get-credentials", "-g", "rg1", "-n", "c2")
	e.Cluster("c2", "create", "configmap", "before-the-tier", "--from-literal=a=b")
	objects := e.ObjectsOf("c2")
	probe := e.StartProbe("127.0.0.1:6443", e.FQDN("rg1", "c2"))
	e.Run("berth", "cluster", "update", "-g", "rg1", "-n", "c2", "--tier", "standard")
	logGap(e, probe)
	found, err := e.ManagedCluster("c2")
	if err != nil {
		e.T.Fatal(err)
	}
	namespace := v1beta1.ControlPlaneNamespace(found.Spec.ID)
	e.Eventually("all replicas are ready", 3*time.Minute, func() error {
		out := e.Management("-n", namespace, "get", "pods", "--no-headers", "-l", "berth.dev/component in (etcd,kube)")
		if strings.Count(out, "1/1") != 3 || strings.Count(out, "2/2") != 3 {
			return fmt.Errorf("pods\n%s", out)
		}
		return nil
	})
	e.Management("-n", namespace, "delete", "pod", "etcd-0", "--grace-period=0", "--force", "--wait=false")
	e.Eventually("it takes writes without its first member", 30*time.Second, func() error {
		out, err := e.TryCluster("c2", "create", "configmap", "without-the-first", "--request-timeout=5s")
		if err != nil && strings.Contains(out, "already exists") {
			return nil
		}
		return err
	})
	probe = e.StartProbe("127.0.0.1:6443", e.FQDN("rg1", "c2"))
	e.Run("berth", "cluster", "update", "-g", "rg1", "-n", "c2", "--tier", "free")
	logGap(e, probe)
	e.Lost("c2", objects)
	e.Cluster("c2", "get", "configmap", "before-the-tier", "without-the-first")
	if out := e.Management("-n", namespace, "get", "persistentvolumeclaims", "-o", "name"); strings.TrimSpace(out) != "persistentvolumeclaim/data-etcd-0" {
		e.T.Errorf("volumes of a single control plane: %s", out)
	}
}

// logGap says for how long the one start of etcd on the way took the API away. That
// depends on the machine.
func logGap(e *harness.Env, probe *harness.Probe) {
	gap, failed, asked, last := probe.Stop()
	e.T.Logf("longest gap %.2f s, %d of %d questions failed (%v)", gap.Seconds(), failed, asked, last)
}
