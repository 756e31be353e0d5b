package main

import (
	"slices"
	"time"
)

const (
	kindFull  = "full"
	kindDelta = "delta"
)

// backup is one object of the source.
type backup struct {
	Name string `json:"name"`
	// Kind is kindFull or kindDelta.
	Kind string `json:"kind"`
	// First and Last are the revisions that a delta holds, all of them. For a full
	// both are a lower bound of the snapshot's revision.
	First int64 `json:"first"`
	Last  int64 `json:"last"`
	// Time is when etcd had what the backup holds.
	Time time.Time `json:"time"`
	// Size is that of the sealed object, in bytes.
	Size int64 `json:"size"`
}

// fulls returns the full backups, the newest first.
func fulls(list []backup) []backup {
	found := slices.DeleteFunc(slices.Clone(list), func(b backup) bool { return b.Kind != kindFull })
	slices.Reverse(found)
	return found
}

// chain returns the deltas that continue a revision, one after the other, up to the
// first gap. Of those that continue it takes the one that reaches furthest: since
// what follows any of the others follows that one too, no chain reaches further.
func chain(list []backup, revision int64) []backup {
	var found []backup
	for {
		var next *backup
		for i, b := range list {
			continues := b.Kind == kindDelta && b.First <= revision+1 && b.Last > revision
			if continues && (next == nil || b.Last > next.Last) {
				next = &list[i]
			}
		}
		if next == nil {
			return found
		}
		found, revision = append(found, *next), next.Last
	}
}

// highest is the last revision that any backup holds, of whichever history.
func highest(list []backup) int64 {
	found := int64(0)
	for _, b := range list {
		found = max(found, b.Last)
	}
	return found
}

// without returns the backups that do not have one of the names.
func without(list []backup, names []string) []backup {
	return slices.DeleteFunc(slices.Clone(list), func(b backup) bool { return slices.Contains(names, b.Name) })
}
