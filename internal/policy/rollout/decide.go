package rollout

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// The reasons of a rollout's state.
const (
	ReasonFailed     = "ComponentsNotReady"
	ReasonOperator   = "StoppedByOperator"
	ReasonLooking    = "LookingAtClusters"
	ReasonTaking     = "WaveTaking"
	ReasonBaking     = "WaveBaking"
	ReasonWindows    = "WaitingForWindows"
	ReasonCompleted  = "Completed"
	ReasonSuperseded = "Superseded"
)

// again bounds how long nobody looks.
const again = time.Minute

// Input is what decides about the rollout at work.
type Input struct {
	Rollout *v1beta1.ComponentRollout
	// Base is the newest one before it that was completed and whose images can be had; nil
	// if there is none. New clusters get its images while the rollout is stopped.
	Base  *v1beta1.ComponentRollout
	Fleet []Cluster
	Plan  Plan
	// Begun is when this process began: nobody watched before.
	Begun time.Time
	// Pullable says whether an image can be had from the registry.
	Pullable func(image string) bool
}

// Decision is what is to be written: the status first, then the clusters.
type Decision struct {
	Status v1beta1.ComponentRolloutStatus
	// Clusters are those whose part changes.
	Clusters map[types.NamespacedName]v1beta1.ClusterRollout
	// Again is when to look again, if nothing is told before.
	Again time.Duration
}

// tally is what the rows of the rollout's table ask.
type tally struct {
	spec   *v1beta1.ComponentRolloutSpec
	status *v1beta1.ComponentRolloutStatus
	// The clusters: those that wait for a wave, whose health is unknown among them; in
	// waves; not ready, the late ones left out; late, and gone back in this attempt.
	asking, unknown []Cluster
	waiting         []Cluster // for their maintenance windows
	inWaves         int
	taking          []Cluster
	failing, failed []Cluster
	// tolerated is how many may fail.
	tolerated int
	// looked: there was time to learn the health of all. baked: the wave was watched for
	// as long as it must be.
	looked, baked bool
}

// act is what a rollout does next.
type act string

const (
	actNone     act = "None"
	actFill     act = "Fill"     // more clusters of the wave are reached
	actNext     act = "Next"     // the next wave begins
	actComplete act = "Complete" // it is over
)

// rolloutRow is a row of the rollout's table.
type rolloutRow struct {
	when   func(*tally) bool
	state  v1beta1.RolloutState
	reason string
	act    act
}

// rolloutTable says how a rollout goes on: the first row that holds counts.
var rolloutTable = []rolloutRow{
	{func(t *tally) bool { return t.status.State == v1beta1.RolloutCompleted }, v1beta1.RolloutCompleted, ReasonCompleted, actNone},
	{func(t *tally) bool { return len(t.failing)+len(t.failed) > t.tolerated }, v1beta1.RolloutStopped, ReasonFailed, actNone},
	// Also when the clusters that failed are gone: somebody must have looked.
	{func(t *tally) bool {
		return t.status.State == v1beta1.RolloutStopped && t.status.Reason == ReasonFailed
	}, v1beta1.RolloutStopped, ReasonFailed, actNone},
	{func(t *tally) bool { return t.spec.Stopped }, v1beta1.RolloutStopped, ReasonOperator, actNone},
	{func(t *tally) bool { return len(t.unknown) > 0 && !t.looked }, v1beta1.RolloutProgressing, ReasonLooking, actNone},
	{func(t *tally) bool { return len(t.asking) > 0 && t.inWaves < int(t.status.Limit) }, v1beta1.RolloutProgressing, ReasonTaking, actFill},
	{func(t *tally) bool { return len(t.taking)+len(t.failing) > 0 }, v1beta1.RolloutProgressing, ReasonTaking, actNone},
	{func(t *tally) bool { return !t.baked }, v1beta1.RolloutProgressing, ReasonBaking, actNone},
	{func(t *tally) bool { return len(t.asking) > 0 }, v1beta1.RolloutProgressing, ReasonTaking, actNext},
	{func(t *tally) bool { return len(t.waiting) > 0 }, v1beta1.RolloutProgressing, ReasonWindows, actNone},
	{func(*tally) bool { return true }, v1beta1.RolloutCompleted, ReasonCompleted, actComplete},
}

// rolloutRowOf reads the table, whose last row always holds.
func rolloutRowOf(t *tally) rolloutRow {
	at := slices.IndexFunc(rolloutTable, func(row rolloutRow) bool { return row.when(t) })
	return rolloutTable[at]
}

// Decide says how the rollout at work goes on, and which clusters get which images now.
func Decide(in Input, now time.Time) Decision {
	at := metav1.NewTime(now.UTC().Truncate(time.Second))
	status := *in.Rollout.Status.DeepCopy()
	if status.State == "" || status.State == v1beta1.RolloutStopped && status.Reason == ReasonOperator && !in.Rollout.Spec.Stopped {
		status.State = v1beta1.RolloutProgressing
	}
	if in.Rollout.Spec.Attempt > status.Attempt && status.State != v1beta1.RolloutCompleted {
		status.State, status.Reason, status.Attempt, status.WaveReady = v1beta1.RolloutProgressing, "", in.Rollout.Spec.Attempt, nil
	}
	if status.WaveReady == nil && status.Wave > 0 && in.settled(&status, now) {
		status.WaveReady = &at
	}
	t := in.count(&status, now)
	row := rolloutRowOf(t)
	status.State, status.Reason = row.state, row.reason
	d := Decision{Clusters: map[types.NamespacedName]v1beta1.ClusterRollout{}}
	switch row.act {
	case actNext:
		status.Wave, status.WaveStarted, status.WaveReady = status.Wave+1, &at, nil
		status.Limit = int32(in.Plan.limit(status.Wave, t.inWaves, t.inWaves+len(t.asking)+len(t.waiting)))
		in.fill(&d, t, &status, at)
	case actFill:
		status.WaveReady = nil
		in.fill(&d, t, &status, at)
	case actComplete:
		status.Ended = &at
	case actNone:
		if len(t.taking)+len(t.failing) > 0 {
			status.WaveReady = nil
		}
	}
	in.move(&d, &status, at)
	status.Message = message(in, t, &status)
	status.Clusters = in.counts(&d, &status, now)
	d.Status, d.Again = status, in.again(t, &status, now)
	return d
}

// settled says whether a wave has all its clusters and none that is not ready.
func (in Input) settled(status *v1beta1.ComponentRolloutStatus, now time.Time) bool {
	t := in.count(status, now)
	return len(t.taking)+len(t.failing) == 0 && (len(t.asking) == 0 || t.inWaves >= int(status.Limit))
}

// count reads the cluster's table for all of them.
func (in Input) count(status *v1beta1.ComponentRolloutStatus, now time.Time) *tally {
	t := &tally{spec: &in.Rollout.Spec, status: status, baked: true, tolerated: in.Plan.MaxFailed}
	t.looked = now.Sub(policy.Later(in.Rollout.CreationTimestamp.Time, in.Begun)) > in.Plan.ReadyWithin
	if status.Wave > 0 {
		t.baked = status.WaveReady != nil && !now.Before(status.WaveReady.Add(in.Plan.wave(status.Wave).Bake))
	}
	for _, c := range in.Fleet {
		t.add(in.factsOf(c, status, now))
	}
	return t
}

// add counts a cluster where the cluster's table puts it.
func (t *tally) add(f *facts) {
	switch clusterStep(f) {
	case stepAsk:
		t.asking = append(t.asking, f.Cluster)
		if f.Health == HealthUnknown {
			t.unknown = append(t.unknown, f.Cluster)
		}
		return
	case stepWait:
		t.waiting = append(t.waiting, f.Cluster)
		return
	case stepFail:
		t.failing = append(t.failing, f.Cluster)
	case stepUnwell:
		t.taking = append(t.taking, f.Cluster)
	case stepNone:
		if f.phase(v1beta1.ClusterTaking) && f.Runs {
			t.taking = append(t.taking, f.Cluster)
		}
	}
	if f.back() && f.At.Attempt >= t.status.Attempt {
		t.failed = append(t.failed, f.Cluster)
	} else if f.of && f.At.Wave > 0 && !f.back() {
		t.inWaves++
	}
}

// fill reaches clusters up to the limit. Those that were ready before are judged by what
// comes; others tell nothing, and come last.
func (in Input) fill(d *Decision, t *tally, status *v1beta1.ComponentRolloutStatus, at metav1.Time) {
	asking := slices.Clone(t.asking)
	slices.SortFunc(asking, func(a, b Cluster) int {
		return cmp.Or(cmp.Compare(in.rank(a), in.rank(b)), cmp.Compare(in.lot(a), in.lot(b)), cmp.Compare(a.UID, b.UID))
	})
	for _, c := range asking[:min(len(asking), max(0, int(status.Limit)-t.inWaves))] {
		next := v1beta1.ClusterRollout{
			Name: in.Rollout.Name, Wave: status.Wave, Phase: v1beta1.ClusterTaking, Since: at, Attempt: status.Attempt,
			Images: in.Rollout.Spec.Images, Former: c.former(),
		}
		again := c.At.Name == in.Rollout.Name
		if again {
			next.Former = c.At.Former
		}
		if !again && c.Health != Ready {
			next.Phase = v1beta1.ClusterGiven
		}
		d.Clusters[c.Key] = next
	}
}

// rank is whose turn comes first: what failed before, so that a mend shows at once; then
// what tells most and has the least to lose (the tier Free has no agreement on uptime).
func (in Input) rank(c Cluster) int {
	switch {
	case c.At.Name == in.Rollout.Name:
		return 0
	case c.Health != Ready:
		return 3
	case c.Tier == "" || strings.EqualFold(c.Tier, "Free"):
		return 1
	default:
		return 2
	}
}

// lot is a cluster's place among its like: another one in each rollout, so that nobody is
// always the first.
func (in Input) lot(c Cluster) uint64 {
	sum := fnv.New64a()
	sum.Write([]byte(in.Rollout.Name + "/" + string(c.UID))) // never fails
	return sum.Sum64()
}

// move does what the cluster's table says of those that ask for no wave.
func (in Input) move(d *Decision, status *v1beta1.ComponentRolloutStatus, at metav1.Time) {
	for _, c := range in.Fleet {
		f := in.factsOf(c, status, at.Time)
		next, changes := c.At, true
		switch clusterStep(f) {
		case stepNewest:
			next, changes = in.newest(c, status, at)
		case stepGive:
			next = v1beta1.ClusterRollout{Name: in.Rollout.Name, Phase: v1beta1.ClusterGiven, Since: at, Images: in.Rollout.Spec.Images}
		case stepTaken:
			next.Phase, next.Since = v1beta1.ClusterTaken, at
		case stepUnwell:
			next.Phase, next.Since = v1beta1.ClusterTaking, at
		case stepFail, stepBack:
			next = in.goBack(f, at)
		default:
			changes = false
		}
		if changes {
			d.Clusters[c.Key] = next
		}
	}
}

// newest are the newest images that are not stopped. A cluster that has lost its own keeps
// what it has where there are none.
func (in Input) newest(c Cluster, status *v1beta1.ComponentRolloutStatus, at metav1.Time) (v1beta1.ClusterRollout, bool) {
	from := in.Rollout
	if status.State == v1beta1.RolloutStopped {
		if from = in.Base; from == nil && c.New {
			from = in.Rollout
		}
	}
	if from == nil || c.At.Name == from.Name {
		return c.At, false
	}
	return v1beta1.ClusterRollout{Name: from.Name, Phase: v1beta1.ClusterGiven, Since: at, Images: from.Spec.Images}, true
}

// goBack gives a cluster its former images, if they can be had.
func (in Input) goBack(f *facts, at metav1.Time) v1beta1.ClusterRollout {
	next := f.At
	next.Phase, next.Since = v1beta1.ClusterReturned, at
	next.Message = fmt.Sprintf("wave %d of %s failed", f.At.Wave, in.Rollout.Name)
	if f.phase(v1beta1.ClusterTaking) && f.late && f.Runs {
		next.Message = fmt.Sprintf("its components were not ready within %s: %s", in.Plan.ReadyWithin, orWord(f.Words, "nothing was heard of them"))
	}
	if len(next.Former) == 0 || !AllPullable(next.Former, in.Pullable) {
		next.Phase = v1beta1.ClusterHeld
		next.Message += "; its former images are not in the registry any more, so that it keeps these"
		return next
	}
	next.Images = next.Former
	return next
}

// counts counts the clusters as they are after the decision.
func (in Input) counts(d *Decision, status *v1beta1.ComponentRolloutStatus, now time.Time) v1beta1.RolloutCounts {
	var n v1beta1.RolloutCounts
	for _, c := range in.Fleet {
		if next, changed := d.Clusters[c.Key]; changed {
			c.At, c.Has = next, next.Images
		}
		f := in.factsOf(c, status, now)
		switch {
		case f.back():
			n.Failed++
		case f.of:
			n.Reached++
		case c.Runs:
			n.Waiting++
		default:
			n.Away++
		}
		if f.phase(v1beta1.ClusterTaken) {
			n.Ready++
		}
	}
	return n
}

// again is when something is due of itself.
func (in Input) again(t *tally, status *v1beta1.ComponentRolloutStatus, now time.Time) time.Duration {
	if status.State == v1beta1.RolloutCompleted {
		return 0
	}
	next := again
	for _, c := range t.taking {
		next = min(next, in.watched(c).Add(in.Plan.ReadyWithin).Sub(now))
	}
	if status.WaveReady != nil && status.State == v1beta1.RolloutProgressing {
		next = min(next, status.WaveReady.Add(in.Plan.wave(status.Wave).Bake).Sub(now))
	}
	return max(next, time.Second)
}

// Supersede is the status of a rollout that a newer one took the place of.
func Supersede(status v1beta1.ComponentRolloutStatus, by string, now time.Time) v1beta1.ComponentRolloutStatus {
	at := metav1.NewTime(now.UTC().Truncate(time.Second))
	status.State, status.Reason, status.Ended = v1beta1.RolloutSuperseded, ReasonSuperseded, &at
	status.Message = by + " took its place"
	return status
}
