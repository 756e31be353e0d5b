package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
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
		return recording{}, fmt.Errorf("no full backup is of use: %s", strings.Join(g.why, ", "))
	}
	return recording{}, errors.New("there is no full backup")
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
		r.deltas, r.paths = chain(without(list, g.damaged), r.revision), nil
		whole := true
		for _, delta := range r.deltas {
			if fetched[delta.Name] == "" {
				path := filepath.Join(g.dir, fmt.Sprintf("delta-%d", len(fetched)+len(g.damaged)))
				reason, err := g.fetchDelta(ctx, delta, path)
				if err != nil {
					return recording{}, err
				}
				if whole = reason == ""; !whole {
					g.note(delta, reason)
					break
				}
				fetched[delta.Name] = path
			}
			r.paths = append(r.paths, fetched[delta.Name])
		}
		if whole {
			return r, nil
		}
	}
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
