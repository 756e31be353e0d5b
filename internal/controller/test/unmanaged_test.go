package test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/node"
)

// Nodes are reimaged, each under its name, when they begin to patch themselves and when
// they cease to (AKS: auto-upgrade-node-os-image), also where nobody but the cluster is asked.
func TestUnmanagedNodes(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	unmanagedLife(w)
}

// The same, with the controllers killed after every second side effect.
func TestCrashDuringUnmanagedNodes(t *testing.T) {
	w := newWorld(t)
	w.nextGuard = func() *guard { return newGuard(2, w.client) }
	w.start(w.nextGuard())
	unmanagedLife(w)
	t.Logf("died %d times, at %d different points", len(w.deaths), len(slices.Compact(slices.Sorted(slices.Values(w.deaths)))))
}

func unmanagedLife(w *world) {
	w.t.Helper()
	create := w.createOperation("op-create")
	create.Spec.Desired.AgentPools[0].Count = ptr(int32(2))
	w.request(create)
	w.succeed("op-create")
	names := w.nodeNames()
	w.checkUnmanaged(false)

	w.request(w.nodeOSOperation("op-unmanaged", "Unmanaged", create.Spec.Desired.AgentPools))
	w.succeed("op-unmanaged")
	w.checkUnmanaged(true)
	w.checkNodes("1.37.2", catalogue().NodeImageVersion, names)
	if used := w.pool().Status.RecentlyUsedVersions; len(used) != 0 {
		w.t.Errorf("nothing is to be rolled back: %+v", used)
	}

	w.request(w.nodeOSOperation("op-none", "None", nil))
	w.succeed("op-none")
	w.eventually("the nodes no longer patch themselves", func() bool { return w.unmanaged(false) == "" })
	w.checkNodes("1.37.2", catalogue().NodeImageVersion, names)
	w.delete()
	w.checkGone()
}

func (w *world) nodeOSOperation(name, channel string, pools []v1beta1.AgentPoolSpec) *v1beta1.Operation {
	op := w.createOperation(name)
	op.Spec.State, op.Spec.Desired.AgentPools = v1beta1.StateUpdating, pools
	op.Spec.Desired.Cluster.AutoUpgradeProfile = &v1beta1.AutoUpgradeProfile{UpgradeChannel: "none", NodeOSUpgradeChannel: channel}
	return op
}

// checkUnmanaged checks that an operation has not ended before its nodes are so.
func (w *world) checkUnmanaged(want bool) {
	w.t.Helper()
	if wrong := w.unmanaged(want); wrong != "" {
		w.t.Fatalf("%s\n%s", wrong, w.dump())
	}
}

func (w *world) unmanaged(want bool) (wrong string) {
	w.live()
	if pool := w.pool(); pool.Status.UnmanagedOS != want || pool.Status.ProvisioningState != v1beta1.StateSucceeded {
		return fmt.Sprintf("the pool is %s, unmanaged %t", pool.Status.ProvisioningState, pool.Status.UnmanagedOS)
	}
	for _, m := range w.machineObjects() {
		if m.Spec.UnmanagedOS != want || m.Status.UnmanagedOS != want {
			return fmt.Sprintf("machine %s: unmanaged %t, made %t", m.Name, m.Spec.UnmanagedOS, m.Status.UnmanagedOS)
		}
	}
	for ref, made := range w.machines.Machines() {
		var config node.Config
		if err := json.Unmarshal(made.Files["machine.json"], &config); err != nil || config.PatchesItself != want {
			return fmt.Sprintf("%s is told that it patches itself: %t, %v", ref.Name, config.PatchesItself, err)
		}
	}
	return ""
}
