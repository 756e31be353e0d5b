package ledger

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func at(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }

// step is a write to a key: acknowledged in its second, or without an answer.
type step struct {
	value, second int // second 0 is no answer
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		why     string
		steps   []step
		excused []window
		may     []int
	}{
		{"acknowledged", []step{{1, 1}}, nil, []int{1}},
		{"no answer", []step{{1, 0}}, nil, []int{Absent, 1}},
		{"the last of several", []step{{1, 1}, {2, 2}}, nil, []int{2}},
		{"no answer to the last", []step{{1, 1}, {2, 2}, {3, 0}}, nil, []int{2, 3}},
		{"no answer to one between", []step{{1, 1}, {2, 0}, {3, 3}}, nil, []int{3}},
		{"removed", []step{{1, 1}, {Absent, 2}}, nil, []int{Absent}},
		{"perhaps removed", []step{{1, 1}, {Absent, 0}}, nil, []int{Absent, 1}},
		{"lost by a disk, as was said", []step{{1, 1}, {2, 5}}, []window{{at(4), at(6)}}, []int{1, 2}},
		{"all of it lost by a disk", []step{{1, 4}, {2, 5}}, []window{{at(4), at(6)}}, []int{Absent, 1, 2}},
		{"written after a disk was lost", []step{{1, 5}, {2, 7}}, []window{{at(4), at(6)}}, []int{2}},
		{"written before what was said to be lost", []step{{1, 3}}, []window{{at(4), at(6)}}, []int{1}},
	} {
		l := New()
		for _, s := range c.steps {
			l.Try("k", s.value)
			if s.second > 0 {
				l.Acknowledge("k", at(s.second))
			}
		}
		for _, x := range c.excused {
			l.Excuse(x.from, x.to)
		}
		for value := range 5 {
			lost := l.Check(map[string]int{"k": value})
			if good := slices.Contains(c.may, value); good != (len(lost) == 0) {
				t.Errorf("%s: with %d: %v, want one of %v", c.why, value, lost, c.may)
			}
		}
	}
}

// A store that forgets one acknowledged write of many is found out, whichever it is, and
// one that forgets nothing is not.
func TestEveryPlantedLossIsFound(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		l, store := New(), map[string]int{}
		for n := range 40 {
			key := fmt.Sprintf("k%d", random.IntN(10))
			l.Try(key, n+1)
			happens, answered := random.IntN(4) > 0, random.IntN(4) > 0
			if happens {
				store[key] = n + 1
			}
			if happens && answered {
				l.Acknowledge(key, at(n+1))
			}
		}
		if lost := l.Check(store); len(lost) != 0 {
			t.Fatalf("seed %d: nothing is lost: %v", seed, lost)
		}
		for key, all := range l.writes {
			last := slices.IndexFunc(all, l.holds)
			if last < 0 {
				continue
			}
			kept := store[key]
			delete(store, key)
			if lost := l.Check(store); len(lost) != 1 {
				t.Fatalf("seed %d: %s is lost: %v", seed, key, lost)
			}
			store[key] = kept
		}
	}
}
