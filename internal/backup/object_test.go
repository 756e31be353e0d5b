package backup

import (
	"slices"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func TestNamesAreReadBack(t *testing.T) {
	for _, want := range []Object{fullObject(4711, noon), deltaObject(12, 34, noon)} {
		got, ok := parse(want.Name)
		if !ok || got != want {
			t.Errorf("%s is read as %+v, want %+v", want.Name, got, want)
		}
	}
	for _, name := range []string{
		"", "notes.txt", "full-20261126T120000Z-1-2.zst.age", "delta-20261126T120000Z-5.zst.age", "delta-20261126T120000Z-9-5.zst.age",
		"full-20261399T120000Z-1.zst.age", "full-20261126T120000Z-1.zst.age.123.tmp", "../full-20261126T120000Z-1.zst.age",
		"full-20261126T120000Z-99999999999999999999.zst.age",
	} {
		if object, ok := parse(name); ok {
			t.Errorf("%q is taken for a backup: %+v", name, object)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add(fullObject(1, noon).Name)
	f.Add(deltaObject(1, 2, noon).Name)
	f.Fuzz(func(t *testing.T, name string) {
		if object, ok := parse(name); ok && (object.Name != name || object.Last < object.First || object.First < 0) {
			t.Errorf("%q is read as %+v", name, object)
		}
	})
}

// What a list leads to ends at the first gap.
func TestReach(t *testing.T) {
	full := func(revision int64, minute int) Object {
		return fullObject(revision, noon.Add(time.Duration(minute)*time.Minute))
	}
	delta := func(first, last int64, minute int) Object {
		return deltaObject(first, last, noon.Add(time.Duration(minute)*time.Minute))
	}
	for why, c := range map[string]struct {
		objects []Object
		want    int64
	}{
		"nothing":            {nil, 0},
		"no snapshot":        {[]Object{delta(1, 9, 0)}, 0},
		"a snapshot alone":   {[]Object{full(10, 0)}, 10},
		"deltas continue":    {[]Object{full(10, 0), delta(11, 20, 1), delta(21, 30, 2)}, 30},
		"a gap":              {[]Object{full(10, 0), delta(11, 20, 1), delta(22, 30, 2)}, 20},
		"an overlap":         {[]Object{full(10, 0), delta(5, 20, 1), delta(15, 30, 2)}, 30},
		"the newest counts":  {[]Object{full(10, 0), delta(11, 20, 1), full(50, 3), delta(51, 60, 4)}, 60},
		"older ones as well": {[]Object{full(10, 0), delta(11, 40, 4), full(30, 3)}, 40},
	} {
		order(c.objects)
		if got, _ := reach(c.objects); got != c.want {
			t.Errorf("%s: %d, want %d", why, got, c.want)
		}
	}
}

// Tiers of retention: everything for some hours, then days, then weeks; never less than
// the newest snapshot and what continues it.
func TestRetention(t *testing.T) {
	keep := Retention{All: 2 * time.Hour, Daily: 3 * 24 * time.Hour, Weekly: 14 * 24 * time.Hour}
	var objects []Object
	for at := noon.Add(-30 * 24 * time.Hour); !at.After(noon); at = at.Add(30 * time.Minute) {
		objects = append(objects, fullObject(at.Unix(), at), deltaObject(at.Unix()+1, at.Unix()+9, at.Add(time.Minute)))
	}
	order(objects)
	gone := keep.expired(objects, noon)
	left := slices.DeleteFunc(slices.Clone(objects), func(o Object) bool { return slices.Contains(gone, o) })
	fulls, deltas := 0, 0
	for _, object := range left {
		age := noon.Sub(object.Time)
		switch {
		case object.Kind == KindDelta && age > keep.All:
			t.Errorf("the delta %s is kept", object.Name)
		case object.Kind == KindDelta:
			deltas++
		case age > keep.Weekly:
			t.Errorf("%s is kept", object.Name)
		default:
			fulls++
		}
	}
	// 5 of the last two hours, the first of each of 3 days and of each of 2 weeks, some of
	// them one and the same.
	if fulls < 8 || fulls > 10 || deltas != 5 {
		t.Errorf("%d snapshots and %d deltas are kept: %v", fulls, deltas, left)
	}
	if gone := keep.expired(left, noon); len(gone) > 0 {
		t.Errorf("a second look removes more: %v", gone)
	}
	// A clock that leaps a year leaves something to fall back to.
	leapt := noon.AddDate(1, 0, 0)
	after := append(slices.Clone(left), fullObject(leapt.Unix(), leapt))
	if stay := len(after) - len(keep.expired(after, leapt)); stay < 2 {
		t.Errorf("%d objects stay of %d after a leap of a year", stay, len(after))
	}
	old := []Object{fullObject(1, noon.Add(-900*24*time.Hour)), deltaObject(2, 3, noon.Add(-900*24*time.Hour))}
	if gone := keep.expired(old, noon); len(gone) > 0 {
		t.Errorf("a cluster that stood still loses its only backup: %v", gone)
	}
}

func TestSecretsInURLsAreNotShown(t *testing.T) {
	for address, want := range map[string]string{
		"file:///backups": "file:///backups",
		"s3://bucket?region=eu&awssdk=v2&secret=hidden": "s3://bucket",
		"azblob://user:hidden@container":                "azblob://container",
	} {
		if got := Redact(address); got != want {
			t.Errorf("%s is shown as %s", address, got)
		}
	}
}

// A snapshot is due in its time, soon after a gap, and also where a clock was ahead when
// the last was made.
func TestSnapshotDue(t *testing.T) {
	s := Schedule{Full: 30 * time.Minute, Delta: 30 * time.Second}
	ago := func(d time.Duration) time.Time { return noon.Add(-d) }
	for why, c := range map[string]struct {
		place *place
		want  bool
	}{
		"none yet":                       {&place{}, true},
		"none yet, tried just now":       {&place{tried: ago(time.Second)}, false},
		"fresh":                          {&place{full: ago(time.Minute)}, false},
		"old":                            {&place{full: ago(31 * time.Minute)}, true},
		"old, tried just now":            {&place{full: ago(31 * time.Minute), tried: ago(time.Second)}, false},
		"a gap":                          {&place{full: ago(time.Minute), lags: 2, made: 1}, true},
		"from the future":                {&place{full: ago(-9000 * time.Hour)}, true},
		"from the future, made just now": {&place{full: ago(-9000 * time.Hour), tried: ago(time.Minute)}, false},
		"from the future, with a gap":    {&place{full: ago(-9000 * time.Hour), tried: ago(2 * time.Minute), lags: 1}, true},
	} {
		if got := c.place.due(noon, s); got != c.want {
			t.Errorf("%s: %t", why, got)
		}
	}
}

// A delta that was written while a snapshot was on its way counts as older than that one, and
// reaches further.
func TestStoresThatReachAllThatWasStored(t *testing.T) {
	at := time.Date(2026, 11, 27, 21, 18, 35, 0, time.UTC)
	objects := []Object{fullObject(5, at), deltaObject(6, 20, at), fullObject(12, at.Add(4*time.Second))}
	for reached, behind := range map[int64]bool{12: false, 20: false, 21: true} {
		s := &answering{Source: Source{Await: time.Hour, Now: func() time.Time { return at }}, behind: map[string]time.Time{}}
		if err := s.reaches(asked{Vault{Reached: reached}, "c0ffee"}, objects); (err != nil) != behind {
			t.Errorf("%d was stored: %v", reached, err)
		}
	}
}
