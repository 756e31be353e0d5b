package host

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// stateDirsDir, in a build directory, has a file for each state directory in which Berth was
// brought up from there, until that is purged: whoever takes something out of the build finds
// whose clusters may use it.
const stateDirsDir = "state-dirs"

// stateDirRecord is such a file.
type stateDirRecord struct {
	// StateDir is where the directory is, whatever symbolic links lead to it.
	StateDir string `json:"stateDir"`
	// Name is what it was called at the last up.
	Name string `json:"name"`
	// BuildDir is where the build directory was: a copy of it was not used by anybody.
	BuildDir string `json:"buildDir"`
}

// noteOf is what a build notes of a state directory.
func noteOf(paths Paths) stateDirRecord {
	return stateDirRecord{StateDir: resolved(paths.State), Name: paths.State}
}

// resolved is a path without symbolic links, as far as it is there.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(resolved(parent), filepath.Base(path))
	}
	return path
}

func (n stateDirRecord) file(build string) string {
	sum := sha256.Sum256([]byte(n.StateDir))
	return filepath.Join(build, stateDirsDir, hex.EncodeToString(sum[:])+".json")
}

// paths are the directory's by the name that it had, which names of the host go by, unless that
// leads elsewhere by now.
func (n stateDirRecord) paths() Paths {
	if n.Name != "" && resolved(n.Name) == n.StateDir {
		return Paths{State: n.Name}
	}
	return Paths{State: n.StateDir}
}

// noteStateDir notes in a build directory that Berth is about to come up from it. Where nothing
// can be written nothing can be removed either.
func noteStateDir(build string, paths Paths) error {
	note := noteOf(paths)
	note.BuildDir = build
	raw, err := json.Marshal(note)
	if err == nil {
		err = os.MkdirAll(filepath.Join(build, stateDirsDir), 0o755)
	}
	if err == nil {
		err = writeFile(note.file(build), append(raw, '\n'), 0o644)
	}
	if err != nil && !errors.Is(err, unix.EROFS) {
		return fmt.Errorf("note who uses the build: %w", err)
	}
	return nil
}

// forgetStateDir is for a state directory that is gone. Where nothing is or can be written,
// nothing was noted.
func forgetStateDir(build string, noted stateDirRecord) error {
	err := forget(noted.file(build))
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EROFS) {
		return nil
	}
	return err
}

// stateDirsOf are the state directories in which Berth was brought up from a build directory.
func stateDirsOf(build string) ([]Paths, error) {
	dir := filepath.Join(build, stateDirsDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look who uses the build: %w", err)
	}
	var all []Paths
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != ".json" {
			continue
		}
		var record stateDirRecord
		if _, err := readJSON(filepath.Join(dir, entry.Name()), &record); err != nil {
			return nil, fmt.Errorf("look who uses the build: %w", err)
		}
		copied, err := elsewhere(record.BuildDir, build)
		if err != nil {
			return nil, err
		}
		if !copied {
			all = append(all, record.paths())
		}
	}
	return all, nil
}

// elsewhere says whether there is a build directory at a path, and another one than this.
func elsewhere(path, build string) (bool, error) {
	there, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // it was moved here
	}
	if err != nil {
		return false, fmt.Errorf("look for the build %s: %w", path, err)
	}
	here, err := os.Stat(build)
	if err != nil {
		return false, fmt.Errorf("look for the build: %w", err)
	}
	return !os.SameFile(there, here), nil
}
