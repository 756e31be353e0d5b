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
		{Name: "a control plane gets three replicas", Run: growsReplicas},
		{Name: "three replicas are archived and allocated again", Run: archivesReplicas},
		{Name: "they are given up", Run: shrinksReplicas},
	})
}

// growsReplicas gives c2 a control plane of three replicas: everything is kept, any one
// may go, and the API is away for no more than a moment (A3).
func growsReplicas(e *harness.Env) {
	e.Run("berth", "cluster", "create", "-g", "rg1", "-n", "c2", "-c", "1")
	e.Run("berth", "cluster", "get-credentials", "-g", "rg1", "-n", "c2")
	e.Cluster("c2", "create", "configmap", "before-the-tier", "--from-literal=a=b")
	objects := e.ObjectsOf("c2")
	probe := e.StartProbe("127.0.0.1:6443", e.FQDN("rg1", "c2"))
	e.Run("berth", "cluster", "update", "-g", "rg1", "-n", "c2", "--tier", "standard")
	logGap(e, probe)
	allReplicas(e)
	e.Management("-n", controlPlane(e), "delete", "pod", "etcd-0", "--grace-period=0", "--force", "--wait=false")
	e.Eventually("it takes writes without its first member", 30*time.Second, func() error {
		out, err := e.TryCluster("c2", "create", "configmap", "without-the-first", "--request-timeout=5s")
		if err != nil && strings.Contains(out, "already exists") {
			return nil
		}
		return err
	})
	e.Lost("c2", objects)
	allReplicas(e)
}

// archivesReplicas leaves nothing of c2 but its proven backups, and starts it again with
// all of its replicas (J5).
func archivesReplicas(e *harness.Env) {
	objects := e.ObjectsOf("c2")
	e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", `{"spec":{"archiveAfter":"1s","backupDeltaInterval":"2s"}}`)
	e.Run("berth", "cluster", "stop", "-g", "rg1", "-n", "c2")
	e.Eventually("the stopped cluster is archived", 3*time.Minute, func() error {
		c, err := e.ManagedCluster("c2")
		if err == nil && (c.Status.Archive == nil || c.Status.Archive.Phase != v1beta1.Archived) {
			err = fmt.Errorf("archive %+v, backup %+v, conditions %+v", c.Status.Archive, c.Status.Backup, c.Status.Conditions)
		}
		return err
	})
	e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", `{"spec":{"archiveAfter":null,"backupDeltaInterval":null}}`)
	if left := e.Management("-n", controlPlane(e), "get", "pvc,pods", "-o", "name"); left != "" {
		e.T.Errorf("an archived cluster has %s", left)
	}
	e.Run("berth", "cluster", "start", "-g", "rg1", "-n", "c2")
	e.Lost("c2", objects)
	allReplicas(e)
}

// shrinksReplicas takes c2 back to one replica.
func shrinksReplicas(e *harness.Env) {
	objects := e.ObjectsOf("c2")
	probe := e.StartProbe("127.0.0.1:6443", e.FQDN("rg1", "c2"))
	e.Run("berth", "cluster", "update", "-g", "rg1", "-n", "c2", "--tier", "free")
	logGap(e, probe)
	e.Lost("c2", objects)
	e.Cluster("c2", "get", "configmap", "before-the-tier", "without-the-first")
	if out := e.Management("-n", controlPlane(e), "get", "persistentvolumeclaims", "-o", "name"); strings.TrimSpace(out) != "persistentvolumeclaim/data-etcd-0" {
		e.T.Errorf("volumes of a single control plane: %s", out)
	}
}

// controlPlane is the namespace of c2's control plane.
func controlPlane(e *harness.Env) string {
	e.T.Helper()
	found, err := e.ManagedCluster("c2")
	if err != nil {
		e.T.Fatal(err)
	}
	return v1beta1.ControlPlaneNamespace(found.Spec.ID)
}

// allReplicas waits until three members of etcd and three API servers are ready.
func allReplicas(e *harness.Env) {
	e.T.Helper()
	e.Eventually("all replicas are ready", 3*time.Minute, func() error {
		out := e.Management("-n", controlPlane(e), "get", "pods", "--no-headers", "-l", "berth.dev/component in (etcd,kube)")
		if strings.Count(out, "1/1") != 3 || strings.Count(out, "2/2") != 3 {
			return fmt.Errorf("pods\n%s", out)
		}
		return nil
	})
}

// logGap says for how long the one start of etcd on the way took the API away. That
// depends on the machine.
func logGap(e *harness.Env, probe *harness.Probe) {
	gap, failed, asked, last := probe.Stop()
	e.T.Logf("longest gap %.2f s, %d of %d questions failed (%v)", gap.Seconds(), failed, asked, last)
}
