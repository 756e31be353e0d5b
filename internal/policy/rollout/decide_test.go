package rollout

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

var (
	start = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	v1    = map[string]string{"coredns": "r/coredns:v1"}
	v2    = map[string]string{"coredns": "r/coredns:v2"}
)

func all(string) bool { return true }

func without(image string) func(string) bool { return func(one string) bool { return one != image } }

func at(after time.Duration) metav1.Time { return metav1.NewTime(start.Add(after)) }

// running is a cluster that has v1 and is well.
func running(name string, change ...func(*Cluster)) Cluster {
	c := Cluster{Key: types.NamespacedName{Namespace: "sub", Name: name}, UID: types.UID(name), Runs: true, Has: v1, Health: Ready}
	for _, one := range change {
		one(&c)
	}
	return c
}

// reached is one that has v2 from rollout-2.
func reached(name string, wave int32, phase v1beta1.ClusterRolloutPhase, since time.Duration, health Health) Cluster {
	return running(name, func(c *Cluster) {
		c.At = v1beta1.ClusterRollout{Name: "rollout-2", Wave: wave, Phase: phase, Since: at(since), Images: v2, Former: v1}
		c.Has, c.Health = v2, health
		if phase == v1beta1.ClusterReturned {
			c.At.Images, c.Has = v1, v1
		}
	})
}

// rolling is rollout-2 to v2, made at the start.
func rolling(state v1beta1.RolloutState, reason string, wave, limit int32, change ...func(*v1beta1.ComponentRollout)) *v1beta1.ComponentRollout {
	r := &v1beta1.ComponentRollout{ObjectMeta: metav1.ObjectMeta{Name: "rollout-2", CreationTimestamp: at(0)}, Spec: v1beta1.ComponentRolloutSpec{Number: 2, Images: v2}}
	r.Status = v1beta1.ComponentRolloutStatus{State: state, Reason: reason, Wave: wave, Limit: limit}
	for _, one := range change {
		one(r)
	}
	return r
}

func readySince(after time.Duration) func(*v1beta1.ComponentRollout) {
	return func(r *v1beta1.ComponentRollout) { since := at(after); r.Status.WaveReady = &since }
}

func stoppedByHand(r *v1beta1.ComponentRollout) { r.Spec.Stopped = true }

func heardOnce(r *v1beta1.ComponentRollout) { r.Status.Attempt = 1 }

func tryAgain(r *v1beta1.ComponentRollout) { r.Spec.Attempt = r.Status.Attempt + 1 }

var small = Plan{Waves: []Wave{{Clusters: 1, Bake: time.Hour}, {Percent: 50, Bake: time.Hour}}, ReadyWithin: 10 * time.Minute, WaitForWindows: DefaultWaitForWindows}

func base() *v1beta1.ComponentRollout {
	return &v1beta1.ComponentRollout{ObjectMeta: metav1.ObjectMeta{Name: "rollout-1"}, Spec: v1beta1.ComponentRolloutSpec{Number: 1, Images: v1}}
}

// changes shows what a decision does to clusters, such as a:Taking/1/v2.
func changes(d Decision) string {
	var words []string
	for key, one := range d.Clusters {
		image := one.Images["coredns"]
		words = append(words, fmt.Sprintf("%s:%s/%d/%s", key.Name, one.Phase, one.Wave, image[strings.LastIndex(image, ":")+1:]))
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// TestRollout goes over every row of both tables.
func TestRollout(t *testing.T) {
	const (
		progressing, stopped, completed = v1beta1.RolloutProgressing, v1beta1.RolloutStopped, v1beta1.RolloutCompleted
		taking, taken, given            = v1beta1.ClusterTaking, v1beta1.ClusterTaken, v1beta1.ClusterGiven
		returned, held                  = v1beta1.ClusterReturned, v1beta1.ClusterHeld
		m                               = time.Minute
	)
	fresh := func(c *Cluster) { c.New, c.Has, c.Health, c.Runs = true, nil, HealthUnknown, false }
	away := func(c *Cluster) { c.Runs = false }
	ill := func(c *Cluster) { c.Health = NotReady }
	unknown := func(c *Cluster) { c.Health = HealthUnknown }
	lost := func(c *Cluster) { c.Lost = true }
	hasNew := func(c *Cluster) { c.Has = v2 }
	shut := func(c *Cluster) { c.Opens = start.Add(60 * m) }
	expedited := func(r *v1beta1.ComponentRollout) { r.Spec.Expedited = true }
	for _, c := range []struct {
		why     string
		rollout *v1beta1.ComponentRollout
		fleet   []Cluster
		after   time.Duration
		state   v1beta1.RolloutState
		reason  string
		wave    int32
		changes string
	}{
		{"no clusters: there is nothing to do", rolling("", "", 0, 0), nil, 0, completed, ReasonCompleted, 0, ""},
		{"the first wave has one cluster", rolling("", "", 0, 0), []Cluster{running("a"), running("b", ill)}, 0, progressing, ReasonTaking, 1, "a:Taking/1/v2"},
		{"it is one of the tier without an agreement on uptime", rolling("", "", 0, 0), []Cluster{running("a", func(c *Cluster) { c.Tier = "Standard" }), running("z", func(c *Cluster) { c.Tier = "Free" })}, 0, progressing, ReasonTaking, 1, "z:Taking/1/v2"},
		{"whose health nobody told is waited for", rolling("", "", 0, 0), []Cluster{running("a", unknown), running("b")}, 9 * m, progressing, ReasonLooking, 0, ""},
		{"but not for ever, and it tells nothing", rolling("", "", 0, 0), []Cluster{running("a", unknown)}, 11 * m, progressing, ReasonTaking, 1, "a:Given/1/v2"},
		{"who was ill before tells nothing", rolling("", "", 0, 0), []Cluster{running("a", ill)}, 0, progressing, ReasonTaking, 1, "a:Given/1/v2"},
		{"who died in a wave goes on with it", rolling(progressing, ReasonTaking, 2, 2), []Cluster{reached("a", 1, taken, 0, Ready), running("b"), running("c")}, m, progressing, ReasonTaking, 2, "b:Taking/2/v2"},
		{"a wave that is not ready is waited for", rolling(progressing, ReasonTaking, 1, 1), []Cluster{reached("a", 1, taking, 0, NotReady), running("b")}, 9 * m, progressing, ReasonTaking, 1, ""},
		{"it becomes ready", rolling(progressing, ReasonTaking, 1, 1), []Cluster{reached("a", 1, taking, 0, Ready), running("b")}, 9 * m, progressing, ReasonBaking, 1, "a:Taken/1/v2"},
		{"it is watched", rolling(progressing, ReasonBaking, 1, 1, readySince(0)), []Cluster{reached("a", 1, taken, 0, Ready), running("b")}, 59 * m, progressing, ReasonBaking, 1, ""},
		{"it falls ill, and holds the next wave", rolling(progressing, ReasonBaking, 1, 1, readySince(0)), []Cluster{reached("a", 1, taken, 0, NotReady), running("b")}, 61 * m, progressing, ReasonTaking, 1, "a:Taking/1/v2"},
		{"the next wave begins", rolling(progressing, ReasonBaking, 1, 1, readySince(0)), []Cluster{reached("a", 1, taken, 0, Ready), running("b"), running("c"), running("d")}, 61 * m, progressing, ReasonTaking, 2, "d:Taking/2/v2"},
		{"what is left after the plan's waves is one more", rolling(progressing, ReasonBaking, 2, 2, readySince(0)), []Cluster{reached("a", 1, taken, 0, Ready), reached("b", 2, taken, 0, Ready), running("c"), running("d")}, 61 * m, progressing, ReasonTaking, 3, "c:Taking/3/v2 d:Taking/3/v2"},
		{"the last wave is watched too", rolling(progressing, ReasonBaking, 1, 1, readySince(0)), []Cluster{reached("a", 1, taken, 0, Ready)}, 59 * m, progressing, ReasonBaking, 1, ""},
		{"and then it is over", rolling(progressing, ReasonBaking, 1, 1, readySince(0)), []Cluster{reached("a", 1, taken, 0, Ready)}, 61 * m, completed, ReasonCompleted, 1, ""},
		{"what is stopped holds nothing", rolling(progressing, ReasonBaking, 1, 1, readySince(0)), []Cluster{reached("a", 1, taken, 0, Ready), running("b", away)}, 61 * m, completed, ReasonCompleted, 1, ""},
		{"what was stopped after it was reached holds nothing", rolling(progressing, ReasonTaking, 1, 1, readySince(0)), []Cluster{func() Cluster { c := reached("a", 1, taking, 0, NotReady); c.Runs = false; return c }()}, 61 * m, completed, ReasonCompleted, 1, ""},
		{"what was stopped before it was ready has its time when it starts", rolling(progressing, ReasonTaking, 1, 1), []Cluster{func() Cluster { c := reached("a", 1, taking, 0, NotReady); c.Up = start.Add(24 * 60 * m); return c }(), running("b")}, 24*60*m + 9*m, progressing, ReasonTaking, 1, ""},
		{"and no more than that", rolling(progressing, ReasonTaking, 1, 1), []Cluster{func() Cluster { c := reached("a", 1, taking, 0, NotReady); c.Up = start.Add(24 * 60 * m); return c }(), running("b")}, 24*60*m + 11*m, stopped, ReasonFailed, 1, "a:Returned/1/v1"},
		{"what starts afterwards takes them then", rolling(completed, ReasonCompleted, 1, 1), []Cluster{reached("a", 1, taken, 0, Ready), running("b", ill)}, 61 * m, completed, ReasonCompleted, 1, "b:Given/0/v2"},
		{"what falls ill after the end stops nothing", rolling(completed, ReasonCompleted, 1, 1), []Cluster{reached("a", 1, taken, 0, NotReady)}, 61 * m, completed, ReasonCompleted, 1, ""},
		{"a wave that is not ready in time stops it, and goes back", rolling(progressing, ReasonTaking, 2, 3), []Cluster{reached("a", 1, taken, 0, Ready), reached("b", 2, taken, 0, Ready), reached("c", 2, taking, 0, NotReady), running("d")}, 11 * m, stopped, ReasonFailed, 2, "b:Returned/2/v1 c:Returned/2/v1"},
		{"what was given in that wave goes back as well", rolling(progressing, ReasonTaking, 1, 2), []Cluster{reached("a", 1, taking, 0, NotReady), reached("b", 1, given, 0, NotReady), reached("n", 0, given, 0, Ready)}, 11 * m, stopped, ReasonFailed, 1, "a:Returned/1/v1 b:Returned/1/v1"},
		{"a cluster of an earlier wave stops it too", rolling(progressing, ReasonTaking, 2, 2), []Cluster{reached("a", 1, taking, 0, NotReady), reached("b", 2, taken, 0, Ready), running("c")}, 11 * m, stopped, ReasonFailed, 2, "a:Returned/1/v1 b:Returned/2/v1"},
		{"who died before all were back goes on", rolling(stopped, ReasonFailed, 1, 2), []Cluster{reached("a", 1, returned, 0, Ready), reached("b", 1, taken, 0, Ready)}, m, stopped, ReasonFailed, 1, "b:Returned/1/v1"},
		{"a stopped one reaches nobody", rolling(stopped, ReasonFailed, 1, 1), []Cluster{reached("a", 1, returned, 0, Ready), running("b")}, 24 * 60 * m, stopped, ReasonFailed, 1, ""},
		{"not even when the cluster that failed was deleted", rolling(stopped, ReasonFailed, 1, 1), []Cluster{running("b")}, 24 * 60 * m, stopped, ReasonFailed, 1, ""},
		{"the mend is tried where it failed", rolling(stopped, ReasonFailed, 1, 1, tryAgain), []Cluster{reached("z", 1, returned, 0, Ready), running("a")}, 60 * m, progressing, ReasonTaking, 1, "z:Taking/1/v2"},
		{"also in a cluster that could not go back", rolling(stopped, ReasonFailed, 1, 1, tryAgain), []Cluster{reached("z", 1, held, 0, NotReady), running("a")}, 60 * m, progressing, ReasonTaking, 1, "z:Taking/1/v2"},
		{"what failed and does not run holds the mend no more", rolling(stopped, ReasonFailed, 1, 1, tryAgain), []Cluster{func() Cluster { c := reached("z", 1, returned, 0, Ready); c.Runs = false; return c }(), running("a")}, 60 * m, progressing, ReasonTaking, 1, "a:Taking/1/v2"},
		{"and takes them when it starts", rolling(completed, ReasonCompleted, 1, 1, heardOnce), []Cluster{reached("z", 1, returned, 0, Ready)}, 60 * m, completed, ReasonCompleted, 1, "z:Given/0/v2"},
		{"what failed in the last attempt stays back when others are done", rolling(completed, ReasonCompleted, 1, 1), []Cluster{reached("z", 1, returned, 0, Ready)}, 60 * m, completed, ReasonCompleted, 1, ""},
		{"the operator stops it, and what was reached keeps them", rolling(progressing, ReasonTaking, 1, 1, stoppedByHand), []Cluster{reached("a", 1, taking, 0, NotReady), running("b")}, m, stopped, ReasonOperator, 1, ""},
		{"what was reached is still watched", rolling(stopped, ReasonOperator, 1, 1, stoppedByHand), []Cluster{reached("a", 1, taking, 0, NotReady), running("b")}, 11 * m, stopped, ReasonFailed, 1, "a:Returned/1/v1"},
		{"the operator lets it go on", rolling(stopped, ReasonOperator, 0, 0), []Cluster{running("a")}, m, progressing, ReasonTaking, 1, "a:Taking/1/v2"},
		{"a new cluster gets the newest", rolling(progressing, ReasonTaking, 1, 1), []Cluster{reached("a", 1, taking, 0, NotReady), running("n", fresh)}, m, progressing, ReasonTaking, 1, "n:Given/0/v2"},
		{"and while it is stopped the ones before", rolling(stopped, ReasonFailed, 1, 1), []Cluster{reached("a", 1, returned, 0, Ready), running("n", fresh)}, m, stopped, ReasonFailed, 1, "n:Given/0/v1"},
		{"also one that was told of the newest, and has nothing yet", rolling(stopped, ReasonFailed, 1, 1), []Cluster{func() Cluster { c := reached("n", 0, given, 0, HealthUnknown); c.New = true; return c }()}, m, stopped, ReasonFailed, 1, "n:Given/0/v1"},
		{"what has them already is reached", rolling("", "", 0, 0), []Cluster{running("a", hasNew)}, 0, completed, ReasonCompleted, 0, "a:Given/0/v2"},
		{"nobody is reached outside of their windows", rolling("", "", 0, 0), []Cluster{running("a", shut), running("b", shut)}, 0, progressing, ReasonWindows, 0, ""},
		{"who has none comes first", rolling("", "", 0, 0), []Cluster{running("a", shut), running("z")}, 0, progressing, ReasonTaking, 1, "z:Taking/1/v2"},
		{"it ends with the last window", rolling(progressing, ReasonBaking, 2, 2, readySince(-60*m)), []Cluster{reached("a", 1, taken, 0, Ready), running("b", shut)}, m, progressing, ReasonWindows, 2, ""},
		{"a window opens while its wave has room", rolling(progressing, ReasonBaking, 2, 2, readySince(59*m)), []Cluster{reached("a", 1, taken, 0, Ready), running("b", shut)}, 60 * m, progressing, ReasonTaking, 2, "b:Taking/2/v2"},
		{"and when the next wave's turn is", rolling(progressing, ReasonWindows, 1, 1, readySince(0)), []Cluster{reached("a", 1, taken, 0, Ready), running("b", shut)}, 60 * m, progressing, ReasonTaking, 2, "b:Taking/2/v2"},
		{"what is ill may be mended, and waits for no window", rolling("", "", 0, 0), []Cluster{running("a", shut, ill)}, 0, progressing, ReasonTaking, 1, "a:Given/1/v2"},
		{"also not for longer because newer ones took the place of others", rolling("", "", 0, 0, func(r *v1beta1.ComponentRollout) { since := at(-14 * 24 * time.Hour); r.Spec.WindowsSince = &since }), []Cluster{running("a", shut)}, 0, progressing, ReasonTaking, 1, "a:Taking/1/v2"},
		{"windows are waited for two weeks at most", rolling("", "", 0, 0), []Cluster{running("a", func(c *Cluster) { c.Opens = start.Add(20 * 24 * time.Hour) })}, 14 * 24 * time.Hour, progressing, ReasonTaking, 1, "a:Taking/1/v2"},
		{"and not at all where it cannot wait", rolling("", "", 0, 0, expedited), []Cluster{running("a", shut)}, 0, progressing, ReasonTaking, 1, "a:Taking/1/v2"},
		{"the mend waits for a window too", rolling(stopped, ReasonFailed, 1, 1, tryAgain), []Cluster{func() Cluster { c := reached("z", 1, returned, 0, Ready); shut(&c); return c }()}, 30 * m, progressing, ReasonBaking, 1, ""},
		{"going back does not", rolling(progressing, ReasonTaking, 1, 1), []Cluster{func() Cluster { c := reached("a", 1, taking, 0, NotReady); shut(&c); return c }()}, 11 * m, stopped, ReasonFailed, 1, "a:Returned/1/v1"},
		{"a new cluster has nothing to wait for", rolling(progressing, ReasonTaking, 1, 1), []Cluster{reached("a", 1, taking, 0, NotReady), running("n", fresh, shut)}, m, progressing, ReasonTaking, 1, "n:Given/0/v2"},
		{"whose images are gone gets the newest at once", rolling(progressing, ReasonTaking, 1, 1), []Cluster{reached("a", 1, taking, 0, NotReady), running("b", lost)}, m, progressing, ReasonTaking, 1, "b:Given/0/v2"},
	} {
		d := Decide(Input{Rollout: c.rollout, Base: base(), Fleet: c.fleet, Plan: small, Begun: start.Add(-time.Hour), Pullable: all}, start.Add(c.after))
		if got := changes(d); d.Status.State != c.state || d.Status.Reason != c.reason || d.Status.Wave != c.wave || got != c.changes {
			t.Errorf("%s: %s %s, wave %d, %q (%s)\nwant %s %s, wave %d, %q", c.why, d.Status.State, d.Status.Reason, d.Status.Wave, got, d.Status.Message, c.state, c.reason, c.wave, c.changes)
		}
	}
}

// Every row of both tables is reached by some case: none stands behind another one that
// always holds before it.
func TestNoRowIsDead(t *testing.T) {
	whys := map[string]bool{}
	for _, row := range clusterTable {
		if whys[row.why] {
			t.Errorf("%q stands twice", row.why)
		}
		whys[row.why] = true
	}
	phases := []v1beta1.ClusterRolloutPhase{v1beta1.ClusterTaking, v1beta1.ClusterTaken, v1beta1.ClusterGiven, v1beta1.ClusterReturned, v1beta1.ClusterHeld}
	hit := map[string]bool{}
	for bits := range 1 << 9 {
		for _, phase := range phases {
			for _, state := range []v1beta1.RolloutState{v1beta1.RolloutProgressing, v1beta1.RolloutStopped, v1beta1.RolloutCompleted} {
				on := func(n int) bool { return bits&(1<<n) != 0 }
				f := &facts{Cluster: Cluster{New: on(0), Runs: on(1), Lost: on(2)}, state: state, failed: on(3) && state == v1beta1.RolloutStopped, of: on(4), same: on(5), late: on(6), closed: on(8), attempt: 1, wave: 1}
				f.At.Phase, f.At.Wave = phase, 1
				if on(7) {
					f.Health, f.At.Attempt = Ready, 1
				}
				for _, row := range clusterTable {
					if row.when(f) {
						hit[row.why] = true
						break
					}
				}
			}
		}
	}
	for _, row := range clusterTable {
		if !hit[row.why] {
			t.Errorf("no cluster is one of which %q", row.why)
		}
	}
}

// A cluster whose former images are not in the registry any more keeps the ones that it has.
func TestNowhereToGoBack(t *testing.T) {
	d := Decide(Input{
		Rollout: rolling(v1beta1.RolloutProgressing, ReasonTaking, 1, 1), Fleet: []Cluster{reached("a", 1, v1beta1.ClusterTaking, 0, NotReady)},
		Plan: small, Begun: start, Pullable: without("r/coredns:v1"),
	}, start.Add(11*time.Minute))
	if got := changes(d); got != "a:Held/1/v2" || d.Status.Clusters.Failed != 1 {
		t.Errorf("%s, %+v", got, d.Status.Clusters)
	}
}

// One that may fail goes back, and another one takes its place in the wave; a second one stops
// the rollout.
func TestToleratedFailures(t *testing.T) {
	plan := small
	plan.MaxFailed = 1
	in := Input{
		Rollout: rolling(v1beta1.RolloutProgressing, ReasonTaking, 1, 1), Plan: plan, Begun: start, Pullable: all,
		Fleet: []Cluster{reached("a", 1, v1beta1.ClusterTaking, 0, NotReady), running("b")},
	}
	d := Decide(in, start.Add(11*time.Minute))
	if got := changes(d); got != "a:Returned/1/v1" || d.Status.State != v1beta1.RolloutProgressing || d.Status.Clusters.Failed != 1 {
		t.Errorf("one: %s, %+v", got, d.Status)
	}
	in.Fleet[0] = reached("a", 1, v1beta1.ClusterReturned, 0, Ready)
	d = Decide(in, start.Add(12*time.Minute))
	if got := changes(d); got != "b:Taking/1/v2" || d.Status.Wave != 1 {
		t.Errorf("the next in its place: %s, %+v", got, d.Status)
	}
	bakeless := in
	bakeless.Plan.Waves = []Wave{{Clusters: 1}}
	bakeless.Fleet = []Cluster{reached("b", 1, v1beta1.ClusterTaking, 0, NotReady)}
	if d = Decide(bakeless, start.Add(11*time.Minute)); changes(d) != "b:Returned/1/v1" || d.Status.State == v1beta1.RolloutCompleted {
		t.Errorf("the last one of a wave that nobody watches: %s, %+v", changes(d), d.Status)
	}
	in.Fleet[1] = reached("b", 1, v1beta1.ClusterTaking, 0, NotReady)
	d = Decide(in, start.Add(11*time.Minute))
	if got := changes(d); got != "b:Returned/1/v1" || d.Status.State != v1beta1.RolloutStopped {
		t.Errorf("two: %s, %+v", got, d.Status)
	}
}

// While nobody watched no time passes.
func TestTimeThatNobodyWatched(t *testing.T) {
	in := Input{
		Rollout: rolling(v1beta1.RolloutProgressing, ReasonTaking, 1, 1), Fleet: []Cluster{reached("a", 1, v1beta1.ClusterTaking, 0, NotReady)},
		Plan: small, Begun: start.Add(24 * time.Hour), Pullable: all,
	}
	if d := Decide(in, start.Add(24*time.Hour+9*time.Minute)); d.Status.State != v1beta1.RolloutProgressing {
		t.Errorf("stopped by the time that Berth was down: %+v", d.Status)
	}
	if d := Decide(in, start.Add(24*time.Hour+11*time.Minute)); d.Status.State != v1beta1.RolloutStopped {
		t.Errorf("not stopped: %+v", d.Status)
	}
}

// A cluster never goes back to images that were not found good in it.
func TestFormer(t *testing.T) {
	v3 := map[string]string{"coredns": "r/coredns:v3"}
	for phase, want := range map[v1beta1.ClusterRolloutPhase]string{
		v1beta1.ClusterTaken: "r/coredns:v2", v1beta1.ClusterTaking: "r/coredns:v1", v1beta1.ClusterHeld: "r/coredns:v1", v1beta1.ClusterReturned: "r/coredns:v1",
	} {
		next := rolling("", "", 0, 0)
		next.Name, next.Spec.Images = "rollout-3", v3
		d := Decide(Input{Rollout: next, Fleet: []Cluster{reached("a", 1, phase, 0, Ready)}, Plan: small, Begun: start, Pullable: all}, start)
		if got := d.Clusters[types.NamespacedName{Namespace: "sub", Name: "a"}]; got.Former["coredns"] != want || got.Images["coredns"] != "r/coredns:v3" {
			t.Errorf("%s: %+v, want %s", phase, got, want)
		}
	}
}

// TestRolloutsOfAnyFleet plays rollouts in fleets that come and go: waves only grow, no wave
// has more than its limit, a stopped rollout reaches nobody but new clusters, and where
// nothing fails all that runs is reached in the end.
func TestRolloutsOfAnyFleet(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 1))
		f := &played{t: t, random: random, now: start, broken: seed%2 == 0, fleet: map[string]*Cluster{}, rollout: rolling("", "", 0, 0)}
		for i := range 1 + random.IntN(40) {
			c := running(fmt.Sprint("c", i))
			c.Runs = random.IntN(5) > 0
			if random.IntN(3) == 0 {
				c.Opens = start.Add(time.Duration(random.IntN(24)) * time.Hour)
			}
			f.fleet[c.Key.Name] = &c
		}
		for range 200 {
			f.round()
			if t.Failed() {
				t.Fatalf("seed %d, rollout %+v", seed, f.rollout.Status)
			}
			if f.rollout.Status.State == v1beta1.RolloutCompleted {
				break
			}
		}
		f.end(seed)
	}
}

type played struct {
	t      *testing.T
	random *rand.Rand
	now    time.Time
	broken bool
	// calm: nothing stops, starts or dies any more.
	calm    bool
	fleet   map[string]*Cluster
	rollout *v1beta1.ComponentRollout
}

// round lets some time pass, in which clusters stop, start, come and settle, and decides.
func (f *played) round() {
	f.now = f.now.Add(time.Duration(f.random.IntN(40)) * time.Minute)
	names := slices.Sorted(maps.Keys(f.fleet))
	for _, name := range names {
		c := f.fleet[name]
		if !f.calm && f.random.IntN(30) == 0 {
			c.Runs = !c.Runs
		}
		c.Health = Ready
		if f.broken && c.Has["coredns"] == v2["coredns"] && f.random.IntN(3) == 0 {
			c.Health = NotReady
		}
		if c.New && (f.calm || f.random.IntN(2) == 0) && c.At.Name != "" {
			c.New, c.Runs = false, true
		}
	}
	if !f.calm && f.random.IntN(10) == 0 {
		c := running(fmt.Sprint("n", len(f.fleet)), func(c *Cluster) { c.New, c.Runs, c.Has = true, false, nil })
		f.fleet[c.Key.Name] = &c
		names = append(names, c.Key.Name)
	}
	in := Input{Rollout: f.rollout, Base: base(), Plan: small, Begun: start, Pullable: all}
	for _, name := range names {
		in.Fleet = append(in.Fleet, *f.fleet[name])
	}
	d := Decide(in, f.now)
	before := f.rollout.Status
	f.check(&before, d)
	f.rollout.Status = d.Status
	for key, next := range d.Clusters {
		if !f.calm && f.random.IntN(10) == 0 {
			continue // Berth died before it was written
		}
		f.fleet[key.Name].At, f.fleet[key.Name].Has = next, next.Images
	}
}

func (f *played) check(before *v1beta1.ComponentRolloutStatus, d Decision) {
	if d.Status.Wave < before.Wave || d.Status.Wave > before.Wave+1 || d.Status.Limit < before.Limit {
		f.t.Errorf("from wave %d (%d) to %d (%d)", before.Wave, before.Limit, d.Status.Wave, d.Status.Limit)
	}
	if before.State == v1beta1.RolloutStopped && d.Status.State != v1beta1.RolloutStopped {
		f.t.Errorf("it goes on by itself: %+v", d.Status)
	}
	inWaves := int32(0)
	for name, c := range f.fleet {
		next, changed := d.Clusters[types.NamespacedName{Namespace: "sub", Name: name}]
		if !changed {
			next = c.At
		}
		if next.Name == "rollout-2" && next.Wave > 0 && next.Images["coredns"] == v2["coredns"] {
			inWaves++
		}
		if changed && d.Status.State == v1beta1.RolloutStopped && next.Images["coredns"] == v2["coredns"] && c.Has["coredns"] != v2["coredns"] {
			f.t.Errorf("a stopped rollout reaches %s", name)
		}
		if changed && next.Phase == v1beta1.ClusterTaking && c.At.Name == "" && f.now.Before(c.Opens) {
			f.t.Errorf("%s is reached at %s, and its window opens at %s", name, f.now, c.Opens)
		}
	}
	if inWaves > d.Status.Limit {
		f.t.Errorf("%d clusters in waves of %d", inWaves, d.Status.Limit)
	}
}

func (f *played) end(seed uint64) {
	if f.broken {
		return
	}
	if f.rollout.Status.State != v1beta1.RolloutCompleted {
		f.t.Fatalf("seed %d: not completed: %+v", seed, f.rollout.Status)
	}
	f.calm = true
	for range 20 { // what was not written is written again
		f.round()
	}
	for name, c := range f.fleet {
		if c.Runs && c.Has["coredns"] != v2["coredns"] {
			f.t.Errorf("seed %d: %s runs and has %v", seed, name, c.Has)
		}
	}
}

func TestPlan(t *testing.T) {
	plan := PlanOf(v1beta1.ServicePolicySpec{})
	for _, c := range []struct {
		wave                 int32
		reached, fleet, want int
	}{
		{1, 0, 1000, 1}, {2, 1, 1000, 100}, {2, 1, 5, 2}, {3, 100, 1000, 500}, {4, 500, 1000, 1000}, {9, 1000, 1001, 1001}, {2, 1, 1, 2},
	} {
		if got := plan.limit(c.wave, c.reached, c.fleet); got != c.want {
			t.Errorf("wave %d of %d clusters, %d reached: %d, want %d", c.wave, c.fleet, c.reached, got, c.want)
		}
	}
	two, half := int32(2), int32(50)
	plan = PlanOf(v1beta1.ServicePolicySpec{ComponentRollout: &v1beta1.RolloutPolicy{
		Waves:       []v1beta1.RolloutWave{{Clusters: &two, Bake: &metav1.Duration{}}, {Percent: &half}},
		ReadyWithin: &metav1.Duration{Duration: time.Second},
	}})
	if want := (Plan{Waves: []Wave{{Clusters: 2}, {Percent: 50, Bake: time.Hour}}, ReadyWithin: time.Second}); !slices.Equal(plan.Waves, want.Waves) || plan.ReadyWithin != want.ReadyWithin {
		t.Errorf("%+v", plan)
	}
}

// A cluster gets what its rollout says, before there was one what it has, and nothing while
// nobody said anything.
func TestImagesFor(t *testing.T) {
	catalogue := &release.Catalogue{Images: map[string]string{"coredns": "coredns:v3", "metrics-server": "metrics-server:v3", "etcd": "etcd:v3"}, Releases: []release.Release{
		{Version: "1.37.2"}, {Version: "1.38.0", Images: map[string]string{"coredns": "coredns:of-1.38"}},
	}}
	rolled := &v1beta1.ClusterRollout{Images: map[string]string{"coredns": "coredns:v2"}}
	has := map[string]string{"coredns": "coredns:v1", "kube": "kube:v1"}
	for _, c := range []struct {
		why    string
		status v1beta1.ManagedClusterStatus
		want   map[string]string
	}{
		{"a new cluster waits", v1beta1.ManagedClusterStatus{}, nil},
		{"one from before there were rollouts keeps what it has", v1beta1.ManagedClusterStatus{AddonsImages: has}, map[string]string{"coredns": "coredns:v1", "metrics-server": "metrics-server:v3"}},
		{"its rollout says which", v1beta1.ManagedClusterStatus{AddonsImages: has, ComponentRollout: &v1beta1.ClusterRollout{Images: map[string]string{"coredns": "coredns:v2"}}},
			map[string]string{"coredns": "coredns:v2", "metrics-server": "metrics-server:v3"}},
		{"what it does not say stays", v1beta1.ManagedClusterStatus{AddonsImages: has, ComponentRollout: &v1beta1.ClusterRollout{Images: map[string]string{"metrics-server": "metrics-server:v2"}}},
			map[string]string{"coredns": "coredns:v1", "metrics-server": "metrics-server:v2"}},
		{"a version without images of its own", v1beta1.ManagedClusterStatus{ComponentRollout: rolled, CurrentKubernetesVersion: "1.37.2"},
			map[string]string{"coredns": "coredns:v2", "metrics-server": "metrics-server:v3"}},
		{"one with, which no wave takes back", v1beta1.ManagedClusterStatus{AddonsImages: has, ComponentRollout: rolled, CurrentKubernetesVersion: "1.38.0"},
			map[string]string{"coredns": "coredns:of-1.38", "metrics-server": "metrics-server:v3"}},
		{"the upgrade to it brings it with the components", v1beta1.ManagedClusterStatus{ComponentRollout: rolled, CurrentKubernetesVersion: "1.37.2",
			Upgrade: &v1beta1.ControlPlaneUpgrade{To: "1.38.0", Phase: v1beta1.UpgradeComponents}},
			map[string]string{"coredns": "coredns:of-1.38", "metrics-server": "metrics-server:v3"}},
		{"a new cluster waits nonetheless", v1beta1.ManagedClusterStatus{CurrentKubernetesVersion: "1.38.0"}, nil},
	} {
		got, told := ImagesFor(&c.status, catalogue)
		if !maps.Equal(got, c.want) || told != (c.want != nil) {
			t.Errorf("%s: %v, %t", c.why, got, told)
		}
	}
}

// What a cluster's status says of its health counts for the images that it may have alone.
func TestObserve(t *testing.T) {
	now := metav1.NewTime(start)
	cluster := func(change func(*v1beta1.ManagedClusterStatus)) *v1beta1.ManagedCluster {
		c := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "sub", Name: "a"}, Spec: v1beta1.ManagedClusterSpec{SKU: &v1beta1.SKU{Tier: "Standard"}}}
		c.Status = v1beta1.ManagedClusterStatus{APIServerReady: &now, AddonsImages: v1, Conditions: []metav1.Condition{{Type: v1beta1.ConditionAddonsReady, Status: metav1.ConditionTrue}}}
		change(&c.Status)
		return c
	}
	catalogue := &release.Catalogue{Releases: []release.Release{{Version: "1.38.0", Images: map[string]string{"coredns": "r/coredns:v1"}}}}
	for _, c := range []struct {
		why    string
		change func(*v1beta1.ManagedClusterStatus)
		health Health
		runs   bool
		new    bool
	}{
		{"it is well", func(*v1beta1.ManagedClusterStatus) {}, Ready, true, false},
		{"nobody looked", func(s *v1beta1.ManagedClusterStatus) { s.Conditions = nil }, HealthUnknown, true, false},
		{"it is ill", func(s *v1beta1.ManagedClusterStatus) { s.Conditions[0].Status = metav1.ConditionFalse }, NotReady, true, false},
		{"whether it is well is not known any more", func(s *v1beta1.ManagedClusterStatus) { s.Conditions[0].Status = metav1.ConditionUnknown }, NotReady, true, false},
		{"it is well with the former images", func(s *v1beta1.ManagedClusterStatus) { s.ComponentRollout = &v1beta1.ClusterRollout{Images: v2} }, NotReady, true, false},
		{"it is well with what its version has of its own", func(s *v1beta1.ManagedClusterStatus) {
			s.ComponentRollout, s.CurrentKubernetesVersion = &v1beta1.ClusterRollout{Images: v2}, "1.38.0"
		}, Ready, true, false},
		{"it is stopped", func(s *v1beta1.ManagedClusterStatus) { s.APIServerReady = nil }, Ready, false, false},
		{"it is new", func(s *v1beta1.ManagedClusterStatus) { *s = v1beta1.ManagedClusterStatus{} }, HealthUnknown, false, true},
	} {
		got := Observe(cluster(c.change), catalogue, all)
		if got.Health != c.health || got.Runs != c.runs || got.New != c.new || got.Tier != "Standard" || got.Lost {
			t.Errorf("%s: %+v", c.why, got)
		}
	}
	if got := Observe(cluster(func(*v1beta1.ManagedClusterStatus) {}), catalogue, without("r/coredns:v1")); !got.Lost {
		t.Error("an image that is gone is not missed")
	}
}
