package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/test/harness"
)

// TestAutoUpgrade leaves a cluster to its channel. While its maintenance window is
// still to come, the next run is announced and nothing happens; without a window it
// goes from 1.36 to 1.37 by itself, control plane and nodes. Then its machine is lost.
func TestAutoUpgrade(t *testing.T) {
	e := harness.New(t)
	e.Up()
	// Every cluster has its turn each twenty seconds.
	e.Management("patch", "servicepolicy", "default", "--type=merge", "-p", `{"spec":{"autoUpgradeInterval":"20s"}}`)
	e.Run("berth", "group", "create", "-n", "rg1", "-l", "westus2")
	e.Run("berth", "cluster", "create", "-g", "rg1", "-n", "auto", "-k", "1.36.3", "-c", "1", "--node-os-upgrade-channel", "None")
	tomorrow := time.Now().UTC().AddDate(0, 0, 1)
	e.Run("berth", "maintenanceconfiguration", "add", "-g", "rg1", "--cluster-name", "auto", "-n", "aksManagedAutoUpgradeSchedule",
		"--schedule-type", "Daily", "--interval-days", "7", "--duration", "4", "--start-date", tomorrow.Format(time.DateOnly), "--start-time", "01:00")
	e.Run("berth", "cluster", "update", "-g", "rg1", "-n", "auto", "--auto-upgrade-channel", "rapid")
	e.Eventually("the next run is announced", time.Minute, func() error {
		run := e.AutoUpgrade("rg1", "auto")
		if run.NextRun != tomorrow.Format(time.DateOnly)+"T01:00:00Z" || run.Target != "1.37.2" || run.LastRun != "" {
			return fmt.Errorf("%+v", run)
		}
		return nil
	})
	e.Run("berth", "cluster", "get-credentials", "-g", "rg1", "-n", "auto")
	if versions := nodeVersions(e); versions != "v1.36.3" {
		t.Fatalf("before its window the cluster has nodes of %s", versions)
	}

	e.Run("berth", "maintenanceconfiguration", "delete", "-g", "rg1", "--cluster-name", "auto", "-n", "aksManagedAutoUpgradeSchedule")
	started := time.Now()
	e.Eventually("the cluster upgrades itself", 5*time.Minute, func() error {
		run := e.AutoUpgrade("rg1", "auto")
		if strings.HasPrefix(run.LastResult, "Failed") {
			t.Fatalf("the run failed: %+v", run)
		}
		if run.LastResult != "Succeeded" || run.LastTarget != "1.37.2" {
			return fmt.Errorf("%+v", run)
		}
		return nil
	})
	t.Logf("the cluster upgraded itself in %.1f s, its turn included", time.Since(started).Seconds())
	if versions := nodeVersions(e); versions != "v1.37.2" {
		t.Errorf("after it the cluster has nodes of %s", versions)
	}
	if server := e.Cluster("auto", "version"); !strings.Contains(server, "Server Version: v1.37.2") {
		t.Errorf("after it the API server is %s", server)
	}
	e.Journey(t, []harness.Step{{Name: "the machine is lost, and Berth with all it had is restored", Run: func(e *harness.Env) { lostMachine(e, "auto") }}})
}

func nodeVersions(e *harness.Env) string {
	return e.Cluster("auto", "get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}")
}
