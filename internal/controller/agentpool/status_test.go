package agentpool

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newView(count int32, machines ...v1beta1.Machine) view {
	return view{
		pool: &v1beta1.AgentPool{
			ObjectMeta: metav1.ObjectMeta{Name: poolObject, Generation: 2},
			Spec:       v1beta1.AgentPoolSpec{AgentPoolProfile: v1beta1.AgentPoolProfile{Name: "pool", Count: &count}},
		},
		machines: machines,
		stage:    stageSettled,
		template: v1beta1.MachineSpec{ClusterID: "id", KubernetesVersion: "1.37.2", NodeImageVersion: "BerthDebian-12containerd-202602.01.0"},
		timeout:  30 * time.Minute,
		now:      epoch,
	}
}

// last sets what the pool's status was before.
func (v view) last(generation int64, state v1beta1.ProvisioningState, power v1beta1.PowerCode) view {
	v.pool.Status.ObservedGeneration, v.pool.Status.ProvisioningState, v.pool.Status.PowerState.Code = generation, state, power
	return v
}

func (v view) stopped() view {
	v.off = true
	return v
}

// The power code changes when a stop or start has ended, and not before.
func TestPowerCode(t *testing.T) {
	v := newView(1, leavingAt(3))
	v.pool.Status.NextOrdinal = 4
	for _, c := range []struct {
		why      string
		off      bool
		machines []v1beta1.Machine
		want     v1beta1.PowerCode
	}{
		{"nodes still leave", true, v.machines, v1beta1.PowerRunning},
		{"all have left", true, nil, v1beta1.PowerStopped},
		{"nodes boot", false, []v1beta1.Machine{machineAt(0, v1beta1.MachineBooting)}, v1beta1.PowerStopped},
		{"all are Ready", false, []v1beta1.Machine{machineAt(0, v1beta1.MachineReady)}, v1beta1.PowerRunning},
	} {
		last := v.pool.Status
		if last.PowerState.Code == "" {
			v.last(2, v1beta1.StateSucceeded, v1beta1.PowerRunning)
		}
		v.off, v.machines = c.off, c.machines
		v.pool.Status = nextStatus(v)
		if got := v.pool.Status.PowerState.Code; got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
		if c.want == v1beta1.PowerStopped && c.off && v.pool.Status.NextOrdinal != 0 {
			t.Errorf("the nodes of the next start begin with ordinal %d, want the same names again", v.pool.Status.NextOrdinal)
		}
	}
}

func TestStartTimesOut(t *testing.T) {
	v := newView(1).stopped().last(2, v1beta1.StateSucceeded, v1beta1.PowerStopped)
	v.pool.Status = nextStatus(v)
	v.off, v.machines, v.now = false, []v1beta1.Machine{machineAt(0, v1beta1.MachineBooting)}, epoch.Add(24*time.Hour)
	if v.pool.Status = nextStatus(v); v.pool.Status.ProvisioningState != v1beta1.StateStarting {
		t.Fatalf("a day after the stop a start begins as %s", v.pool.Status.ProvisioningState)
	}
	v.now = v.now.Add(v.timeout)
	if s := nextStatus(v); s.ProvisioningState != v1beta1.StateFailed || s.PowerState.Code != v1beta1.PowerStopped {
		t.Errorf("nodes that never come: %s, %s; want Failed and still Stopped", s.ProvisioningState, s.PowerState.Code)
	}
}

func TestNextStatus(t *testing.T) {
	ready := machineAt(0, v1beta1.MachineReady)
	unsettled := machineAt(0, v1beta1.MachineReady)
	unsettled.Generation = 2
	old := machineAt(0, v1beta1.MachineReady)
	old.Status.KubernetesVersion, old.Status.NodeImageVersion = "1.36.3", old.Spec.NodeImageVersion
	mislabelled := machineAt(0, v1beta1.MachineReady)
	mislabelled.Spec.Labels = map[string]string{"gone": "x"}
	gone := newView(1, ready)
	gone.pool.DeletionTimestamp = &metav1.Time{Time: epoch}
	early := newView(0)
	early.template = v1beta1.MachineSpec{}
	refused := newView(1)
	refused.failure = &v1beta1.OperationError{Code: "K8sVersionNotSupported"}
	for _, c := range []struct {
		why  string
		view view
		want v1beta1.ProvisioningState
	}{
		{"a pool that never ran is created", newView(1), v1beta1.StateCreating},
		{"all nodes Ready ends it", newView(1, ready), v1beta1.StateSucceeded},
		{"a node that boots holds it", newView(1, machineAt(0, v1beta1.MachineBooting)), v1beta1.StateCreating},
		{"labels that are not on the node yet hold it", newView(1, unsettled).last(1, v1beta1.StateSucceeded, v1beta1.PowerRunning), v1beta1.StateUpdating},
		{"labels that the machine was not told of hold it", newView(1, mislabelled).last(1, v1beta1.StateSucceeded, v1beta1.PowerRunning), v1beta1.StateUpdating},
		{"a node that is not made of what its machine says holds it", newView(1, old).last(1, v1beta1.StateSucceeded, v1beta1.PowerRunning), v1beta1.StateUpdating},
		{"a running pool that grows is scaling", newView(2, ready).last(1, v1beta1.StateSucceeded, v1beta1.PowerRunning), v1beta1.StateScaling},
		{"machines that leave are waited for", newView(1, ready, leavingAt(1)).last(1, v1beta1.StateSucceeded, v1beta1.PowerRunning), v1beta1.StateScaling},
		{"a node that fails later does not undo a success", newView(1, machineAt(0, v1beta1.MachineJoined)).last(2, v1beta1.StateSucceeded, v1beta1.PowerRunning), v1beta1.StateSucceeded},
		{"an empty pool has succeeded", newView(0), v1beta1.StateSucceeded},
		{"an empty pool waits for its control plane all the same", early, v1beta1.StateCreating},
		{"what cannot be fails at once", refused, v1beta1.StateFailed},
		{"a pool that failed goes on trying", newView(1, ready).last(2, v1beta1.StateFailed, ""), v1beta1.StateSucceeded},
		{"a pool that stops waits for its nodes", newView(1, leavingAt(0)).stopped().last(2, v1beta1.StateSucceeded, v1beta1.PowerRunning), v1beta1.StateStopping},
		{"a stopped pool has no machines and has succeeded", newView(1).stopped().last(2, v1beta1.StateStopping, v1beta1.PowerRunning), v1beta1.StateSucceeded},
		{"a pool that starts waits for its nodes", newView(1, machineAt(0, v1beta1.MachineBooting)).last(2, v1beta1.StateSucceeded, v1beta1.PowerStopped), v1beta1.StateStarting},
		{"and runs when they are Ready", newView(1, ready).last(2, v1beta1.StateStarting, v1beta1.PowerStopped), v1beta1.StateSucceeded},
		{"deletion goes before everything", gone, v1beta1.StateDeleting},
	} {
		got := nextStatus(c.view)
		if got.ProvisioningState != c.want || got.ObservedGeneration != 2 {
			t.Errorf("%s: %s at generation %d, want %s", c.why, got.ProvisioningState, got.ObservedGeneration, c.want)
		}
		if (got.ProvisioningState == v1beta1.StateFailed) != (got.Error != nil) {
			t.Errorf("%s: %s with error %v", c.why, got.ProvisioningState, got.Error)
		}
	}
}

func TestStatusTimesOutOnceAndNotForANewerGeneration(t *testing.T) {
	v := newView(2, machineAt(0, v1beta1.MachineBooting))
	v.machines[0].Status.Message = "ErrImagePull"
	step := func(after time.Duration) v1beta1.AgentPoolStatus {
		v.now = epoch.Add(after)
		v.pool.Status = nextStatus(v)
		return v.pool.Status
	}
	if s := step(0); s.ProvisioningState != v1beta1.StateCreating || s.Count != 1 || s.ReadyCount != 0 {
		t.Fatalf("at the start %+v", s)
	}
	if s := step(29 * time.Minute); s.ProvisioningState != v1beta1.StateCreating {
		t.Fatalf("before the timeout %s", s.ProvisioningState)
	}
	s := step(30 * time.Minute)
	if s.ProvisioningState != v1beta1.StateFailed || s.Error.Code != CodeNodesNotReady {
		t.Fatalf("at the timeout %s, %+v", s.ProvisioningState, s.Error)
	}
	want := "Agent pool pool was not ready within 30m0s: " + v.machines[0].Spec.NodeName + " Booting (ErrImagePull); 1 machines of 2"
	if s.Error.Message != want {
		t.Errorf("error %q, want %q", s.Error.Message, want)
	}
	v.pool.Generation++
	if s := step(31 * time.Minute); s.ProvisioningState != v1beta1.StateCreating {
		t.Errorf("a new generation starts as %s, want a new clock", s.ProvisioningState)
	}
}

func TestStatusReportsVersionsThatRun(t *testing.T) {
	v := newView(2, machineAt(0, v1beta1.MachineReady), machineAt(1, v1beta1.MachineReady))
	v.machines[1].Spec.NodeImageVersion, v.machines[1].Status.NodeImageVersion = v.template.NodeImageVersion, v.template.NodeImageVersion
	s := nextStatus(v)
	if s.CurrentOrchestratorVersion != "1.37.2" || s.NodeImageVersion != "BerthDebian-12containerd-202601.01.0" {
		t.Errorf("versions %s and %s, want that of the kubelets and the oldest image", s.CurrentOrchestratorVersion, s.NodeImageVersion)
	}
	if s.Count != 2 || s.ReadyCount != 2 || s.PowerState.Code != v1beta1.PowerRunning {
		t.Errorf("status %+v", s)
	}
	if !slices.ContainsFunc(s.Conditions, func(c metav1.Condition) bool {
		return c.Type == v1beta1.ConditionConverged && c.Status == metav1.ConditionTrue && c.ObservedGeneration == 2
	}) {
		t.Errorf("conditions %+v", s.Conditions)
	}
}

func TestVersion(t *testing.T) {
	catalogue := &release.Catalogue{Releases: []release.Release{
		{Version: "1.37.2", State: release.Supported, Default: true},
		{Version: "1.36.4", State: release.Supported}, {Version: "1.36.3", State: release.Supported},
	}}
	for _, c := range []struct {
		why                       string
		asked, has, current, spec string
		want                      string
	}{
		{"a pool follows its control plane", "", "", "1.36.3", "1.36", "1.36.3"},
		{"before the control plane runs, what it will run", "", "", "", "1.36", "1.36.4"},
		{"a cluster without a version gets the default", "", "", "", "", "1.37.2"},
		{"an alias is its latest patch", "1.36", "", "1.37.2", "", "1.36.4"},
		{"but never one that is ahead of the control plane", "1.36", "", "1.36.3", "", "1.36.3"},
		{"a patch is itself", "1.36.3", "", "1.37.2", "", "1.36.3"},
		{"an alias does not move a pool that runs", "1.36", "1.36.3", "1.37.2", "", "1.36.3"},
		{"a newer control plane does not move a pool", "", "1.36.3", "1.37.2", "", "1.36.3"},
		{"another version is another version", "1.37", "1.36.3", "1.37.2", "", "1.37.2"},
	} {
		pool, cluster := &v1beta1.AgentPool{}, &v1beta1.ManagedCluster{}
		pool.Spec.OrchestratorVersion, pool.Status.CurrentOrchestratorVersion = c.asked, c.has
		cluster.Status.CurrentKubernetesVersion, cluster.Spec.KubernetesVersion = c.current, c.spec
		if got, failure := version(catalogue, pool, cluster); got != c.want || failure != nil {
			t.Errorf("%s: %q, %v; want %q", c.why, got, failure, c.want)
		}
	}
	pool := &v1beta1.AgentPool{Spec: v1beta1.AgentPoolSpec{AgentPoolProfile: v1beta1.AgentPoolProfile{OrchestratorVersion: "1.20"}}}
	if _, failure := version(catalogue, pool, &v1beta1.ManagedCluster{}); failure == nil || failure.Code != "K8sVersionNotSupported" {
		t.Errorf("a version that is not there: %v", failure)
	}
}

// A pool that asks for what a newer build of Berth may know is left to that for a while; it
// does not fail.
func TestPoolOfNewerBerth(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	r := &Reconciler{}
	r.Catalogue, r.Now = &release.Catalogue{Releases: []release.Release{{Version: "1.36.3"}}}, func() time.Time { return now }
	for _, c := range []struct {
		asked string
		ago   time.Duration
		want  bool
	}{{"1.36.3", 0, false}, {"1.36.9", time.Second, true}, {"1.36.9", time.Hour, false}} {
		pool := &v1beta1.AgentPool{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(now.Add(-c.ago))}}
		pool.Spec.OrchestratorVersion = c.asked
		if got := r.ofNewer(pool, &v1beta1.ManagedCluster{}); got != c.want {
			t.Errorf("%s, %s ago: %t", c.asked, c.ago, got)
		}
	}
}
