package e2e

import (
	"fmt"
	"strings"
	"time"

	"berth.dev/berth/test/harness"
)

// iaas does with az vmss what the support policy warns of, on c1 with its two nodes, and
// finds the way back each time (G1; B3, B4, G2, G3, G4).
func iaas(e *harness.Env) {
	// Of vmss, Debian's az has working commands in this profile alone.
	e.Run("az", "cloud", "update", "-n", "Berth", "--profile", "2020-09-01-hybrid")
	defer e.Run("az", "cloud", "update", "-n", "Berth", "--profile", "latest")
	var cluster struct{ NodeResourceGroup string }
	e.Decode(e.Run("berth", "cluster", "show", "-g", "rg1", "-n", "c1", "-o", "json"), &cluster)
	group := cluster.NodeResourceGroup
	var sets []harness.ScaleSet
	e.Decode(e.Run("az", "vmss", "list", "-g", group, "-o", "json"), &sets)
	if len(sets) != 1 {
		e.T.Fatalf("scale sets in %s: %+v", group, sets)
	}
	vmss := func(verb string, more ...string) string {
		return e.Run("az", append(append(strings.Fields("vmss "+verb), "-g", group, "-n", sets[0].Name), more...)...)
	}
	var instances []harness.ScaleSetInstance
	e.Decode(vmss("list-instances", "-o", "json"), &instances)
	if len(instances) != 2 {
		e.T.Fatalf("instances: %+v", instances)
	}
	id, node := instances[0].InstanceID, instances[0].OSProfile.ComputerName

	if out := vmss("run-command invoke", "--command-id", "RunShellScript", "--instance-id", id, "--scripts", "uname -n; ls /usr > /dev/null"); !strings.Contains(out, node) {
		e.T.Errorf("a script that prints the machine's name: %s", out)
	}
	supportedBy(e, "a script that only looks is no finding", "")
	vmss("run-command invoke", "--command-id", "RunShellScript", "--instance-id", id, "--scripts", "echo vm.swappiness=1 >> /etc/sysctl.conf")
	supportedBy(e, "one that changes a file of the image is", "G2")
	vmss("restart", "--instance-ids", id)
	supportedBy(e, "the file does not outlive a restart", "")

	vmss("deallocate", "--instance-ids", id)
	supportedBy(e, "a deallocated machine is a finding", "B3")
	e.Eventually("its node is not ready, and says why", time.Minute, func() error {
		out, err := e.TryCluster("c1", "get", "node", node, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status} {.spec.taints[*].key}`)
		if err != nil || !strings.HasPrefix(out, "Unknown") || !strings.Contains(out, "node.cloudprovider.kubernetes.io/shutdown") {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	vmss("start", "--instance-ids", id)
	twoReady(e)
	supportedBy(e, "a machine that was started is as it was", "")

	vmss("delete-instances", "--instance-ids", id)
	supportedBy(e, "a deleted machine is a finding", "G4")
	if ready := e.ReadyNodes("c1"); len(ready) != 1 {
		e.T.Errorf("ready after a deletion: %v", ready)
	}
	e.Run("berth", "nodepool", "update", "-g", "rg1", "--cluster-name", "c1", "-n", "nodepool1")
	twoReady(e)
	supportedBy(e, "a change of the pool that changes nothing makes another", "")

	e.Run("az", "group", "update", "-n", group, "--tags", "aks-managed-cluster-rg=rg1")
	supportedBy(e, "a tag of the system's that is gone is a finding", "B4")
	e.Run("az", "group", "update", "-n", group, "--tags", "aks-managed-cluster-rg=rg1", "aks-managed-cluster-name=c1", "mine=yes")
	supportedBy(e, "one that is back, and one of one's own, are none", "")

	e.Run("berth", "cluster", "update", "-g", "rg1", "-n", "c1", "--nrg-lockdown-restriction-level", "ReadOnly")
	out, err := e.Try("az", "vmss", "restart", "-g", group, "-n", sets[0].Name)
	if err == nil || !strings.Contains(out, "DenyAssignmentAuthorizationFailed") {
		e.T.Errorf("a restart in a group that is read-only: %v, %s", err, out)
	}
	e.Run("berth", "cluster", "update", "-g", "rg1", "-n", "c1", "--nrg-lockdown-restriction-level", "Unrestricted")
	e.Cluster("c1", "rollout", "status", "deployment/web", "--timeout=120s")
}

func twoReady(e *harness.Env) {
	e.T.Helper()
	e.Eventually("both nodes are ready", 3*time.Minute, func() error {
		if ready := e.ReadyNodes("c1"); len(ready) != 2 {
			return fmt.Errorf("ready: %v", ready)
		}
		return nil
	})
}

// supportedBy waits until the findings about c1 that take it out of support are of these
// clauses.
func supportedBy(e *harness.Env, what, want string) {
	e.T.Helper()
	e.Eventually(what, time.Minute, func() error {
		var found struct {
			Findings []struct{ Clause, State, Message string }
		}
		e.Decode(e.Run("berth", "cluster", "support", "-g", "rg1", "-n", "c1", "-o", "json"), &found)
		var clauses []string
		for _, finding := range found.Findings {
			if finding.State == "OutOfSupport" {
				clauses = append(clauses, finding.Clause)
			}
		}
		if got := strings.Join(clauses, " "); got != want {
			return fmt.Errorf("findings %q, want %q: %+v", got, want, found.Findings)
		}
		return nil
	})
}
