package addon

import (
	"crypto/sha256"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/tenant"
)

// stage is a keeper, what its watch knows, and the time.
type stage struct {
	*keeper
	seen  map[tenant.Ref]sight
	known bool
	now   time.Time
}

func newStage() *stage {
	s := &stage{seen: map[tenant.Ref]sight{}, known: true, now: time.Unix(10000, 0)}
	s.keeper = newKeeper(func(_ string, ref tenant.Ref) (sight, bool, bool) {
		seen, there := s.seen[ref]
		return seen, there, s.known
	})
	s.begin("id", types.NamespacedName{Name: "cluster"})
	return s
}

var (
	plan     = policy.PutBacks(v1beta1.ServicePolicySpec{})
	rendered = sha256.Sum256([]byte("rendered"))
	good     = sight{print: sha256.Sum256([]byte("good")), ours: true}
	bad      = sight{print: sha256.Sum256([]byte("bad")), ours: true}
)

func refOf(name string) tenant.Ref {
	ref := tenant.Ref{}
	ref.Kind, ref.Name = "Deployment", name
	return ref
}

func TestKeeperKnowsWhatIsDue(t *testing.T) {
	ref := refOf("coredns")
	brought := func(s *stage) {
		s.seen[ref] = good
		s.brought("id", ref, rendered, good, s.now)
	}
	see := func(s *stage, seen sight) bool {
		s.seen[ref] = seen
		_, wake := s.changed("id", ref)
		return wake
	}
	for _, c := range []struct {
		why string
		act func(*stage)
		due bool
	}{
		{"never looked at", func(*stage) {}, true},
		{"all is well", brought, false},
		{"rendered otherwise than it was", func(s *stage) { s.brought("id", ref, sha256.Sum256(nil), good, s.now) }, true},
		{"looked at long ago", func(s *stage) { brought(s); s.now = s.now.Add(plan.Check) }, true},
		{"changed", func(s *stage) { brought(s); see(s, bad) }, true},
		{"deleted", func(s *stage) { brought(s); delete(s.seen, ref); s.changed("id", ref) }, true},
		{"Berth's own write, seen late", func(s *stage) { brought(s); see(s, bad); see(s, good) }, false},
		{"changed while it was written", func(s *stage) { s.seen[ref] = bad; s.brought("id", ref, rendered, good, s.now) }, true},
		{"not listed yet", func(s *stage) { s.known = false; s.brought("id", ref, rendered, good, s.now) }, false},
		{"fought over", func(s *stage) {
			brought(s)
			for range 4 {
				s.putBack("id", ref, "x", plan, s.now)
			}
			see(s, bad)
		}, false},
		{"fought over, and its turn", func(s *stage) {
			brought(s)
			for range 4 {
				s.putBack("id", ref, "x", plan, s.now)
			}
			see(s, bad)
			s.now = s.now.Add(plan.Wait(4))
		}, true},
	} {
		s := newStage()
		c.act(s)
		if got := s.due("id", ref, rendered, plan, s.now); got != c.due {
			t.Errorf("%s: due %t", c.why, got)
		}
	}
}

// A pass is asked for once for each change, and only for what Berth has to do with.
func TestKeeperWakes(t *testing.T) {
	s, ref := newStage(), refOf("coredns")
	s.seen[ref] = good
	s.brought("id", ref, rendered, good, s.now)
	for _, step := range []struct {
		why  string
		seen sight
		wake bool
	}{{"as it was", good, false}, {"changed", bad, true}, {"changed again, before the pass", sight{}, false}} {
		s.seen[ref] = step.seen
		if _, wake := s.changed("id", ref); wake != step.wake {
			t.Errorf("%s: wakes %t", step.why, wake)
		}
	}
	s.seen[refOf("old")], s.seen[refOf("theirs")] = good, sight{}
	if _, wake := s.changed("id", refOf("old")); !wake {
		t.Error("what Berth made and does not render wakes nobody")
	}
	if _, wake := s.changed("id", refOf("theirs")); wake {
		t.Error("what is the customer's wakes somebody")
	}
	if _, wake := s.changed("other", ref); wake {
		t.Error("a cluster that is not kept wakes somebody")
	}
}

func TestKeeperTellsOfContest(t *testing.T) {
	s, ref := newStage(), refOf("coredns")
	s.brought("id", ref, rendered, good, s.now)
	for times := 1; times <= 4; times++ {
		if _, wait := s.putBack("id", ref, "x", plan, s.now); wait != plan.Wait(times) {
			t.Errorf("put back %d times: waits %s", times, wait)
		}
	}
	want := "Deployment coredns was put back 4 times, last after x; the next time waits 10s"
	if got := s.contested("id", plan, s.now); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if next := s.next("id", plan, s.now); next > plan.Calm {
		t.Errorf("the condition ends after %s, and a pass comes after %s", plan.Calm, next)
	}
	s.now = s.now.Add(plan.Calm)
	if got := s.contested("id", plan, s.now); got != "" {
		t.Errorf("after calm: %s", got)
	}
	if times, _ := s.putBack("id", ref, "x", plan, s.now); times != 1 {
		t.Errorf("after calm the count is %d", times)
	}
	if id, ok := s.idOf(types.NamespacedName{Name: "cluster"}); !ok || id != "id" {
		t.Errorf("the cluster's id: %s %t", id, ok)
	}
	s.drop("id", map[tenant.Ref]bool{})
	if s.due("id", ref, rendered, plan, s.now) != true {
		t.Error("what was dropped is still known")
	}
}
