package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"berth.dev/berth/test/chaos/ledger"
)

// under has writers write to a store for as long as a test does something to it.
func under(t *testing.T, s *store, test func(*Load)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		l := Start(ctx, &running, s)
		goOn(time.Minute)
		test(l)
		stop()
		running.Wait()
	})
}

// goOn lets time go by, which is the bubble's.
func goOn(d time.Duration) { <-time.After(d) }

func lostOf(t *testing.T, l *Load) []string {
	t.Helper()
	lost, err := l.Lost(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return lost
}

// Requests without answers, late ones and ones that the client sends twice are no losses.
func TestAStoreThatAnswersBadlyLosesNothing(t *testing.T) {
	for seed := range uint64(8) {
		under(t, newStore(rand.New(rand.NewPCG(seed, 0))), func(l *Load) {
			goOn(5 * time.Minute)
			if lost := lostOf(t, l); len(lost) > 0 || l.Acknowledged() < 1000 {
				t.Errorf("seed %d: %d writes were acknowledged, and lost are %q", seed, l.Acknowledged(), lost)
			}
		})
	}
}

// What a writer hides with its next write is found all the same, while nobody stops it.
func TestALossIsFoundWhileWritersGoOn(t *testing.T) {
	for _, c := range []struct {
		why, key string
		// by is what is taken from the value; all of it where it is zero.
		by int
		// hidden says that nothing shows when all is compared afterwards.
		hidden bool
	}{
		{"a counter goes back by one raise", "chaos-1-counter", 1, true},
		{"a counter goes back far", "chaos-0-counter", 400, true},
		{"a counter vanishes", "chaos-0-counter", 0, true},
		{"a young entry vanishes", "chaos-0-599", 0, false},
		{"an old entry vanishes", "chaos-1-555", 0, false},
	} {
		s := newStore(nil)
		under(t, s, func(l *Load) {
			l.going.Lock() // between two writes
			was := s.takeBack(c.key, c.by)
			l.going.Unlock()
			goOn(time.Minute)
			is := "absent"
			if c.by > 0 {
				is = fmt.Sprint(was - c.by)
			}
			want := fmt.Sprintf("%s is %s, and must be %d: ", c.key, is, was)
			if lost := l.Seen(); len(lost) != 1 || !strings.HasPrefix(lost[0], want) {
				t.Errorf("%s: %q, want %q", c.why, lost, want)
			}
			if lost := lostOf(t, l); c.hidden != (len(lost) == 1) {
				t.Errorf("%s: %q, hidden from who compares: %t", c.why, lost, c.hidden)
			}
		})
	}
}

// A disk that is lost may cost what was not stored, and nothing older. Writers see that before
// anybody has said so.
func TestARecoveryCostsWhatItSays(t *testing.T) {
	for _, c := range []struct {
		why string
		// behind is for how long what is put back was not recorded, excused for how long
		// before the loss.
		behind, excused time.Duration
		lost            bool
	}{
		{"as much as it may", 10 * time.Second, 10 * time.Second, false},
		{"less", 5 * time.Second, 10 * time.Second, false},
		{"more", 10 * time.Second, 5 * time.Second, true},
	} {
		for seed := range uint64(5) {
			s := newStore(rand.New(rand.NewPCG(seed, 1)))
			under(t, s, func(l *Load) {
				stored := s.backup()
				goOn(c.behind)
				gone := time.Now()
				s.restore(stored)
				goOn(30 * time.Second)
				if len(l.Seen()) == 0 {
					t.Errorf("%s, seed %d: the writers have seen nothing", c.why, seed)
				}
				l.Excuse(ledger.Loss{Point: gone.Add(-c.excused), From: gone, To: gone})
				if lost := lostOf(t, l); c.lost != (len(lost) > 0) {
					t.Errorf("%s, seed %d: want a loss: %t, and lost are %q", c.why, seed, c.lost, lost)
				}
			})
		}
	}
}

func TestWhatIsPlantedIsFound(t *testing.T) {
	for seed := range uint64(5) {
		s := newStore(rand.New(rand.NewPCG(seed, 2)))
		under(t, s, func(l *Load) {
			s.answerWell()
			planted, err := l.Plant(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			goOn(time.Minute)
			for what, lines := range map[string][]string{"held": planted.Found, "going": l.Seen()} {
				text := strings.Join(lines, "\n")
				if len(lines) != 2 || !strings.Contains(text, planted.Entry+" is absent,") || !strings.Contains(text, planted.Counter+" is ") {
					t.Errorf("seed %d, writers %s: %s and %s were planted, and told is\n%s", seed, what, planted.Entry, planted.Counter, text)
				}
			}
		})
	}
}
