// Package ledger knows what writers were told of their writes, and says what of it a
// store has lost: every write that was acknowledged is there, or a later one in its place
// (in the words of Jepsen: what is :ok must be read, what is :info may be).
package ledger

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Absent is the value of a key that is not there.
const Absent = 0

// write is one attempt to give a key a value; one with Absent removes it.
type write struct {
	value int
	// acknowledged is when the store said that it has it; zero while nobody knows.
	acknowledged time.Time
}

// Ledger holds the writes to each key, in the order in which they were tried. A key has
// one writer, which does not try the next write before the last one's time is over.
type Ledger struct {
	mu     sync.Mutex
	writes map[string][]write
	// excused are the times whose acknowledged writes the store has said to be lost.
	excused []window
}

type window struct{ from, to time.Time }

// New is an empty ledger.
func New() *Ledger { return &Ledger{writes: map[string][]write{}} }

// Try notes that a write is sent: from now on it may be there.
func (l *Ledger) Try(key string, value int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes[key] = append(l.writes[key], write{value: value})
}

// Acknowledge notes that the key's last write was confirmed.
func (l *Ledger) Acknowledge(key string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.writes[key]
	all[len(all)-1].acknowledged = at
}

// Excuse takes back the promise for writes that were acknowledged within a time: a store
// whose disk is gone is brought back as it was backed up, and says up to when.
func (l *Ledger) Excuse(from, to time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.excused = append(l.excused, window{from, to})
}

// Acknowledged is how many writes were confirmed.
func (l *Ledger) Acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := 0
	for _, all := range l.writes {
		for _, w := range all {
			if !w.acknowledged.IsZero() {
				count++
			}
		}
	}
	return count
}

// Check compares the ledger with what the store has, and returns a line for each key that
// has not what it must. Keys that nobody tried to write are none of its business.
func (l *Ledger) Check(found map[string]int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lost []string
	for _, key := range slices.Sorted(maps.Keys(l.writes)) {
		if may := l.possible(l.writes[key]); !slices.Contains(may, found[key]) {
			lost = append(lost, fmt.Sprintf("%s is %s, and must be %s", key, name(found[key]), names(may)))
		}
	}
	return lost
}

// possible are the values that a key may have: that of the last write that must have
// happened, and those of all later ones. Excused is a write that may be undone; what was
// there before may then be back, up to the last one that is not excused.
func (l *Ledger) possible(all []write) []int {
	first := len(all) - 1
	for first >= 0 && !l.holds(all[first]) {
		first--
	}
	var may []int
	if first < 0 {
		may = append(may, Absent)
	}
	for _, w := range all[max(first, 0):] {
		may = append(may, w.value)
	}
	return may
}

func (l *Ledger) holds(w write) bool {
	return !w.acknowledged.IsZero() && !slices.ContainsFunc(l.excused, func(x window) bool {
		return !w.acknowledged.Before(x.from) && !w.acknowledged.After(x.to)
	})
}

func name(value int) string {
	if value == Absent {
		return "absent"
	}
	return fmt.Sprint(value)
}

func names(values []int) string {
	text := name(values[0])
	for _, v := range values[1:] {
		text += " or " + name(v)
	}
	return text
}
