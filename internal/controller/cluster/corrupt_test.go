package cluster

import (
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/policy"
)

// What members hold counts when it was seen twice. Where it never is the same twice nothing is
// done, and that is told and looked at less often; it begins anew when it was the same for once.
func TestLooks(t *testing.T) {
	began := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		why string
		// looks are what one member was seen to hold, one each ten seconds.
		looks       []uint32
		again, long bool
		holds       time.Duration
	}{
		{"one look", []uint32{1}, false, false, looksApart},
		{"the same twice", []uint32{1, 1}, true, false, tornAgain},
		{"another thing", []uint32{1, 2}, false, false, looksApart},
		{"another thing each time", []uint32{1, 2, 3, 4, 5, 6, 7}, false, true, tornAgain},
		{"it settles late", []uint32{1, 2, 3, 4, 5, 6, 7, 7}, true, true, tornAgain},
		{"it stays for long, and then changes for once", []uint32{1, 1, 1, 1, 1, 1, 1, 1, 2}, false, false, looksApart},
	} {
		var l looks
		var last look
		for i, hash := range c.looks {
			found := policy.EtcdCorruption{Alarmed: []uint64{0}, Members: []policy.EtcdHash{{ID: 1, Answered: true, Hash: hash}, {ID: 2, Answered: true, Hash: 100}}}
			last = l.note("uid", found, began.Add(time.Duration(i)*looksApart), looksApart)
		}
		if last.found.Again != c.again || last.found.Long != c.long || last.holds != c.holds || last.told() != (c.again || c.long) {
			t.Errorf("%s: %+v", c.why, last)
		}
		if c.long && !c.again && !strings.Contains(last.message, "another thing at each look") {
			t.Errorf("%s: it says %q", c.why, last.message)
		}
	}
}
