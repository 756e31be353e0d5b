package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A recovery leaves its mark in the new data directory when that is whole, so that
// the mark goes with it into the place of the old one, and the same as a note beside
// it when all is done. A run that finds one of them goes on from there.

// mark is what a recovery has done.
type mark struct {
	ID     string         `json:"id"`
	Report recoveryReport `json:"report"`
}

// marked is the name of the mark in a data directory.
const marked = "recovered.json"

func (r recovering) note() string  { return r.dataDir + ".recovered" }
func (r recovering) fresh() string { return r.dataDir + ".new" }

// lost is where the data go that no etcd came up on.
func (r recovering) lost() string { return r.dataDir + ".lost" }

// work is the directory for what is fetched.
func (r recovering) work() string { return filepath.Join(filepath.Dir(r.dataDir), "recovery") }

func (r recovering) hasEvidence() bool {
	_, err := os.Stat(r.lost())
	return err == nil
}

// resume ends a recovery that was interrupted after its data directory was whole, and
// returns its report. There may be none yet.
func (r recovering) resume() (recoveryReport, bool, error) {
	found, err := r.read(r.note())
	if err != nil || found != nil {
		return r.resumed(found, err, r.tidy)
	}
	found, err = r.read(filepath.Join(r.dataDir, marked))
	if err != nil || found != nil {
		return r.resumed(found, err, func() error { return r.conclude(*found) })
	}
	found, err = r.read(filepath.Join(r.fresh(), marked))
	return r.resumed(found, err, func() error { return r.replace(*found) })
}

func (r recovering) resumed(found *mark, err error, proceed func() error) (recoveryReport, bool, error) {
	if err != nil || found == nil {
		return recoveryReport{}, false, err
	}
	return found.Report, true, proceed()
}

// read returns the mark of this recovery; none if there is no such file, or that of
// another one.
func (r recovering) read(path string) (*mark, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for an earlier run: %w", err)
	}
	found := &mark{}
	if json.Unmarshal(text, found) != nil || found.ID != r.id {
		return nil, nil
	}
	return found, nil
}

// finish puts the new data directory in place once all of it is on the disk.
func (r recovering) finish(said recoveryReport) error {
	r.step("sync")
	if err := syncTree(r.fresh()); err != nil {
		return err
	}
	text, err := json.Marshal(mark{ID: r.id, Report: said})
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	r.step("mark")
	if err := writeNote(filepath.Join(r.fresh(), marked), string(text)); err != nil {
		return err
	}
	return r.replace(mark{ID: r.id, Report: said})
}

// replace keeps the data that no etcd came up on, unless there are none: what an
// earlier run set aside is of more use than an empty directory.
func (r recovering) replace(done mark) error {
	r.step("swap")
	if entries, err := os.ReadDir(r.dataDir); err == nil && len(entries) == 0 {
		if err := os.Remove(r.dataDir); err != nil {
			return fmt.Errorf("remove an empty data directory: %w", err)
		}
	}
	// Whoever finds no data from now on asks anew what there is.
	if err := os.RemoveAll(r.fetched()); err != nil {
		return fmt.Errorf("tidy up: %w", err)
	}
	if err := swap(r.fresh(), r.dataDir, r.lost()); err != nil {
		return err
	}
	return r.conclude(done)
}

// conclude notes beside the data directory that all is done. The note goes before
// the mark, which etcd does not know.
func (r recovering) conclude(done mark) error {
	r.step("note")
	text, err := json.Marshal(done)
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if err := writeNote(r.note(), string(text)); err != nil {
		return err
	}
	r.step("tidy")
	return r.tidy()
}

// tidy removes what only a run that goes on needs.
func (r recovering) tidy() error {
	for _, path := range []string{filepath.Join(r.dataDir, marked), r.fresh(), r.work(), r.decision()} {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("tidy up: %w", err)
		}
	}
	return nil
}

// syncTree makes everything in a directory last.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncDir(path)
	})
}
