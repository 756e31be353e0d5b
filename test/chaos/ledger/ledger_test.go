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

// step is a write to a key, sent in the second before the one in which it was acknowledged.
type step struct {
	value, second int // second 0 is no answer
}

// lost is a disk that went in second 6, from which everything until second 3 is back.
var lost = Loss{Point: at(4), From: at(6), To: at(6)}

func written(steps []step) *Ledger {
	l := New()
	for _, s := range steps {
		l.Try("k", s.value, at(max(s.second, 1)-1))
		if s.second > 0 {
			l.Acknowledge("k", at(s.second))
		}
	}
	return l
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		why     string
		steps   []step
		excused []Loss
		may     []int
	}{
		{"acknowledged", []step{{1, 1}}, nil, []int{1}},
		{"no answer", []step{{1, 0}}, nil, []int{Absent, 1}},
		{"the last of several", []step{{1, 1}, {2, 2}}, nil, []int{2}},
		{"no answer to the last", []step{{1, 1}, {2, 2}, {3, 0}}, nil, []int{2, 3}},
		{"no answer to one between", []step{{1, 1}, {2, 0}, {3, 3}}, nil, []int{3}},
		{"removed", []step{{1, 1}, {Absent, 2}}, nil, []int{Absent}},
		{"perhaps removed", []step{{1, 1}, {Absent, 0}}, nil, []int{Absent, 1}},
		{"lost by a disk, as was said", []step{{1, 1}, {2, 5}}, []Loss{lost}, []int{1, 2}},
		{"all of it lost by a disk", []step{{1, 4}, {2, 5}}, []Loss{lost}, []int{Absent, 1, 2}},
		{"removed, which a disk lost", []step{{1, 1}, {Absent, 5}}, []Loss{lost}, []int{Absent, 1}},
		{"sent before a disk was lost and answered after", []step{{1, 1}, {2, 7}}, []Loss{lost}, []int{1, 2}},
		{"sent after a disk was lost", []step{{1, 5}, {2, 8}}, []Loss{lost}, []int{2}},
		{"written before what was said to be lost", []step{{1, 3}}, []Loss{lost}, []int{1}},
	} {
		l := written(c.steps)
		for _, x := range c.excused {
			l.Excuse(x)
		}
		for value := range 5 {
			lost := l.Check(map[string]int{"k": value}, at(20), at(21))
			if good := slices.Contains(c.may, value); good != (len(lost) == 0) {
				t.Errorf("%s: with %d: %v, want one of %v", c.why, value, lost, c.may)
			}
		}
	}
}

// What a writer sees before it writes is a loss or not, however the store looks when
// everything is compared.
func TestSeen(t *testing.T) {
	for _, c := range []struct {
		why   string
		steps []step
		// seen is what the writer read, and when that was answered; it wrote over it then.
		seen, second int
		// excused is what was learned of after that.
		excused []Loss
		lost    bool
	}{
		{"what was acknowledged", []step{{1, 1}, {2, 2}}, 2, 9, nil, false},
		{"a counter that went back", []step{{56, 1}, {57, 2}}, 56, 9, nil, true},
		{"an entry that vanished", []step{{1, 1}}, Absent, 9, nil, true},
		{"an entry whose making had no answer", []step{{1, 0}}, Absent, 9, nil, false},
		{"an entry that is there though its making had no answer", []step{{1, 0}}, 1, 9, nil, false},
		{"a raise without an answer that did not happen", []step{{56, 1}, {57, 0}}, 56, 9, nil, false},
		{"a raise without an answer that happened", []step{{56, 1}, {57, 0}}, 57, 9, nil, false},
		{"more went back than had no answer", []step{{55, 1}, {56, 2}, {57, 0}}, 55, 9, nil, true},
		{"lost by a disk, as was said later", []step{{56, 1}, {57, 5}}, 56, 9, []Loss{lost}, false},
		{"all of it lost by a disk", []step{{1, 5}}, Absent, 9, []Loss{lost}, false},
		{"read while a disk was lost", []step{{56, 1}, {57, 5}}, 56, 6, []Loss{lost}, false},
		{"lost before a disk was", []step{{56, 1}, {57, 4}}, 56, 5, []Loss{lost}, true},
		{"before the point up to which all is back", []step{{56, 1}, {57, 3}}, 56, 9, []Loss{lost}, true},
		{"more than a disk may lose", []step{{55, 1}, {56, 3}, {57, 5}}, 55, 9, []Loss{lost}, true},
		{"sent after a disk was lost", []step{{56, 1}, {57, 8}}, 56, 9, []Loss{lost}, true},
		{"one of two disks may have", []step{{56, 1}, {57, 8}}, 56, 10, []Loss{lost, {Point: at(7), From: at(9), To: at(9)}}, false},
	} {
		l := written(c.steps)
		for range 3 { // a writer that does not get on reads it again
			l.Saw("k", Sight{c.seen, at(c.second - 1), at(c.second)})
		}
		l.Try("k", 58, at(c.second))
		l.Acknowledge("k", at(c.second))
		for _, x := range c.excused {
			l.Excuse(x)
		}
		if lines := l.Seen(); len(lines) > 1 || c.lost != (len(lines) == 1) {
			t.Errorf("%s: %q, want a loss: %t", c.why, lines, c.lost)
		}
		if lines := l.Check(map[string]int{"k": 58}, at(20), at(21)); len(lines) > 0 {
			t.Errorf("%s: the next write does not hide it: %q", c.why, lines)
		}
	}
}

func TestALossIsToldWithItsTimes(t *testing.T) {
	l := written([]step{{56, 1}, {57, 3}, {58, 0}})
	l.Saw("k", Sight{56, at(4), at(5)})
	want := "k is 56, and must be 57 or 58: 57 was sent at 12:00:02.000 and acknowledged at 12:00:03.000, this was asked at 12:00:04.000 and answered at 12:00:05.000"
	if lines := l.Seen(); !slices.Equal(lines, []string{want}) {
		t.Errorf("%q, want %q", lines, want)
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
			l.Try(key, n+1, at(n))
			happens, answered := random.IntN(4) > 0, random.IntN(4) > 0
			if happens {
				store[key] = n + 1
			}
			if happens && answered {
				l.Acknowledge(key, at(n+1))
			}
		}
		if lost := l.Check(store, at(50), at(51)); len(lost) != 0 {
			t.Fatalf("seed %d: nothing is lost: %v", seed, lost)
		}
		for key, all := range l.writes {
			if l.held(all, Sight{Answered: at(51)}) < 0 {
				continue
			}
			kept := store[key]
			delete(store, key)
			if lost := l.Check(store, at(50), at(51)); len(lost) != 1 {
				t.Fatalf("seed %d: %s is lost: %v", seed, key, lost)
			}
			store[key] = kept
		}
	}
}
