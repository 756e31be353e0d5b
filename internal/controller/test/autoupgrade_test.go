package test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
)

const day = 24 * time.Hour

// A cluster's node images and then its version come by themselves, each in its own
// window, announced before and told after.
func TestAutoUpgrade(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	autoUpgradeLife(w)
	t.Logf("%d side effects", w.live().guard.effects())
}

// The same, with the controllers killed over and over: nothing begins twice. Which
// side effect is each life's second is chance, so that those of an automatic upgrade
// are named: each ends one life.
func TestCrashDuringAutoUpgrade(t *testing.T) {
	w := newWorld(t)
	parts := []string{"create Operation", "apply status ManagedCluster", "update AgentPool"}
	left := slices.Clone(parts)
	first := func(what string) bool {
		n := slices.IndexFunc(left, func(part string) bool { return strings.HasPrefix(what, part) })
		if n >= 0 {
			left = slices.Delete(left, n, n+1)
		}
		return n >= 0
	}
	w.nextGuard = func() *guard {
		g := newGuard(2, w.client)
		g.killAfter = first
		return g
	}
	w.start(w.nextGuard())
	autoUpgradeLife(w)
	t.Logf("died %d times, at %d different points", len(w.deaths), len(slices.Compact(slices.Sorted(slices.Values(w.deaths)))))
	for _, part := range parts {
		if !slices.ContainsFunc(w.deaths, func(death string) bool { return strings.HasPrefix(death, part) }) {
			t.Errorf("never died after %s: %q", part, w.deaths)
		}
	}
}

// today is the maintenance calendar's clock.
func (w *world) today() time.Time { return w.now().Add(time.Duration(w.later.Load())) }

func autoUpgradeLife(w *world) {
	w.t.Helper()
	const oldImage = "BerthDebian-12containerd-202611.01.0"
	create := w.createOperation("op-create")
	create.Spec.Desired.Cluster.KubernetesVersion = "1.36.3"
	create.Spec.Desired.AgentPools[0].NodeImageVersion = oldImage
	w.request(create)
	w.succeed("op-create")
	names := w.nodeNames()
	w.checkNodes("1.36.3", oldImage, names)

	images, versions := w.today().Add(day).Truncate(time.Minute), w.today().Add(2*day).Truncate(time.Minute)
	w.configure(v1beta1.MaintenanceNodeOS, images)
	w.configure(v1beta1.MaintenanceAutoUpgrade, versions)
	channels := w.channelOperation("op-channels")
	w.request(channels)
	w.succeed("op-channels")
	w.untilAutoUpgrade(v1beta1.MaintenanceNodeOS, func(s v1beta1.AutoUpgradeStatus) bool {
		return s.Target == catalogue().NodeImageVersion && s.NextRun != nil && s.NextRun.Time.Equal(images) && s.LastRun == nil
	})
	w.untilAutoUpgrade(v1beta1.MaintenanceAutoUpgrade, func(s v1beta1.AutoUpgradeStatus) bool {
		return s.Target == "1.37.2" && s.NextRun != nil && s.NextRun.Time.Equal(versions) && s.LastRun == nil
	})
	w.checkAutomatic(0)

	w.later.Add(int64(day))
	w.poke()
	w.untilAutoUpgrade(v1beta1.MaintenanceNodeOS, func(s v1beta1.AutoUpgradeStatus) bool {
		return s.LastResult == "Succeeded" && s.LastTarget == catalogue().NodeImageVersion && s.Target == ""
	})
	w.checkNodes("1.36.3", catalogue().NodeImageVersion, names)
	w.checkAutomatic(1)

	w.later.Add(int64(day))
	w.poke()
	w.untilAutoUpgrade(v1beta1.MaintenanceAutoUpgrade, func(s v1beta1.AutoUpgradeStatus) bool {
		return s.LastResult == "Succeeded" && s.LastTarget == "1.37.2" && s.Target == ""
	})
	w.checkNodes("1.37.2", catalogue().NodeImageVersion, names)
	w.checkAutomatic(2)
	w.delete()
	w.checkGone()
}

// A channel's upgrade that a budget would hold up does not begin, and says so; it
// begins in the same window once the budget is gone.
func TestAutoUpgradeMeetsABudget(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	const oldImage = "BerthDebian-12containerd-202611.01.0"
	create := w.createOperation("op-create")
	create.Spec.Desired.AgentPools[0].NodeImageVersion = oldImage
	w.request(create)
	w.succeed("op-create")
	names := w.nodeNames()
	w.checkNodes("1.37.2", oldImage, names)
	budget := w.protect(names[0])

	w.configure(v1beta1.MaintenanceNodeOS, w.today().Add(day).Truncate(time.Minute))
	channels := w.channelOperation("op-channels")
	w.request(channels)
	w.succeed("op-channels")
	w.later.Add(int64(day))
	w.poke()
	w.untilAutoUpgrade(v1beta1.MaintenanceNodeOS, func(s v1beta1.AutoUpgradeStatus) bool {
		return s.LastRun == nil && strings.Contains(s.Skipped, "is open, but UnsatisfiablePDB: PDB default/web has ") && strings.Contains(s.Skipped, names[0])
	})
	w.checkAutomatic(0)
	w.checkNodes("1.37.2", oldImage, names)

	if err := w.client.Delete(t.Context(), budget); err != nil {
		t.Fatal(err)
	}
	w.later.Add(int64(10 * time.Minute)) // what the gates said holds for five
	w.poke()
	w.untilAutoUpgrade(v1beta1.MaintenanceNodeOS, func(s v1beta1.AutoUpgradeStatus) bool {
		return s.LastResult == "Succeeded" && s.LastTarget == catalogue().NodeImageVersion && s.Skipped == ""
	})
	w.checkNodes("1.37.2", catalogue().NodeImageVersion, names)
	w.checkAutomatic(1)
	w.delete()
	w.checkGone()
}

// configure makes a maintenance configuration with a window of four hours a week
// from a moment on.
func (w *world) configure(name string, start time.Time) {
	w.t.Helper()
	start = start.UTC()
	config := &v1beta1.MaintenanceConfiguration{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: v1beta1.ObjectName("Group", "Demo", name)},
		Spec: v1beta1.MaintenanceConfigurationSpec{ResourceGroup: "Group", ClusterName: "Demo", Name: name, MaintenanceWindow: &v1beta1.MaintenanceWindow{
			Schedule:      v1beta1.MaintenanceSchedule{Daily: &v1beta1.DailySchedule{IntervalDays: 7}},
			DurationHours: 4, StartDate: start.Format(time.DateOnly), StartTime: start.Format("15:04"),
		}},
	}
	operation.Attach(config, w.cluster())
	operation.MarkSaved(config, w.today())
	sent := config.DeepCopy()
	err := w.client.Create(w.t.Context(), config)
	if apierrors.IsAlreadyExists(err) { // a request whose answer was lost is sent again
		if err = w.client.Get(w.t.Context(), client.ObjectKeyFromObject(sent), config); err == nil && !equality.Semantic.DeepEqual(sent.Spec, config.Spec) {
			err = fmt.Errorf("there is another %s", config.Name)
		}
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// channelOperation turns the channels on.
func (w *world) channelOperation(name string) *v1beta1.Operation {
	op := w.createOperation(name)
	op.Spec.State = v1beta1.StateUpdating
	op.Spec.Desired = &v1beta1.DesiredState{Cluster: w.cluster().Spec.DeepCopy()}
	op.Spec.Desired.Cluster.AutoUpgradeProfile = &v1beta1.AutoUpgradeProfile{UpgradeChannel: "rapid", NodeOSUpgradeChannel: "NodeImage"}
	return op
}

// poke makes the controller look at its clock, which would else wake it in time.
func (w *world) poke() {
	w.t.Helper()
	cluster := w.cluster()
	patch := client.MergeFrom(cluster.DeepCopy())
	cluster.Annotations["test/looked"] = w.today().String()
	if err := w.client.Patch(w.t.Context(), cluster, patch); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) untilAutoUpgrade(schedule string, met func(v1beta1.AutoUpgradeStatus) bool) {
	w.t.Helper()
	var last []v1beta1.AutoUpgradeStatus
	err := wait.PollUntilContextTimeout(w.t.Context(), pollEvery, patience, true, func(context.Context) (bool, error) {
		w.live()
		last = w.cluster().Status.AutoUpgrades
		return slices.ContainsFunc(last, func(s v1beta1.AutoUpgradeStatus) bool { return s.Schedule == schedule && met(s) }), nil
	})
	if err != nil {
		w.t.Fatalf("%s: %+v\n%s", schedule, last, w.dump())
	}
}

// checkAutomatic counts the operations that nobody asked for.
func (w *world) checkAutomatic(want int) {
	w.t.Helper()
	var list v1beta1.OperationList
	if err := w.client.List(w.t.Context(), &list, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	got := 0
	for _, op := range list.Items {
		if op.Spec.RequestedBy == "" {
			continue
		}
		got++
		if op.Status.Status != v1beta1.OperationSucceeded {
			w.t.Errorf("operation %s is %s: %+v", op.Name, op.Status.Status, op.Status.Error)
		}
	}
	if got != want {
		w.t.Errorf("%d operations of Berth's own, want %d", got, want)
	}
}
