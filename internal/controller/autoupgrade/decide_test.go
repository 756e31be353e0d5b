package autoupgrade

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/maintenance"
	"berth.dev/berth/internal/release"
)

const (
	oldImage = "BerthDebian-12containerd-202611.01.0"
	newImage = "BerthDebian-12containerd-202611.22.0"
)

// monday is the start of a window of scene.
var monday = time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)

func sceneCatalogue() *release.Catalogue {
	return &release.Catalogue{
		Releases:         []release.Release{{Version: "1.37.2"}, {Version: "1.36.3"}, {Version: "1.36.1"}},
		NodeImageVersion: newImage,
	}
}

// scene is a cluster that runs 1.36.1 on the channel patch with two pools of the
// old image, and a window on Mondays from 02:00 to 06:00.
func scene(now time.Time, change func(*observation)) *observation {
	o := &observation{
		cluster: &v1beta1.ManagedCluster{
			ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: "rg1.c1", UID: "c-1"},
			Spec: v1beta1.ManagedClusterSpec{
				ResourceGroup: "rg1", Name: "c1", KubernetesVersion: "1.36.1",
				AutoUpgradeProfile: &v1beta1.AutoUpgradeProfile{UpgradeChannel: policy.ChannelPatch, NodeOSUpgradeChannel: policy.NodeOSNodeImage},
			},
			Status: v1beta1.ManagedClusterStatus{
				ProvisioningState: v1beta1.StateSucceeded, PowerState: v1beta1.PowerState{Code: v1beta1.PowerRunning}, CurrentKubernetesVersion: "1.36.1", Initialized: true,
			},
		},
		pools: []v1beta1.AgentPool{scenePool("a"), scenePool("b")},
		runs:  map[string]*v1beta1.Operation{}, interval: time.Hour, now: now,
	}
	spec := &v1beta1.MaintenanceConfigurationSpec{Name: v1beta1.MaintenanceAutoUpgrade, MaintenanceWindow: &v1beta1.MaintenanceWindow{
		Schedule:      v1beta1.MaintenanceSchedule{Weekly: &v1beta1.WeeklySchedule{IntervalWeeks: 1, DayOfWeek: "Monday"}},
		DurationHours: 4, StartTime: "02:00",
	}}
	calendar, _ := maintenance.New(spec, monday.AddDate(0, -1, 0), monday.AddDate(0, -1, 0))
	o.calendars = map[string]*maintenance.Calendar{v1beta1.MaintenanceAutoUpgrade: calendar, v1beta1.MaintenanceNodeOS: calendar}
	if change != nil {
		change(o)
	}
	o.work = map[string]work{
		v1beta1.MaintenanceAutoUpgrade: versionWork(o, policy.Versions{Catalogue: sceneCatalogue(), Now: now}),
		v1beta1.MaintenanceNodeOS:      imageWork(o, sceneCatalogue()),
	}
	return o
}

func scenePool(name string) v1beta1.AgentPool {
	return v1beta1.AgentPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: "rg1.c1." + name, UID: types.UID("p-" + name)},
		Spec:       v1beta1.AgentPoolSpec{ResourceGroup: "rg1", ClusterName: "c1", AgentPoolProfile: v1beta1.AgentPoolProfile{Name: name}},
		Status: v1beta1.AgentPoolStatus{
			ProvisioningState: v1beta1.StateSucceeded, CurrentOrchestratorVersion: "1.36.1", NodeImageVersion: oldImage,
		},
	}
}

// running puts a run that began at a time into the status.
func running(o *observation, schedule, target string, at time.Time) v1beta1.AutoUpgradeStatus {
	begun := metav1.NewTime(at)
	run := v1beta1.AutoUpgradeStatus{Schedule: schedule, LastRun: &begun, LastTarget: target, LastResult: resultRunning}
	o.cluster.Status.AutoUpgrades = append(o.cluster.Status.AutoUpgrades, run)
	return run
}

// operations gives parts of a run an operation that stands so.
func operations(o *observation, run v1beta1.AutoUpgradeStatus, code v1beta1.OperationStatusCode, keys ...string) {
	for _, key := range keys {
		name := operationName(o.cluster, run, key)
		o.runs[name] = &v1beta1.Operation{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1beta1.OperationStatus{Status: code}}
		if code == v1beta1.OperationFailed {
			o.runs[name].Status.Error = &v1beta1.OperationError{Code: "UnsatisfiablePDB", Message: "a budget allows no eviction"}
		}
	}
}

func TestDecideVersions(t *testing.T) {
	const schedule = v1beta1.MaintenanceAutoUpgrade
	in := monday.Add(time.Hour)
	for _, c := range []struct {
		why    string
		now    time.Time
		change func(*observation)
		// begins and the parts of the status that must be so; "~" before a text means that it holds it.
		begins                  bool
		target, result, skipped string
		next                    time.Time
	}{
		{"before the window the next run is announced", monday.Add(-time.Hour), nil, false, "1.36.3", "", "", monday},
		{"in the window it starts", in, nil, true, "1.36.3", resultRunning, "", time.Time{}},
		{"at its end it does not", monday.Add(4 * time.Hour), nil, false, "1.36.3", "", "", monday.AddDate(0, 0, 7)},
		{"without a channel nothing is due", in, func(o *observation) { o.cluster.Spec.AutoUpgradeProfile.UpgradeChannel = "none" }, false, "", "", "", time.Time{}},
		{"at the newest patch nothing is due", in, func(o *observation) {
			o.cluster.Status.CurrentKubernetesVersion = "1.36.3"
			o.pools[0].Status.CurrentOrchestratorVersion, o.pools[1].Status.CurrentOrchestratorVersion = "1.36.3", "1.36.3"
		}, false, "", "", "", time.Time{}},
		{"a pool that was left behind is brought along", in, func(o *observation) {
			o.cluster.Status.CurrentKubernetesVersion = "1.36.3"
			o.pools[0].Status.CurrentOrchestratorVersion = "1.36.3"
		}, true, "1.36.3", resultRunning, "", time.Time{}},
		{"out of support, the customer is told what to do", in, func(o *observation) { o.cluster.Status.CurrentKubernetesVersion = "1.30.1" }, false, "", "", "~out of support", time.Time{}},
		{"a stopped cluster has no maintenance", in, func(o *observation) { o.cluster.Status.PowerState.Code = v1beta1.PowerStopped }, false, "1.36.3", "", "~is open, but the cluster is stopped", monday},
		{"nor has one that is being changed", in, func(o *observation) { o.cluster.Status.ProvisioningState = v1beta1.StateUpdating }, false, "1.36.3", "", "~the cluster is Updating", monday},
		{"nor one that never came up", in, func(o *observation) {
			o.cluster.Status.ProvisioningState, o.cluster.Status.Initialized = v1beta1.StateFailed, false
		}, false, "1.36.3", "", "~the cluster has never run", monday},
		{"nor one whose upgrade cannot go on", in, func(o *observation) {
			o.cluster.Status.ProvisioningState = v1beta1.StateFailed
			o.cluster.Status.Upgrade = &v1beta1.ControlPlaneUpgrade{From: "1.36.1", To: "1.36.3", Phase: v1beta1.UpgradeRollBack}
		}, false, "1.36.3", "", "~the control plane is between Kubernetes 1.36.1 and 1.36.3", monday},
		{"one that failed is asked for again what it failed at", in, func(o *observation) {
			o.cluster.Status.ProvisioningState = v1beta1.StateFailed
			o.cluster.Status.Upgrade = &v1beta1.ControlPlaneUpgrade{From: "1.36.1", To: "1.36.3", Phase: v1beta1.UpgradeFailed}
		}, true, "1.36.3", resultRunning, "", time.Time{}},
		{"also by the run that failed, in the next window", monday.AddDate(0, 0, 7), func(o *observation) {
			o.cluster.Status.ProvisioningState = v1beta1.StateFailed
			running(o, schedule, "1.36.3", in)
			o.cluster.Status.AutoUpgrades[0].LastResult = "Failed: UpgradeFailed: x"
		}, true, "1.36.3", resultRunning, "", time.Time{}},
		{"but not in the same", monday.Add(2 * time.Hour), func(o *observation) {
			o.cluster.Status.ProvisioningState = v1beta1.StateFailed
			running(o, schedule, "1.36.3", in)
			o.cluster.Status.AutoUpgrades[0].LastResult = "Failed: UpgradeFailed: x"
		}, false, "1.36.3", "Failed: UpgradeFailed: x", "", monday.AddDate(0, 0, 7)},
		{"a pool that failed or was aborted is brought along again", in, func(o *observation) {
			o.pools[0].Status.ProvisioningState, o.pools[1].Status.ProvisioningState = v1beta1.StateFailed, v1beta1.StateCanceled
		}, true, "1.36.3", resultRunning, "", time.Time{}},
		{"somebody else's operation goes first", in, func(o *observation) { o.busy = "another operation (x - Scaling) is in progress" }, false, "1.36.3", "", "~another operation (x - Scaling)", monday},
		{"so does a pool that is being changed", in, func(o *observation) { o.pools[1].Status.ProvisioningState = v1beta1.StateScaling }, false, "1.36.3", "", "~node pool b is Scaling", monday},
		{"a window that passed is remembered", monday.Add(5 * time.Hour), func(o *observation) {
			o.cluster.Status.AutoUpgrades = []v1beta1.AutoUpgradeStatus{{Schedule: schedule, Target: "1.36.3", NextRun: &metav1.Time{Time: monday},
				Skipped: "the window of 2026-11-23T02:00:00Z is open, but the cluster is stopped"}}
		}, false, "1.36.3", "", "the window of 2026-11-23T02:00:00Z passed: the cluster is stopped", monday.AddDate(0, 0, 7)},
		{"also one that Berth slept through", monday.Add(5 * time.Hour), func(o *observation) {
			o.cluster.Status.AutoUpgrades = []v1beta1.AutoUpgradeStatus{{Schedule: schedule, Target: "1.36.3", NextRun: &metav1.Time{Time: monday}}}
		}, false, "1.36.3", "", "~passed while Berth did not run", monday.AddDate(0, 0, 7)},
		{"what failed in this window is tried in the next one", monday.Add(2 * time.Hour), func(o *observation) {
			running(o, schedule, "1.36.3", in)
			o.cluster.Status.AutoUpgrades[0].LastResult = "Failed: UnsatisfiablePDB: x"
		}, false, "1.36.3", "Failed: UnsatisfiablePDB: x", "", monday.AddDate(0, 0, 7)},
		{"something newer may follow in the same window", monday.Add(2 * time.Hour), func(o *observation) {
			running(o, schedule, "1.36.2", in)
			o.cluster.Status.AutoUpgrades[0].LastResult = resultSucceeded
		}, true, "1.36.3", resultRunning, "", time.Time{}},
		{"a run is followed", in, func(o *observation) {
			operations(o, running(o, schedule, "1.36.3", monday), v1beta1.OperationInProgress, "c-1")
		}, false, "1.36.3", resultRunning, "", time.Time{}},
		{"also past the end of its window", monday.Add(9 * time.Hour), func(o *observation) {
			operations(o, running(o, schedule, "1.36.3", monday), v1beta1.OperationInProgress, "c-1")
		}, false, "1.36.3", resultRunning, "", time.Time{}},
		{"until it has succeeded", in, func(o *observation) {
			operations(o, running(o, schedule, "1.36.3", monday), v1beta1.OperationSucceeded, "c-1")
		}, false, "", resultSucceeded, "", time.Time{}},
		{"or failed, and then why", in, func(o *observation) {
			operations(o, running(o, schedule, "1.36.3", monday), v1beta1.OperationFailed, "c-1")
		}, false, "", "Failed: UnsatisfiablePDB: a budget allows no eviction", "", time.Time{}},
		{"a run whose process died before its operation is begun again", in, func(o *observation) { running(o, schedule, "1.36.3", monday) }, true, "1.36.3", resultRunning, "", time.Time{}},
		{"but not after its window", monday.Add(5 * time.Hour), func(o *observation) { running(o, schedule, "1.36.3", monday) }, false, "", "~Incomplete: the window closed before the cluster began", "", time.Time{}},
		{"nor for a target that is none any more", in, func(o *observation) { running(o, schedule, "1.36.2", monday) }, false, "", "Superseded by 1.36.3", "", time.Time{}},
		{"nor when the channel was turned off", in, func(o *observation) {
			running(o, schedule, "1.36.3", monday)
			o.cluster.Spec.AutoUpgradeProfile.UpgradeChannel = "none"
		}, false, "", "~nothing was left to do", "", time.Time{}},
		{"nor while somebody else works on the cluster", in, func(o *observation) {
			running(o, schedule, "1.36.3", monday)
			o.busy = "another operation (x - Scaling) is in progress"
		}, false, "1.36.3", resultRunning, "~the cluster waits: another operation", time.Time{}},
		{"one run at a time", in, func(o *observation) { running(o, v1beta1.MaintenanceNodeOS, newImage, monday) }, false, "1.36.3", "", "~the run of aksManagedNodeOSUpgradeSchedule is under way", monday},
	} {
		t.Run(c.why, func(t *testing.T) {
			o := scene(c.now, c.change)
			got := decide(o, schedule)
			if (got.begin != nil) != c.begins || got.status.Target != c.target || !same(got.status.LastResult, c.result) || !same(got.status.Skipped, c.skipped) {
				t.Errorf("begins %t, status %+v", got.begin != nil, got.status)
			}
			if next := got.status.NextRun; (next == nil) != c.next.IsZero() || next != nil && !next.Time.Equal(c.next) {
				t.Errorf("next run %v, want %v", next, c.next)
			}
			if got.status.NextRun != nil && got.again.IsZero() {
				t.Error("nothing wakes up for the next run")
			}
		})
	}
}

func same(got, want string) bool {
	if part, ok := strings.CutPrefix(want, "~"); ok {
		return strings.Contains(got, part)
	}
	return got == want
}

// An upgrade of the cluster is what a PUT of it with all its pools is.
func TestVersionWork(t *testing.T) {
	o := scene(monday, func(o *observation) {
		o.pools[1].Status.CurrentOrchestratorVersion = "1.36.3"
		o.pools[1].Spec.OrchestratorVersion = "1.36.3"
	})
	spec := o.work[v1beta1.MaintenanceAutoUpgrade].parts[0].spec
	if spec.State != v1beta1.StateUpgrading || spec.Target.Name != "rg1.c1" || spec.Desired.Cluster.KubernetesVersion != "1.36.3" || spec.RequestedBy == "" {
		t.Errorf("operation %+v", spec)
	}
	if pools := spec.Desired.AgentPools; len(pools) != 1 || pools[0].Name != "a" || pools[0].OrchestratorVersion != "1.36.3" {
		t.Errorf("pools %+v", spec.Desired.AgentPools)
	}
	if o.cluster.Spec.KubernetesVersion != "1.36.1" || o.pools[0].Spec.OrchestratorVersion != "" {
		t.Error("what was observed was changed")
	}
}

// Node images go pool by pool.
func TestDecideNodeImages(t *testing.T) {
	const schedule = v1beta1.MaintenanceNodeOS
	in := monday.Add(time.Hour)
	for _, c := range []struct {
		why            string
		now            time.Time
		change         func(*observation)
		begins, result string
	}{
		{"the first pool goes first", in, nil, "node pool a", resultRunning},
		{"also in a cluster whose control plane could not be upgraded", in, func(o *observation) {
			o.cluster.Status.ProvisioningState = v1beta1.StateFailed
			running(o, v1beta1.MaintenanceAutoUpgrade, "1.36.3", monday)
			o.cluster.Status.AutoUpgrades[0].LastResult = "Failed: UpgradeFailed: x"
		}, "node pool a", resultRunning},
		{"a pool with the newest image is left alone", in, func(o *observation) { o.pools[0].Status.NodeImageVersion = newImage }, "node pool b", resultRunning},
		{"also one with a newer image than ours", in, func(o *observation) {
			o.pools[0].Status.NodeImageVersion = "BerthDebian-12containerd-202612.01.0"
		}, "node pool b", resultRunning},
		{"a pool that is still being made will have it", in, func(o *observation) { o.pools[0].Status.NodeImageVersion = "" }, "node pool b", resultRunning},
		{"a stopped pool is upgraded, and gets it when it starts", in, func(o *observation) { o.pools[0].Status.PowerState.Code = v1beta1.PowerStopped }, "node pool a", resultRunning},
		{"once", in, func(o *observation) {
			o.pools[0].Status.PowerState.Code, o.pools[0].Spec.NodeImageVersion = v1beta1.PowerStopped, newImage
		}, "node pool b", resultRunning},
		{"the second waits for the first", in, func(o *observation) {
			operations(o, running(o, schedule, newImage, monday), v1beta1.OperationInProgress, "p-a")
		}, "", resultRunning},
		{"and follows it", in, func(o *observation) {
			operations(o, running(o, schedule, newImage, monday), v1beta1.OperationSucceeded, "p-a")
			o.pools[0].Status.NodeImageVersion = newImage
		}, "node pool b", resultRunning},
		{"even when the cache has not seen the first one's image yet", in, func(o *observation) {
			operations(o, running(o, schedule, newImage, monday), v1beta1.OperationSucceeded, "p-a")
		}, "node pool b", resultRunning},
		{"but not after the window", monday.Add(5 * time.Hour), func(o *observation) {
			operations(o, running(o, schedule, newImage, monday), v1beta1.OperationSucceeded, "p-a")
		}, "", "Incomplete: the window closed before node pool b began"},
		{"a failure ends the run", in, func(o *observation) {
			operations(o, running(o, schedule, newImage, monday), v1beta1.OperationFailed, "p-a")
		}, "", "Failed: UnsatisfiablePDB: a budget allows no eviction"},
		{"after the last pool it has succeeded", in, func(o *observation) {
			operations(o, running(o, schedule, newImage, monday), v1beta1.OperationSucceeded, "p-a", "p-b")
		}, "", resultSucceeded},
		{"a newer image in the middle ends it", in, func(o *observation) {
			operations(o, running(o, schedule, oldImage, monday), v1beta1.OperationSucceeded, "p-a")
		}, "", "Superseded by " + newImage},
		{"None is none", in, func(o *observation) { o.cluster.Spec.AutoUpgradeProfile.NodeOSUpgradeChannel = policy.NodeOSNone }, "", ""},
	} {
		t.Run(c.why, func(t *testing.T) {
			got := decide(scene(c.now, c.change), schedule)
			begins := ""
			if got.begin != nil {
				begins = got.begin.name
				if pools := got.begin.spec.Desired.AgentPools; len(pools) != 1 || pools[0].NodeImageVersion != newImage || got.begin.spec.State != v1beta1.StateUpgradingNodeImage {
					t.Errorf("begins %+v", got.begin.spec)
				}
			}
			if begins != c.begins || got.status.LastResult != c.result {
				t.Errorf("begins %q, status %+v", begins, got.status)
			}
		})
	}
}

// Only one of two schedules whose windows are open begins, and the version goes first.
func TestVersionsGoFirst(t *testing.T) {
	next, begin, _ := decideAll(scene(monday, nil))
	if begin == nil || begin.run.Schedule != v1beta1.MaintenanceAutoUpgrade || len(next) != 2 || next[1].LastResult != "" || !same(next[1].Skipped, "~about to begin") {
		t.Errorf("%+v, %+v", begin, next)
	}
}

// Without a maintenance configuration each cluster has its turn once an interval,
// announced before; what failed is tried again after a day.
func TestWithoutConfiguration(t *testing.T) {
	bare := func(now time.Time, change func(*observation)) *observation {
		return scene(now, func(o *observation) {
			o.calendars = nil
			if change != nil {
				change(o)
			}
		})
	}
	first := decide(bare(monday, nil), v1beta1.MaintenanceAutoUpgrade)
	next := first.status.NextRun
	if first.begin != nil || next == nil || next.Time.Before(monday) || next.Time.After(monday.Add(time.Hour)) {
		t.Fatalf("first look: %+v", first.status)
	}
	remembered := func(o *observation) { o.cluster.Status.AutoUpgrades = []v1beta1.AutoUpgradeStatus{first.status} }
	if early := decide(bare(next.Add(-time.Second), remembered), v1beta1.MaintenanceAutoUpgrade); early.begin != nil || !early.status.NextRun.Equal(next) {
		t.Errorf("a second early: %+v", early.status)
	}
	if late := decide(bare(next.Add(30*time.Hour), remembered), v1beta1.MaintenanceAutoUpgrade); late.begin == nil {
		t.Errorf("an announced run is not lost when Berth sleeps: %+v", late.status)
	}
	failed := func(o *observation) {
		running(o, v1beta1.MaintenanceAutoUpgrade, "1.36.3", monday)
		o.cluster.Status.AutoUpgrades[0].LastResult = "Failed: X: y"
		o.cluster.Status.ProvisioningState = v1beta1.StateFailed
	}
	again := decide(bare(monday.Add(2*time.Hour), failed), v1beta1.MaintenanceAutoUpgrade)
	if again.begin != nil || again.status.NextRun.Time.Before(monday.Add(24*time.Hour)) || again.status.NextRun.Time.After(monday.Add(25*time.Hour)) {
		t.Errorf("after a failure: %+v", again.status)
	}
	if retry := decide(bare(monday.Add(25*time.Hour), failed), v1beta1.MaintenanceAutoUpgrade); retry.begin == nil {
		t.Errorf("a day later: %+v", retry.status)
	}
	other := bare(monday, func(o *observation) { o.cluster.UID = "c-2" })
	if slot := other.slot(monday); slot.Equal(next.Time) {
		t.Errorf("two clusters have the same turn, %s", slot)
	}
}
