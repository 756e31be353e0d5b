// Package ledger knows what writers were told of their writes, and says what of it a
// store has lost: every write that was acknowledged is there, or a later one in its place
// (in the words of Jepsen: what is :ok must be read, what is :info may be).
//
// A writer hides a loss with its next write. So it shows the ledger what it reads before it
// writes, and whatever may not be so is kept until all excuses are known.
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
	// sent is when it was: it was not there before. Acknowledged is when the store said that
	// it has it; zero while nobody knows.
	sent, acknowledged time.Time
}

// Sight is what was read of a key: the value that it had at some time between the request
// and its answer.
type Sight struct {
	Value          int
	Sent, Answered time.Time
}

// Loss is that of a disk, from which nobody can get back what was written last.
type Loss struct {
	// Point is the time of which the store said before that everything that was
	// acknowledged until then is there in any case.
	Point time.Time
	// From is when the disk had all of it still, To when nothing wrote to it any more.
	From, To time.Time
}

// excuses says whether a write may be missing in what is seen because of a loss. Between the
// write's request and its answer nobody knows when the disk had it.
func (x Loss) excuses(w write, seen Sight) bool {
	return !w.acknowledged.Before(x.Point) && !w.sent.After(x.To) && !seen.Answered.Before(x.From)
}

// suspicion is what a writer has seen that may not be, unless it is excused later.
type suspicion struct {
	key  string
	seen Sight
	// tried is how many writes to the key there were by then, held the index of the last
	// one that had to be there.
	tried, held int
}

// Ledger holds the writes to each key, in the order in which they were tried. A key has
// one writer, which does not try the next write before the last one's time is over.
type Ledger struct {
	mu     sync.Mutex
	writes map[string][]write
	// excused are the losses that the store had to suffer.
	excused    []Loss
	suspicions []suspicion
}

// New is an empty ledger.
func New() *Ledger { return &Ledger{writes: map[string][]write{}} }

// Try notes that a write is sent: from now on it may be there.
func (l *Ledger) Try(key string, value int, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes[key] = append(l.writes[key], write{value: value, sent: at})
}

// Acknowledge notes that the key's last write was confirmed.
func (l *Ledger) Acknowledge(key string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.writes[key]
	all[len(all)-1].acknowledged = at
}

// Excuse takes back the promise for what a loss cost. It need not be known before somebody
// sees what the loss did.
func (l *Ledger) Excuse(loss Loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.excused = append(l.excused, loss)
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

// Saw notes what the writer of a key reads before its next write, which will hide what is
// lost by then. It is no loss yet: its excuse may be on its way.
func (l *Ledger) Saw(key string, seen Sight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.writes[key]
	held := l.held(all, seen)
	if slices.Contains(possible(all, held), seen.Value) || slices.ContainsFunc(l.suspicions, func(s suspicion) bool {
		return s.key == key && s.held == held && s.seen.Value == seen.Value
	}) {
		return
	}
	l.suspicions = append(l.suspicions, suspicion{key, seen, len(all), held})
}

// Seen returns a line for each loss that writers saw and that nothing has excused, however
// the store looks by now.
func (l *Ledger) Seen() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lost []string
	for _, s := range l.suspicions {
		if line := l.complaint(s.key, l.writes[s.key][:s.tried], s.seen); line != "" {
			lost = append(lost, line)
		}
	}
	return lost
}

// Check compares the ledger with what the store has, which was asked and answered at these
// times, and returns a line for each key that has not what it must. Keys that nobody tried
// to write are none of its business.
func (l *Ledger) Check(found map[string]int, sent, answered time.Time) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lost []string
	for _, key := range slices.Sorted(maps.Keys(l.writes)) {
		if line := l.complaint(key, l.writes[key], Sight{found[key], sent, answered}); line != "" {
			lost = append(lost, line)
		}
	}
	return lost
}

// complaint says what is wrong with what was seen of a key; empty if nothing is.
func (l *Ledger) complaint(key string, all []write, seen Sight) string {
	held := l.held(all, seen)
	may := possible(all, held)
	if slices.Contains(may, seen.Value) {
		return ""
	}
	because := "no write has to be there"
	if held >= 0 {
		because = fmt.Sprintf("%s was sent at %s and acknowledged at %s", name(all[held].value), clock(all[held].sent), clock(all[held].acknowledged))
	}
	return fmt.Sprintf("%s is %s, and must be %s: %s, this was asked at %s and answered at %s",
		key, name(seen.Value), names(may), because, clock(seen.Sent), clock(seen.Answered))
}

// held is the index of the last write that must have happened when something was seen; -1
// if there is none. One that is excused may be undone; what was there before may then be
// back, up to the last one that is not excused.
func (l *Ledger) held(all []write, seen Sight) int {
	last := len(all) - 1
	for last >= 0 && !l.holds(all[last], seen) {
		last--
	}
	return last
}

func (l *Ledger) holds(w write, seen Sight) bool {
	return !w.acknowledged.IsZero() && !slices.ContainsFunc(l.excused, func(x Loss) bool { return x.excuses(w, seen) })
}

// possible are the values that a key may have: that of the last write that must have
// happened, and those of all later ones.
func possible(all []write, held int) []int {
	var may []int
	if held < 0 {
		may = append(may, Absent)
	}
	for _, w := range all[max(held, 0):] {
		may = append(may, w.value)
	}
	return may
}

func clock(t time.Time) string { return t.Format("15:04:05.000") }

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
