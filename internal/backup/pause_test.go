package backup

import (
	"testing"
	"time"
)

// The pause between attempts grows with those that etcd was read for in vain, up to the
// time from one snapshot to the next. A store that is away is looked at as often as before,
// and one that takes deltas again gets its snapshot soon.
func TestPauseBetweenAttempts(t *testing.T) {
	s := Schedule{Full: 30 * time.Minute, Delta: 30 * time.Second}
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	p := &place{}
	check := func(why string, want time.Duration) {
		t.Helper()
		if p.due(now.Add(want-time.Second), s) || !p.due(now.Add(want), s) {
			t.Errorf("%s: the next one is not %s later", why, want)
		}
	}
	p.begin(now)
	check("it did not answer", time.Minute)
	for n, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
		p.begin(now)
		p.given()
		check("it did not take one", want*time.Minute)
		if n > 4 {
			p.tookDelta(true) // it takes what is small
		}
	}
	p.tookDelta(false)
	p.tookDelta(true)
	check("it takes deltas again", time.Minute)
	p.given()
	p.stored(Object{Time: now}, 0)
	if p.failed != 0 || p.due(now.Add(29*time.Minute), s) {
		t.Errorf("stored, and yet: %d failed", p.failed)
	}
}

// A snapshot is not begun on a disk that it would fill.
func TestSpoolLeavesAReserve(t *testing.T) {
	if s, err := newSpool(t.TempDir(), 8<<50); err == nil {
		s.close()
		t.Error("there is room for more than any disk has")
	}
	s, err := newSpool(t.TempDir(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	s.dir += "/gone" // a disk that cannot be measured is not written to
	piece := make([]byte, 1<<20)
	for range measured/len(piece) + 1 {
		_, err = s.Write(piece)
	}
	if err == nil {
		t.Error("the disk is not measured while it fills")
	}
}

// What continues a snapshot that was made while a clock was ahead is kept, though it seems
// to be older by more than anything is kept for.
func TestDeltasAfterAClockThatWasAheadAreKept(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	objects := []Object{
		deltaObject(3, 4, now.Add(-time.Minute)), // before the snapshot
		deltaObject(8, 9, now), fullObject(7, now.Add(24*time.Hour)),
	}
	for i := range objects {
		objects[i].Name = objects[i].Kind + objects[i].Time.Format(time.RFC3339)
	}
	order(objects)
	gone := Retention{All: time.Hour}.expired(objects, now)
	if len(gone) != 1 || gone[0].Last != 4 {
		t.Errorf("removed: %+v", gone)
	}
}
