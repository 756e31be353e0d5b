package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
)

// recording is a snapshot and the deltas that continue it, fetched and checked.
type recording struct {
	full backup
	// snapshot is the file of the full, and revision its true one.
	snapshot string
	revision int64
	deltas   []backup
	paths    []string
}

// last is the backup that says how far the recording reaches.
func (r recording) last() backup {
	if len(r.deltas) > 0 {
		return r.deltas[len(r.deltas)-1]
	}
	return r.full
}

// reached is the last revision that it holds.
func (r recording) reached() int64 {
	if len(r.deltas) > 0 {
		return r.last().Last
	}
	return r.revision
}

// gathering fetches backups into a directory and passes over what is damaged.
type gathering struct {
	source *source
	dir    string
	// damaged are the names of backups that are of no use, and why says the reason
	// for each.
	damaged []string
	why     []string
}

func (g *gathering) note(b backup, reason string) {
	g.damaged = append(g.damaged, b.Name)
	g.why = append(g.why, fmt.Sprintf("%s (%s)", b.Name, oneLine(reason)))
}

// errNoFull says that there is nothing that could be put back. It stays so.
var errNoFull = errors.New("there is no full backup")

// gather takes the newest full that is whole and all that continues it. A full that
// is older reaches no further: what continues it beyond the newest one continues the
// newest one too.
func (g *gathering) gather(ctx context.Context, list []backup) (recording, error) {
	for _, full := range fulls(without(list, g.damaged)) {
		r := recording{full: full, snapshot: filepath.Join(g.dir, "full.db")}
		reason, err := g.fetchFull(ctx, &r)
		if err != nil {
			return recording{}, err
		}
		if reason != "" {
			g.note(full, reason)
			continue
		}
		return g.continued(ctx, list, r)
	}
	if len(g.why) > 0 {
		return recording{}, fmt.Errorf("%w that is of use: %s", errNoFull, strings.Join(g.why, ", "))
	}
	return recording{}, errNoFull
}

// fetchFull returns what is wrong with a full; empty if it is of use.
func (g *gathering) fetchFull(ctx context.Context, r *recording) (string, error) {
	err := g.source.fetch(ctx, r.full.Name, r.snapshot)
	if useless(err) {
		return err.Error(), nil
	}
	if err != nil {
		return "", err
	}
	found, err := runChild(ctx, "inspect", inspection{Path: r.snapshot})
	if err != nil {
		return "", err
	}
	// A compaction can remove the last revision's only trace, a deletion.
	r.revision = max(found.Revision, r.full.Last)
	return found.damage, nil
}

// continued adds the deltas. If one is damaged others may cover what it holds.
func (g *gathering) continued(ctx context.Context, list []backup, r recording) (recording, error) {
	fetched := map[string]string{}
	for {
		r.deltas = chain(without(list, g.damaged), r.revision)
		before := len(g.damaged)
		if err := g.fetchDeltas(ctx, r.deltas, fetched); err != nil {
			return recording{}, err
		}
		if len(g.damaged) == before {
			for _, delta := range r.deltas {
				r.paths = append(r.paths, fetched[delta.Name])
			}
			return r, nil
		}
	}
}

// deltasAtOnce is how many deltas are asked for at the same time. They are small and many:
// most of what one takes is the way to a store and back. The source has some more calls of a
// cluster's at once with a store.
const deltasAtOnce = 3

// fetchDeltas fetches those that are not yet in fetched, the files by their names, and
// notes which are damaged.
func (g *gathering) fetchDeltas(ctx context.Context, deltas []backup, fetched map[string]string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type outcome struct{ path, damage string }
	outcomes := make([]outcome, len(deltas))
	slots := make(chan struct{}, deltasAtOnce)
	var fetching sync.WaitGroup
	for i, delta := range deltas {
		if outcomes[i].path = fetched[delta.Name]; outcomes[i].path != "" {
			continue
		}
		outcomes[i].path = filepath.Join(g.dir, fmt.Sprintf("delta-%d", len(fetched)+len(g.damaged)+i))
		slots <- struct{}{}
		fetching.Go(func() {
			defer func() { <-slots }()
			var err error
			if outcomes[i].damage, err = g.fetchDelta(ctx, delta, outcomes[i].path); err != nil {
				cancel(err) // the first one says why; the others end by it
			}
		})
	}
	fetching.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for i, o := range outcomes {
		if o.damage != "" {
			g.note(deltas[i], o.damage)
		} else {
			fetched[deltas[i].Name] = o.path
		}
	}
	return nil
}

// fetchDelta returns what is wrong with a delta; empty if it is of use.
func (g *gathering) fetchDelta(ctx context.Context, delta backup, path string) (string, error) {
	err := g.source.fetch(ctx, delta.Name, path)
	if err == nil {
		err = checkDelta(path, delta)
	}
	if useless(err) {
		return err.Error(), nil
	}
	return "", err
}

func useless(err error) bool { return errors.Is(err, errGone) || errors.Is(err, errDamaged) }

// newest is the last revision that any backup of the present history holds.
func newest(list []backup) int64 {
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1].Last
}
