package e2e

import (
	"fmt"
	"strings"
	"time"

	"berth.dev/berth/test/harness"
)

// changesTier gives c2 a control plane of three replicas and takes it back: everything is
// kept, any one may go, and the API is away for a moment only (A3).
func changesTier(e *harness.Env) {
	e.Cluster("c2", "create", "configmap", "before-the-tier", "--from-literal=a=b")
	objects := e.ObjectsOf("c2")
	probe := e.StartProbe("127.0.0.1:6443", e.FQDN("rg1", "c2"))
	e.Run("berth", "cluster", "update", "-g", "rg1", "-n", "c2", "--tier", "standard")
	probe.Check(e, tierGap)
	namespace := "cp-" + clusterID(e, "rg1.c2")
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
	probe.Check(e, tierGap)
	e.Lost("c2", objects)
	e.Cluster("c2", "get", "configmap", "before-the-tier", "without-the-first")
	if out := e.Management("-n", namespace, "get", "persistentvolumeclaims", "-o", "name"); strings.TrimSpace(out) != "persistentvolumeclaim/data-etcd-0" {
		e.T.Errorf("volumes of a single control plane: %s", out)
	}
}

// tierGap is for how long the one start of etcd may take the API away.
const tierGap = 15 * time.Second
