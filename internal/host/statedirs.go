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
	StateDir string `json:"stateDir"`
	// BuildDir is where the build directory was: a copy of it was not used by anybody.
	BuildDir string `json:"buildDir"`
}

func stateDirFile(build string, paths Paths) string {
	sum := sha256.Sum256([]byte(paths.State))
	return filepath.Join(build, stateDirsDir, hex.EncodeToString(sum[:])+".json")
}

// noteStateDir notes in a build directory that Berth is about to come up from it. Where nothing
// can be written nothing can be removed either.
func noteStateDir(build string, paths Paths) error {
	raw, err := json.Marshal(stateDirRecord{StateDir: paths.State, BuildDir: build})
	if err == nil {
		err = os.MkdirAll(filepath.Join(build, stateDirsDir), 0o755)
	}
	if err == nil {
		err = writeFile(stateDirFile(build, paths), append(raw, '\n'), 0o644)
	}
	if err != nil && !errors.Is(err, unix.EROFS) {
		return fmt.Errorf("note who uses the build: %w", err)
	}
	return nil
}

// forgetStateDir is for a state directory that is gone.
func forgetStateDir(build string, paths Paths) error { return forget(stateDirFile(build, paths)) }

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
			all = append(all, Paths{State: record.StateDir})
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
