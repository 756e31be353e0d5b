package backup

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// The kinds of stored objects.
const (
	KindFull  = "full"
	KindDelta = "delta"
)

// timeFormat is that of the times in names.
const timeFormat = "20060102T150405Z"

// names is the form of an object's name. What has another is not touched, but for what
// interrupted backups left.
var names = regexp.MustCompile(`^(full|delta)-(\d{8}T\d{6}Z)-(\d+)(?:-(\d+))?\.zst\.age$`)

// Object is a stored snapshot or delta.
type Object struct {
	Name string `json:"name"`
	// Kind is KindFull or KindDelta.
	Kind string `json:"kind"`
	// First and Last are the revisions that a delta holds, all of them. Of a snapshot,
	// both are a revision that it has at least reached.
	First int64 `json:"first"`
	Last  int64 `json:"last"`
	// Time is when Last was reached; of a snapshot, when it was begun.
	Time time.Time `json:"time"`
	// Size is that of the sealed object, in bytes.
	Size int64 `json:"size"`
}

func fullObject(revision int64, begun time.Time) Object {
	begun = begun.UTC().Truncate(time.Second)
	return Object{
		Name: fmt.Sprintf("%s-%s-%d.zst.age", KindFull, begun.Format(timeFormat), revision),
		Kind: KindFull, First: revision, Last: revision, Time: begun,
	}
}

func deltaObject(first, last int64, at time.Time) Object {
	at = at.UTC().Truncate(time.Second)
	return Object{
		Name: fmt.Sprintf("%s-%s-%d-%d.zst.age", KindDelta, at.Format(timeFormat), first, last),
		Kind: KindDelta, First: first, Last: last, Time: at,
	}
}

// parse reads a name. The boolean is false for what is no backup.
func parse(name string) (Object, bool) {
	parts := names.FindStringSubmatch(name)
	if parts == nil || (parts[1] == KindDelta) != (parts[4] != "") {
		return Object{}, false
	}
	at, err := time.Parse(timeFormat, parts[2])
	first, firstErr := strconv.ParseInt(parts[3], 10, 64)
	last := first
	if parts[4] != "" {
		last, _ = strconv.ParseInt(parts[4], 10, 64)
	}
	if err != nil || firstErr != nil || last < first {
		return Object{}, false
	}
	return Object{Name: name, Kind: parts[1], First: first, Last: last, Time: at}, true
}

// order sorts objects by age, the oldest first. Times decide: what was put back by hand
// may count its revisions from the start again.
func order(objects []Object) {
	slices.SortFunc(objects, func(a, b Object) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Last, b.Last), cmp.Compare(a.Name, b.Name))
	})
}

// newestFull is the last snapshot of a list in order; nil if there is none.
func newestFull(objects []Object) *Object {
	for i := len(objects) - 1; i >= 0; i-- {
		if objects[i].Kind == KindFull {
			return &objects[i]
		}
	}
	return nil
}

// reach is the last revision that a list in order leads to from its newest snapshot, and
// when that was; zero if there is no snapshot.
func reach(objects []Object) (int64, time.Time) {
	full := newestFull(objects)
	if full == nil {
		return 0, time.Time{}
	}
	revision, at := full.Last, full.Time
	deltas := slices.DeleteFunc(slices.Clone(objects), func(o Object) bool { return o.Kind != KindDelta })
	slices.SortStableFunc(deltas, func(a, b Object) int { return cmp.Compare(a.First, b.First) })
	for _, delta := range deltas {
		if delta.First <= revision+1 && delta.Last > revision {
			revision, at = delta.Last, delta.Time
		}
	}
	return revision, at
}
