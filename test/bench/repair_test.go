package bench

import (
	"fmt"
	"time"

	"berth.dev/berth/internal/policy"
	"berth.dev/berth/test/harness"
)

// fastWait is each of the two waits below.
const fastWait = 4 * time.Second

// The waits of a repair while it is measured, beside AKS's: what is left of the figures is
// Berth's own.
const fastRepair, ownRepair = `{"spec":{"nodeRepair":{"after":"4s","wait":"4s"}}}`, `{"spec":{"nodeRepair":null}}`

// measureRepair breaks a node so that a fresh disk alone mends it, and measures until
// another kubelet serves under its name: noticed, rebooted in vain, reimaged (E4).
func measureRepair(e *harness.Env, results *table, name string) {
	e.T.Helper()
	var nodes []string
	e.Eventually("the node is Ready after what was done before", recoveryPatience, func() error {
		if nodes = e.ReadyNodes(name); len(nodes) != 1 {
			return fmt.Errorf("%d nodes are", len(nodes))
		}
		return nil
	})
	e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", fastRepair)
	defer e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", ownRepair)
	broken := time.Now()
	e.BreakKubelet(nodes[0])
	e.Eventually("the node is repaired", recoveryPatience, func() error {
		machines, err := e.Machines(name)
		if err != nil || len(machines) != 1 {
			return fmt.Errorf("%d machines: %w", len(machines), err)
		}
		repair := machines[0].Status.Repair
		if repair == nil || len(repair.History) < 2 || repair.Stage != "" {
			return fmt.Errorf("its repair is %+v", repair)
		}
		return nil
	})
	took := time.Since(broken)
	results.add("ill node to its healthy replacement, waits of 4 s", "s", "", took.Seconds())
	waits := policy.DefaultRepairAfter + policy.DefaultRepairWait - 2*fastWait
	results.add("ill node to its healthy replacement, AKS's waits (that, and the difference of the waits)", "s", "", (took + waits).Seconds())
}
