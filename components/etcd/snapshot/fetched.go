package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Where a volume has no room for the data and for what takes their place, the data go first.
// From then on there is nothing but the backups: what was fetched of them is on the disk, and
// noted, before that, and a run that comes after needs no source.

// fetchedBackups is what was fetched, and what for.
type fetchedBackups struct {
	Full     backup   `json:"full"`
	Revision int64    `json:"revision"`
	Deltas   []backup `json:"deltas,omitempty"`
	// Files are the names of the deltas' files, and Snapshot that of the full's.
	Snapshot string   `json:"snapshot"`
	Files    []string `json:"files,omitempty"`
	// Damaged are the names of those that were passed over.
	Damaged []string `json:"damaged,omitempty"`
	// Newest and Highest are as in an offer.
	Newest  int64 `json:"newest"`
	Highest int64 `json:"highest"`
	// Reason is what was wrong with the data.
	Reason string `json:"reason"`
}

func (r recovering) fetched() string { return filepath.Join(r.work(), "fetched.json") }

// gone is where the data go before they are removed. They are whole there.
func (r recovering) gone() string { return filepath.Join(r.work(), "gone") }

// remove removes the data that have gone: what is left of them when that is interrupted is not to
// be taken for data.
func (r recovering) remove() error {
	parts := r.gone() + ".part"
	err := os.Rename(r.gone(), parts)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err = errors.Join(err, os.RemoveAll(parts)); err != nil {
		return fmt.Errorf("make room: %w", err)
	}
	return nil
}

// bringBack puts data into their place again that went for what is not to be used now.
func (r recovering) bringBack() error {
	if missing, err := absent(r.gone()); missing != "" || err != nil {
		return err
	}
	if missing, err := absent(r.dataDir); missing == "" || err != nil {
		return err
	}
	if err := os.RemoveAll(r.dataDir); err != nil {
		return fmt.Errorf("bring the data back: %w", err)
	}
	if err := os.Rename(r.gone(), r.dataDir); err != nil {
		return fmt.Errorf("bring the data back: %w", err)
	}
	return syncDir(filepath.Dir(r.dataDir))
}

// madeRoom says whether the data went for what was fetched. An etcd that was started since has
// left a directory without a log.
func (r recovering) madeRoom() bool {
	if _, err := os.Stat(r.fetched()); err != nil {
		return false
	}
	reason, err := absent(r.dataDir)
	return err == nil && reason != ""
}

// giveUp removes the data for what was fetched, all of which is read once more before. If it is
// not whole it is said what is wrong with it.
func (r recovering) giveUp(ctx context.Context, o *offer, found *verdict) (string, error) {
	r.step("verify")
	seen, err := runChild(ctx, "inspect", inspection{Path: o.recording.snapshot, Pages: true})
	if err != nil || seen.damage != "" {
		return seen.damage, err
	}
	for i, delta := range o.recording.deltas {
		if err := checkDelta(o.recording.paths[i], delta); err != nil {
			return "", fmt.Errorf("%s was whole when it was fetched, and is not any more: %w", delta.Name, err)
		}
	}
	r.step("keep")
	if err := r.keep(o, *found); err != nil {
		return "", err
	}
	r.step("clear")
	if err := os.RemoveAll(r.lost()); err != nil {
		return "", fmt.Errorf("make room: %w", err)
	}
	if err := os.Rename(r.dataDir, r.gone()); err != nil {
		return "", fmt.Errorf("make room: %w", err)
	}
	o.cleared, found.content, found.most = true, content{}, 0
	if err := syncDir(filepath.Dir(r.dataDir)); err != nil {
		return "", err
	}
	r.step("remove")
	return "", r.remove()
}

// keep notes what was fetched once all of it is on the disk.
func (r recovering) keep(o *offer, found verdict) error {
	if err := syncTree(r.work()); err != nil {
		return err
	}
	left := fetchedBackups{
		Full: o.recording.full, Revision: o.recording.revision, Deltas: o.recording.deltas, Snapshot: filepath.Base(o.recording.snapshot),
		Damaged: o.damaged, Newest: o.newest, Highest: o.highest, Reason: found.reason,
	}
	for _, path := range o.recording.paths {
		left.Files = append(left.Files, filepath.Base(path))
	}
	text, err := json.Marshal(left)
	if err != nil {
		return fmt.Errorf("encode what was fetched: %w", err)
	}
	if err := writeNote(r.fetched(), string(text)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(r.work()))
}

// left takes what an earlier run fetched and removed the data for, if that is whole, and no backup
// is known to reach beyond what was named then. It says what was wrong with the data; nothing if
// there is no such thing.
func (r recovering) left(ctx context.Context, o *offer) (verdict, error) {
	if !r.madeRoom() {
		return verdict{}, nil
	}
	text, err := os.ReadFile(r.fetched())
	if err != nil {
		return verdict{}, fmt.Errorf("look for what was fetched: %w", err)
	}
	var left fetchedBackups
	if json.Unmarshal(text, &left) != nil || len(left.Files) != len(left.Deltas) {
		return verdict{}, nil
	}
	if err := o.askOnce(ctx); err == nil && o.newest > left.Newest {
		return verdict{}, nil // there was an etcd since
	}
	found := recording{full: left.Full, snapshot: filepath.Join(r.work(), left.Snapshot), revision: left.Revision, deltas: left.Deltas}
	seen, err := runChild(ctx, "inspect", inspection{Path: found.snapshot, Pages: true})
	if err != nil || seen.damage != "" {
		return verdict{}, err
	}
	for i, delta := range left.Deltas {
		path := filepath.Join(r.work(), left.Files[i])
		if checkDelta(path, delta) != nil {
			return verdict{}, nil // it is fetched anew
		}
		found.paths = append(found.paths, path)
	}
	if err := r.remove(); err != nil {
		return verdict{}, err
	}
	o.damaged, o.newest, o.highest = left.Damaged, left.Newest, max(left.Highest, o.highest)
	o.recording, o.gathered, o.cleared = found, true, true
	return verdict{reason: left.Reason}, nil
}
