package agentpool

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

func TestLineUp(t *testing.T) {
	mine := contender{name: "b", operation: "op", due: true}
	for _, c := range []struct {
		why           string
		runs, state   string
		others        []contender
		wait, failure string
	}{
		{"alone, and the control plane has it", "1.37.2", "Succeeded", nil, "", ""},
		{"never ahead of the control plane, by a patch even", "1.37.1", "Succeeded", nil, "the control plane, which runs 1.37.1", ""},
		{"not while the control plane's upgrade goes on", "1.36.3", "Upgrading", nil, "the control plane, which runs 1.36.3", ""},
		{"not when that failed", "1.36.3", "Failed", nil, "", "the control plane is still on 1.36.3"},
		{"one at a time", "1.37.2", "Succeeded", []contender{{name: "z", running: true}}, "agent pool z", ""},
		{"by name", "1.37.2", "Succeeded", []contender{{name: "a", due: true}, {name: "c", due: true}}, "agent pool a", ""},
		{"those behind wait", "1.37.2", "Succeeded", []contender{{name: "c", due: true}}, "", ""},
		{"those that are done do not matter", "1.37.2", "Succeeded", []contender{{name: "a"}}, "", ""},
		{"a failure stops the pools of the same operation", "1.37.2", "Succeeded", []contender{{name: "a", operation: "op", failed: true}}, "", "the upgrade of agent pool a failed"},
		{"and no others", "1.37.2", "Succeeded", []contender{{name: "a", operation: "other", failed: true}}, "", ""},
	} {
		cluster := &v1beta1.ManagedCluster{}
		cluster.Status.CurrentKubernetesVersion, cluster.Status.ProvisioningState = c.runs, v1beta1.ProvisioningState(c.state)
		cluster.Status.ObservedOperation = "op"
		got := lineUp(mine, newVersions, cluster, c.others)
		failure := ""
		if got.failure != nil {
			failure = got.failure.Message
		}
		if got.wait != c.wait || (failure == "") != (c.failure == "") || !strings.Contains(failure, c.failure) {
			t.Errorf("%s: waits for %q, fails with %q; want %q, %q", c.why, got.wait, failure, c.wait, c.failure)
		}
	}
}

// Pools wait for the components of a control plane that is upgraded with them, and are left
// alone if those cannot be brought.
func TestLineUpBehindComponents(t *testing.T) {
	for _, c := range []struct {
		why string
		// asks is what asked for the pool; the cluster was asked by "op" last.
		asks          string
		phase         v1beta1.UpgradePhase
		upgrade       string
		observed      string
		state         v1beta1.ProvisioningState
		wait, failure bool
	}{
		{"they are being brought", "op", v1beta1.UpgradeComponents, "op", "op", v1beta1.StateUpgrading, true, false},
		{"they were refused, and the cluster has not said so yet", "op", v1beta1.UpgradeIncomplete, "op", "op", v1beta1.StateUpgrading, true, false},
		{"they were refused", "op", v1beta1.UpgradeIncomplete, "op", "op", v1beta1.StateFailed, false, true},
		{"they were refused before, and are to be brought again", "op", v1beta1.UpgradeIncomplete, "before", "before", v1beta1.StateFailed, true, false},
		{"that has been seen and not begun", "op", v1beta1.UpgradeIncomplete, "before", "op", v1beta1.StateFailed, true, false},
		{"they are there", "op", v1beta1.UpgradeSucceeded, "op", "op", v1beta1.StateSucceeded, false, false},
		{"somebody asks for the pool alone", "another", v1beta1.UpgradeIncomplete, "op", "op", v1beta1.StateFailed, false, false},
	} {
		cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1beta1.AnnotationOperation: "op"}}}
		cluster.Status.CurrentKubernetesVersion, cluster.Status.ProvisioningState, cluster.Status.ObservedOperation = newVersions.kubernetes, c.state, c.observed
		cluster.Status.Upgrade = &v1beta1.ControlPlaneUpgrade{To: newVersions.kubernetes, Phase: c.phase, Operation: c.upgrade}
		got := lineUp(contender{name: "b", operation: c.asks, due: true}, newVersions, cluster, nil)
		if (got.wait != "") != c.wait || (got.failure != nil) != c.failure {
			t.Errorf("%s: %+v", c.why, got)
		}
	}
}

// A pool that is stopped has nothing to replace and holds nobody up; one that has begun does.
func TestContend(t *testing.T) {
	catalogue := &release.Catalogue{
		Releases:         []release.Release{{Version: newVersions.kubernetes, Default: true}, {Version: oldVersions.kubernetes}},
		NodeImageVersion: newVersions.image,
		NodeImages:       []release.NodeImage{{Version: newVersions.image, Images: map[string]string{oldVersions.kubernetes: "r", newVersions.kubernetes: "r"}}},
	}
	for _, c := range []struct {
		why          string
		asked        string
		power        v1beta1.PowerCode
		rolling      bool
		due, running bool
	}{
		{why: "it runs what is asked for", asked: oldVersions.kubernetes},
		{why: "another version is asked for", asked: newVersions.kubernetes, due: true},
		{why: "the same, but it is stopped", asked: newVersions.kubernetes, power: v1beta1.PowerStopped},
		{why: "it starts", asked: newVersions.kubernetes, power: v1beta1.PowerRunning, due: true},
		{why: "it is being upgraded", asked: newVersions.kubernetes, rolling: true, due: true, running: true},
	} {
		pool, cluster := &v1beta1.AgentPool{}, &v1beta1.ManagedCluster{}
		cluster.Status.CurrentKubernetesVersion = newVersions.kubernetes
		pool.Spec.OrchestratorVersion = c.asked
		if c.power != "" {
			pool.Spec.PowerState = &v1beta1.PowerState{Code: c.power}
		}
		pool.Status = v1beta1.AgentPoolStatus{
			ProvisioningState: v1beta1.StateSucceeded, CurrentOrchestratorVersion: oldVersions.kubernetes, NodeImageVersion: oldVersions.image,
		}
		if c.rolling {
			pool.Status.Upgrade = &v1beta1.PoolUpgrade{OrchestratorVersion: newVersions.kubernetes, NodeImageVersion: newVersions.image}
		}
		if got := contend(catalogue, pool, cluster); got.due != c.due || got.running != c.running {
			t.Errorf("%s: due %v, running %v", c.why, got.due, got.running)
		}
	}
}

func TestTarget(t *testing.T) {
	const first, second, third = "BerthDebian-12containerd-202601.01.0", "BerthDebian-12containerd-202602.01.0", "BerthDebian-12containerd-202603.01.0"
	const later = "BerthDebian-12containerd-202604.01.0"
	both := map[string]string{"1.36.3": "r", "1.37.2": "r"}
	catalogue := &release.Catalogue{
		Releases:         []release.Release{{Version: "1.37.2", Default: true}, {Version: "1.36.3"}, {Version: "1.35.9"}},
		NodeImageVersion: third,
		NodeImages:       []release.NodeImage{{Version: third, Images: both}, {Version: second, Images: both}, {Version: first, Images: map[string]string{"1.36.3": "r", "1.35.9": "r"}}},
	}
	rolling := &v1beta1.PoolUpgrade{OrchestratorVersion: "1.37.2", NodeImageVersion: second}
	ended := rolling.DeepCopy()
	ended.EndTime = &metav1.Time{Time: epoch}
	for _, c := range []struct {
		why                    string
		asked, askedImage      string
		has                    versions
		upgrade                *v1beta1.PoolUpgrade
		wantVersion, wantImage string
		used                   []v1beta1.UsedVersion
		missing, unmanaged     bool
	}{
		{why: "nodes that begin to patch themselves are reimaged with the newest image", unmanaged: true, has: versions{kubernetes: "1.36.3", image: first}, wantVersion: "1.36.3", wantImage: third},
		{why: "nodes that cease to as well", has: versions{"1.36.3", first, true}, wantVersion: "1.36.3", wantImage: third},
		{why: "nodes that do keep their image", unmanaged: true, has: versions{"1.36.3", first, true}, wantVersion: "1.36.3", wantImage: first},
		{why: "no older image comes with it", unmanaged: true, has: versions{kubernetes: "1.36.3", image: later}, wantVersion: "1.36.3", wantImage: later},
		{why: "where the newest was not built for the version it is the pool's", unmanaged: true, has: versions{kubernetes: "1.35.9", image: first}, wantVersion: "1.35.9", wantImage: first},
		{why: "what has begun keeps its image", unmanaged: true, asked: "1.37", has: versions{kubernetes: "1.36.3", image: first}, upgrade: rolling, wantVersion: "1.37.2", wantImage: second},
		{why: "a new pool gets the newest image", wantVersion: "1.37.2", wantImage: third},
		{why: "a pool stays on its image", has: versions{kubernetes: "1.36.3", image: first}, wantVersion: "1.36.3", wantImage: first},
		{why: "a newer image by name", askedImage: second, has: versions{kubernetes: "1.36.3", image: first}, wantVersion: "1.36.3", wantImage: second},
		{why: "no downgrade of an image", askedImage: first, has: versions{kubernetes: "1.36.3", image: second}, wantVersion: "1.36.3", wantImage: second},
		{why: "another version brings the newest image", asked: "1.37.2", has: versions{kubernetes: "1.36.3", image: first}, wantVersion: "1.37.2", wantImage: third},
		{why: "also where the old image was once asked for by name", asked: "1.37.2", askedImage: first, has: versions{kubernetes: "1.36.3", image: first}, wantVersion: "1.37.2", wantImage: third},
		{why: "an image that is built meanwhile does not move what has begun", asked: "1.37", has: versions{kubernetes: "1.36.3", image: first}, upgrade: rolling, wantVersion: "1.37.2", wantImage: second},
		{why: "but the next attempt takes it", asked: "1.37", has: versions{kubernetes: "1.36.3", image: first}, upgrade: ended, wantVersion: "1.37.2", wantImage: third},
		{why: "back to what the pool had", asked: "1.36.3", askedImage: first, has: versions{kubernetes: "1.37.2", image: third},
			used: []v1beta1.UsedVersion{{OrchestratorVersion: "1.36.3", NodeImageVersion: first}}, wantVersion: "1.36.3", wantImage: first},
		{why: "back to an image that it had", askedImage: second, has: versions{kubernetes: "1.37.2", image: third},
			used: []v1beta1.UsedVersion{{OrchestratorVersion: "1.37.2", NodeImageVersion: second}}, wantVersion: "1.37.2", wantImage: second},
		{why: "an image that was not built for the version", asked: "1.37.2", askedImage: first, has: versions{kubernetes: "1.36.3", image: third}, missing: true,
			used: []v1beta1.UsedVersion{{OrchestratorVersion: "1.37.2", NodeImageVersion: first}}},
	} {
		pool, cluster := &v1beta1.AgentPool{}, &v1beta1.ManagedCluster{}
		cluster.Status.CurrentKubernetesVersion = "1.37.2"
		pool.Spec.OrchestratorVersion, pool.Spec.NodeImageVersion = c.asked, c.askedImage
		pool.Status = v1beta1.AgentPoolStatus{CurrentOrchestratorVersion: c.has.kubernetes, NodeImageVersion: c.has.image, UnmanagedOS: c.has.unmanaged, Upgrade: c.upgrade, RecentlyUsedVersions: c.used}
		if c.unmanaged {
			cluster.Spec.AutoUpgradeProfile = &v1beta1.AutoUpgradeProfile{NodeOSUpgradeChannel: "Unmanaged"}
		}
		got, failure := target(catalogue, pool, cluster)
		if c.missing != (failure != nil) || !c.missing && got != (versions{c.wantVersion, c.wantImage, c.unmanaged}) {
			t.Errorf("%s: %v, %+v", c.why, got, failure)
		}
	}
}

// A node image never becomes older but where the pool goes back (AKS: upgrade-node-image).
func TestAimOf(t *testing.T) {
	const kubernetes, older, newer = "1.36.3", "BerthDebian-12containerd-202601.01.0", "BerthDebian-12containerd-202602.01.0"
	old, next := versions{kubernetes, older, false}, versions{kubernetes, newer, true}
	for _, c := range []struct {
		why              string
		pool             string
		goal             versions
		phase            v1beta1.MachinePhase
		spec, made, want versions
	}{
		{"a node gets what is asked for", older, next, v1beta1.MachineReady, old, old, next},
		{"one that is done already when it is taken back keeps its image", older, old, v1beta1.MachineReady, next, next, versions{kubernetes, newer, false}},
		{"one that drains has its old one", older, old, v1beta1.MachineDraining, next, old, old},
		{"one that is being reimaged gets the newer one", older, old, v1beta1.MachineReimaged, next, old, versions{kubernetes, newer, false}},
		{"so does one that was never made", older, old, v1beta1.MachinePending, next, versions{}, versions{kubernetes, newer, false}},
		{"a rollback is one", newer, old, v1beta1.MachineReady, next, next, old},
		{"the image is another version's", older, versions{"1.37.2", older, false}, v1beta1.MachineReady, next, next, versions{"1.37.2", older, false}},
	} {
		m := machineOf(0, c.phase, c.spec, c.made)
		pool := &v1beta1.AgentPool{Status: v1beta1.AgentPoolStatus{NodeImageVersion: c.pool}}
		if got := aimOf(c.goal, pool).of(&m); got != c.want {
			t.Errorf("%s: %v, want %v", c.why, got, c.want)
		}
	}
}

func TestStageOf(t *testing.T) {
	at := func(spec versions) v1beta1.Machine { return machineOf(0, v1beta1.MachineReady, spec, spec) }
	set := func(change func(*v1beta1.Machine)) v1beta1.Machine {
		m := at(newVersions)
		change(&m)
		return m
	}
	running := &v1beta1.PoolUpgrade{OrchestratorVersion: newVersions.kubernetes, NodeImageVersion: newVersions.image}
	patched, unmanaged := newVersions, running.DeepCopy()
	patched.unmanaged, unmanaged.UnmanagedOS = true, true
	for _, c := range []struct {
		why     string
		has     versions
		state   v1beta1.ProvisioningState
		again   bool
		aborted bool
		upgrade *v1beta1.PoolUpgrade
		machine v1beta1.Machine
		want    stage
	}{
		{"a pool that is being created has nothing to upgrade", versions{}, v1beta1.StateCreating, false, false, nil, at(newVersions), stageSettled},
		{"all is as it shall be", newVersions, v1beta1.StateSucceeded, false, false, nil, at(newVersions), stageSettled},
		{"a version is asked for", oldVersions, v1beta1.StateSucceeded, true, false, nil, at(oldVersions), stageDue},
		{"what has begun goes on", oldVersions, v1beta1.StateUpgrading, false, false, running, at(oldVersions), stageRolling},
		{"an abort stops what has begun", oldVersions, v1beta1.StateUpgrading, false, true, running, at(oldVersions), stageHalted},
		{"and has nothing to stop in a pool that is done", newVersions, v1beta1.StateSucceeded, false, true, nil, at(newVersions), stageSettled},
		{"what failed stays so", oldVersions, v1beta1.StateFailed, false, false, nil, at(oldVersions), stageHalted},
		{"what was aborted too", oldVersions, v1beta1.StateCanceled, false, false, nil, at(oldVersions), stageHalted},
		{"until it is asked for again", oldVersions, v1beta1.StateFailed, true, false, nil, at(oldVersions), stageDue},
		{"a surge node that is left has to go", newVersions, v1beta1.StateSucceeded, false, false, nil, set(func(m *v1beta1.Machine) { m.Spec.Surge = true }), stageDue},
		{"a quarantined node too, when asked again", newVersions, v1beta1.StateFailed, true, false, nil, set(func(m *v1beta1.Machine) { m.Spec.Quarantined = true }), stageDue},
		{"nodes that patch themselves are to cease to", patched, v1beta1.StateSucceeded, false, false, nil, at(patched), stageDue},
		{"a node that patches itself, and no other", newVersions, v1beta1.StateSucceeded, true, false, nil, at(patched), stageDue},
		{"an upgrade to nodes that patch themselves, which are no longer wanted, is another", newVersions, v1beta1.StateUpgrading, false, false, unmanaged, at(patched), stageDue},
		{"a node that an upgrade left behind", newVersions, v1beta1.StateSucceeded, true, false, nil, at(oldVersions), stageDue},
	} {
		pool := &v1beta1.AgentPool{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
		pool.Status = v1beta1.AgentPoolStatus{ObservedGeneration: 2, ProvisioningState: c.state, Upgrade: c.upgrade,
			CurrentOrchestratorVersion: c.has.kubernetes, NodeImageVersion: c.has.image, UnmanagedOS: c.has.unmanaged}
		if c.aborted {
			pool.Annotations = map[string]string{v1beta1.AnnotationOperation: "op", v1beta1.AnnotationAbort: "op"}
			pool.Status.ObservedOperation = "op"
		}
		if c.again {
			pool.Status.ObservedGeneration = 1
		}
		if got := stageOf(pool, newVersions, []v1beta1.Machine{c.machine}); got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
	}
}
