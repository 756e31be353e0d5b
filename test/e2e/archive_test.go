package e2e

import (
	"fmt"
	"strings"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/test/harness"
)

// archives leaves nothing of c1 but its proven backups. A scale of its pool allocates it
// again (J5).
func archives(e *harness.Env) {
	objects := e.ObjectsOf("c1")
	id := clusterID(e, "rg1.c1")
	e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", `{"spec":{"archiveAfter":"1s","backupDeltaInterval":"2s"}}`)
	defer e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", `{"spec":{"archiveAfter":null,"backupDeltaInterval":null}}`)
	e.Run("az", "aks", "stop", "-g", "rg1", "-n", "c1")
	stopped := time.Now()
	e.Eventually("the stopped cluster is archived", 3*time.Minute, func() error {
		c, err := e.ManagedCluster("c1")
		if err == nil && (c.Status.Archive == nil || c.Status.Archive.Phase != v1beta1.Archived) {
			err = fmt.Errorf("archive %+v, backup %+v, conditions %+v", c.Status.Archive, c.Status.Backup, c.Status.Conditions)
		}
		return err
	})
	e.T.Logf("archived %.0f s after the stop", time.Since(stopped).Seconds())
	e.Eventually("no pod and no claim is left", time.Minute, func() error { // the one that proved its backups has ended, and goes
		if left := e.Management("-n", "cp-"+id, "get", "pvc,pods", "-o", "name"); left != "" {
			return fmt.Errorf("there are %s", left)
		}
		return nil
	})
	if volumes := e.Management("get", "pv", "-o", "jsonpath={.items[*].spec.claimRef.namespace}"); strings.Contains(volumes, id) {
		e.T.Errorf("an archived cluster has a volume: %s", volumes)
	}
	e.Eventually("its support state says so", time.Minute, func() error {
		if out := e.Run("berth", "cluster", "support", "-g", "rg1", "-n", "c1"); !strings.Contains(out, "Archived") || !strings.Contains(out, "J5") {
			return fmt.Errorf("support: %s", out)
		}
		return nil
	})
	e.Run("az", "aks", "nodepool", "scale", "-g", "rg1", "--cluster-name", "c1", "-n", "nodepool1", "--node-count", "3")
	if nodes := e.ReadyNodes("c1"); len(nodes) != 3 {
		e.T.Errorf("ready nodes after the cluster was allocated again: %v", nodes)
	}
	e.Lost("c1", objects)
}
