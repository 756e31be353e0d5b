package rollout

import (
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
)

// Health is whether a cluster's components are ready with the images that it may have.
type Health string

// The answers.
const (
	HealthUnknown Health = ""
	Ready         Health = "Ready"
	NotReady      Health = "NotReady"
)

// Cluster is what decides about one.
type Cluster struct {
	Key  types.NamespacedName
	UID  types.UID
	Tier string
	// New: no components were applied in it yet. Runs: its API server is up, and its nodes
	// are not away. Up is since when the API server is.
	New, Runs bool
	Up        time.Time
	// Has are the images that it may have, or has if nobody said, and Lost says that one of
	// them cannot be pulled any more.
	Has  map[string]string
	Lost bool
	// Health is that of its components with them, and Words what is said of it.
	Health Health
	Words  string
	// At is what its status has from a rollout, nothing if Name is empty.
	At v1beta1.ClusterRollout
	// Opens is when its next window of the maintenance configuration default opens; zero if
	// one is open, or it has none.
	Opens time.Time
}

// Observe collects what decides about a cluster. Pullable says whether an image can be
// had from the registry.
func Observe(cluster *v1beta1.ManagedCluster, catalogue *release.Catalogue, pullable func(image string) bool) Cluster {
	status := &cluster.Status
	c := Cluster{
		Key: types.NamespacedName{Namespace: cluster.Namespace, Name: cluster.Name}, UID: cluster.UID,
		New:  len(status.AddonsImages) == 0,
		Runs: cluster.DeletionTimestamp.IsZero() && status.APIServerReady != nil && !policy.NodesAway(cluster),
		Has:  status.AddonsImages,
	}
	if status.APIServerReady != nil {
		c.Up = status.APIServerReady.Time
	}
	if cluster.Spec.SKU != nil {
		c.Tier = cluster.Spec.SKU.Tier
	}
	if status.ComponentRollout != nil {
		c.At, c.Has = *status.ComponentRollout, status.ComponentRollout.Images
	}
	c.Health, c.Words = healthOf(status, catalogue.ImagesIn(status.ComponentsVersion(), c.Has))
	c.Lost = !AllPullable(c.Has, pullable)
	return c
}

// healthOf reads what the add-on controller says, if it is of these images.
func healthOf(status *v1beta1.ManagedClusterStatus, images map[string]string) (Health, string) {
	said := meta.FindStatusCondition(status.Conditions, v1beta1.ConditionAddonsReady)
	if said == nil {
		return HealthUnknown, ""
	}
	for name, applied := range status.AddonsImages {
		if image := images[name]; image != "" && image != applied {
			return NotReady, "the new images are not applied yet"
		}
	}
	if said.Status == metav1.ConditionTrue {
		return Ready, ""
	}
	return NotReady, said.Message
}

// AllPullable says whether every image can be had from the registry.
func AllPullable(images map[string]string, pullable func(image string) bool) bool {
	for _, name := range release.ClusterComponents() {
		if image := images[name]; image != "" && !pullable(image) {
			return false
		}
	}
	return true
}

// step is what is done about a cluster.
type step string

const (
	stepNone   step = "None"   // nothing
	stepNewest step = "Newest" // it is given the newest images that are not stopped
	stepGive   step = "Give"   // it is given the rollout's, outside of the waves
	stepAsk    step = "Ask"    // it waits for its wave
	stepWait   step = "Wait"   // it waits for its maintenance window
	stepTaken  step = "Taken"  // its components are ready
	stepUnwell step = "Unwell" // they are not any more
	stepFail   step = "Fail"   // they have not been for too long: the rollout stops, it goes back
	stepBack   step = "Back"   // its wave failed, it goes back
)

// facts are what the rows of the cluster's table ask.
type facts struct {
	Cluster
	// state and failed are the rollout's, failed that it is stopped by a failure. wave and
	// attempt are its own.
	state         v1beta1.RolloutState
	failed        bool
	wave, attempt int32
	// of: the cluster's images are this rollout's to say. same: it has its images anyway.
	of, same bool
	// late: its components have not been ready for longer than the plan allows.
	late bool
	// closed: its maintenance window is, and is still waited for: not where components are
	// not ready, which the images may mend.
	closed bool
}

func (f *facts) back() bool {
	return f.of && (f.At.Phase == v1beta1.ClusterReturned || f.At.Phase == v1beta1.ClusterHeld)
}

func (f *facts) phase(phase v1beta1.ClusterRolloutPhase) bool { return f.of && f.At.Phase == phase }

// clusterRow is a row of the cluster's table.
type clusterRow struct {
	why  string
	when func(*facts) bool
	step step
}

// clusterTable says what becomes of a cluster: the first row that holds counts.
var clusterTable = []clusterRow{
	{"a new cluster has nothing to lose", func(f *facts) bool {
		return f.New && (!f.of || f.failed && f.phase(v1beta1.ClusterGiven) && f.At.Wave == 0)
	}, stepNewest},
	{"its images are gone: a new node of it would not come up", func(f *facts) bool { return !f.of && f.Lost }, stepNewest},
	{"it has the images already", func(f *facts) bool { return !f.of && f.same }, stepGive},
	{"what does not run holds no wave, and takes them when it starts", func(f *facts) bool { return !f.of && !f.Runs }, stepNone},
	{"a stopped rollout reaches no more clusters", func(f *facts) bool { return !f.of && f.state == v1beta1.RolloutStopped }, stepNone},
	{"it started when the waves were over", func(f *facts) bool { return !f.of && f.state == v1beta1.RolloutCompleted }, stepGive},
	{"it waits for its maintenance window", func(f *facts) bool {
		return f.closed && f.Runs && (!f.of || f.back() && f.At.Attempt < f.attempt && f.state == v1beta1.RolloutProgressing)
	}, stepWait},
	{"it waits for its wave", func(f *facts) bool { return !f.of }, stepAsk},
	{"it went back, and is tried again", func(f *facts) bool {
		return f.back() && f.Runs && f.state == v1beta1.RolloutProgressing && f.At.Attempt < f.attempt
	}, stepAsk},
	{"it went back, and started when the waves of a later attempt were over", func(f *facts) bool {
		return f.back() && f.Runs && f.state == v1beta1.RolloutCompleted && f.At.Attempt < f.attempt
	}, stepGive},
	{"it went back", (*facts).back, stepNone},
	{"its wave failed", func(f *facts) bool { return f.failed && f.At.Wave > 0 && f.At.Wave == f.wave }, stepBack},
	{"it was given them, and tells nothing", func(f *facts) bool { return f.phase(v1beta1.ClusterGiven) }, stepNone},
	{"what does not run any more tells nothing", func(f *facts) bool { return !f.Runs }, stepNone},
	{"the waves are over", func(f *facts) bool { return f.state == v1beta1.RolloutCompleted }, stepNone},
	{"its components are ready", func(f *facts) bool { return f.phase(v1beta1.ClusterTaking) && f.Health == Ready }, stepTaken},
	{"its components are not ready for too long", func(f *facts) bool { return f.phase(v1beta1.ClusterTaking) && f.late }, stepFail},
	{"its components are not ready yet", func(f *facts) bool { return f.phase(v1beta1.ClusterTaking) }, stepNone},
	{"its components are not ready any more", func(f *facts) bool { return f.phase(v1beta1.ClusterTaken) && f.Health != Ready }, stepUnwell},
	{"its components are still ready", func(*facts) bool { return true }, stepNone},
}

// clusterStep reads the table.
func clusterStep(f *facts) step {
	for _, row := range clusterTable {
		if row.when(f) {
			return row.step
		}
	}
	return stepNone
}

// factsOf are those of one cluster, in a rollout with that status.
func (in Input) factsOf(c Cluster, status *v1beta1.ComponentRolloutStatus, now time.Time) *facts {
	return &facts{
		Cluster: c, state: status.State, failed: status.State == v1beta1.RolloutStopped && status.Reason == ReasonFailed,
		wave: status.Wave, attempt: status.Attempt,
		of: c.At.Name == in.Rollout.Name, same: len(c.Has) > 0 && sameImages(c.Has, in.Rollout.Spec.Images),
		late:   now.Sub(in.watched(c)) > in.Plan.ReadyWithin,
		closed: now.Before(c.Opens) && now.Before(in.windowsUntil()) && c.Health != NotReady,
	}
}

// Never is when a window opens of which there is none in sight.
var Never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// windowsUntil is how long maintenance windows are waited for: a flaw must be patched on
// every cluster (H1), and an engineer may say that it cannot wait at all.
func (in Input) windowsUntil() time.Time {
	if in.Rollout.Spec.Expedited {
		return time.Time{}
	}
	return WindowsSince(in.Rollout).Add(in.Plan.WaitForWindows)
}

// WindowsSince is from when on a rollout counts how long it waits for windows: from its own
// making, or from that of an earlier one that was not completed.
func WindowsSince(one *v1beta1.ComponentRollout) time.Time {
	if one.Spec.WindowsSince != nil {
		return one.Spec.WindowsSince.Time
	}
	return one.CreationTimestamp.Time
}

// watched is since when the components of a cluster had the time to become ready: not while
// it was stopped, nor while there was nobody to see it.
func (in Input) watched(c Cluster) time.Time {
	return policy.Later(c.At.Since.Time, policy.Later(c.Up, in.Begun))
}

// sameImages says whether a cluster has none of the images in another version.
func sameImages(has, images map[string]string) bool {
	for name, image := range images {
		if has[name] != "" && has[name] != image {
			return false
		}
	}
	return true
}

// former are the images that a cluster goes back to if the ones that it gets now fail:
// never some that were not found good themselves.
func (c Cluster) former() map[string]string {
	if len(c.At.Former) > 0 && (c.At.Phase == v1beta1.ClusterTaking || c.At.Phase == v1beta1.ClusterHeld) {
		return maps.Clone(c.At.Former)
	}
	return maps.Clone(c.Has)
}
