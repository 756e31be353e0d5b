package bench

import (
	"fmt"
	"testing"
	"time"

	"berth.dev/berth/test/harness"
)

// fastRepair has waits that leave Berth's own time over; ownRepair has AKS's again.
const fastRepair, ownRepair = `{"spec":{"nodeRepair":{"after":"4s","wait":"4s"}}}`, `{"spec":{"nodeRepair":null}}`

// byDefault is how long a repair may take with AKS's waits: ten minutes until the node is
// rebooted, and five until it is reimaged.
const byDefault = 30 * time.Minute

// measureRepair measures a repair of a node with waits of four seconds.
func measureRepair(e *harness.Env, results *table, name string) {
	e.T.Helper()
	e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", fastRepair)
	defer e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", ownRepair)
	repairNode(e, results, "ill node to its healthy replacement, waits of 4 s", name)
}

// TestBenchRepair measures one with the waits that AKS has, once: most of it is waiting.
func TestBenchRepair(t *testing.T) {
	e := harness.New(t)
	var results table
	defer results.print()
	e.Up()
	e.Run("berth", "group", "create", "-n", "bench", "-l", "westus2")
	e.Run("berth", "cluster", "create", "-g", "bench", "-n", "repair", "-c", "1")
	e.Run("berth", "cluster", "get-credentials", "-g", "bench", "-n", "repair")
	repairNode(e, &results, "ill node to its healthy replacement, AKS's waits of 10 and 5 min", "repair")
}

// repairNode breaks a node so that a fresh disk alone mends it, and measures until
// another kubelet serves under its name: noticed, rebooted in vain, reimaged (E4).
func repairNode(e *harness.Env, results *table, what, name string) {
	e.T.Helper()
	var nodes []string
	e.Eventually("the node is Ready after what was done before", recoveryPatience, func() error {
		if nodes = e.ReadyNodes(name); len(nodes) != 1 {
			return fmt.Errorf("%d nodes are", len(nodes))
		}
		return nil
	})
	broken := time.Now()
	e.BreakKubelet(nodes[0])
	var last time.Duration
	e.Eventually("the node is repaired", byDefault, func() error {
		last = time.Since(broken)
		machines, err := e.Machines(name)
		if err != nil || len(machines) != 1 {
			return fmt.Errorf("%d machines: %w", len(machines), err)
		}
		repair := machines[0].Status.Repair
		if repair == nil || len(repair.History) < 2 || repair.HealthySince == nil && repair.Stage != "" {
			return fmt.Errorf("its repair is %+v", repair)
		}
		return nil
	})
	results.add(what, "s", "", last.Seconds())
}
