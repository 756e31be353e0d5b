package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sort"
)

// Step is one thing to build. Its outputs are a function of its recipe, its
// inputs and the outputs of the steps that it needs; if one of them reads
// anything else, it belongs into the recipe.
type Step struct {
	// Name is what --only and other steps call it, such as kube-1.37.
	Name string
	// Title is what the user reads, such as "Kubernetes 1.37.2".
	Title string
	// Recipe is everything that decides the outputs beside Inputs and Needs:
	// programs, flags, versions, lists of packages.
	Recipe []string
	// Inputs are the files that it reads, with paths relative to the repository.
	Inputs []Input
	// Needs are the names of earlier steps whose outputs it reads.
	Needs []string
	// Outputs are files or directories, relative to build/.
	Outputs []string
	// Always is for a step so cheap that looking whether it is finished, which
	// covers the outputs only, is not worth it.
	Always bool
	// Run makes the outputs at the places that the work names.
	Run func(ctx context.Context, w *Work) error
}

// Input lists files that a step reads. Paths are relative to the repository's
// root, as are those in its answer.
type Input func(ctx context.Context, root string) ([]string, error)

// Files is the input of exactly these files.
func Files(paths ...string) Input {
	return func(context.Context, string) ([]string, error) { return paths, nil }
}

// Sources is the input of a directory's own files with which Go or C programs are
// built: go.mod, go.sum, and the sources that are no tests.
func Sources(dir string) Input {
	return func(_ context.Context, root string) ([]string, error) {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			return nil, fmt.Errorf("list sources: %w", err)
		}
		var found []string
		for _, entry := range entries {
			if !entry.IsDir() && isSource(entry.Name()) {
				found = append(found, filepath.Join(dir, entry.Name()))
			}
		}
		return found, nil
	}
}

// stamp is what a finished step leaves.
type stamp struct {
	Key     string         `json:"key"`
	Digest  string         `json:"digest"`
	Outputs []outputRecord `json:"outputs"`
}

// outputRecord is how a later build sees cheaply that an output is still the
// one that was built. For a directory, Size is 0 and only its own time counts.
type outputRecord struct {
	Path    string `json:"path"`
	Size    int64  `json:"size"`
	ModTime int64  `json:"modTime"`
}

// key computes the step's key. digests has the output digest of every step that
// it needs.
func (s Step) key(ctx context.Context, root string, digests map[string]string) (string, error) {
	h := sha256.New()
	field(h, "step", s.Name)
	for _, line := range s.Recipe {
		field(h, "recipe", line)
	}
	for _, output := range s.Outputs {
		field(h, "output", output)
	}
	for _, need := range s.Needs {
		digest, ok := digests[need]
		if !ok {
			return "", fmt.Errorf("step %s needs %s, which is not built before it", s.Name, need)
		}
		field(h, "need", need, digest)
	}
	for _, input := range s.Inputs {
		if err := hashInput(ctx, h, root, input); err != nil {
			return "", fmt.Errorf("inputs of %s: %w", s.Name, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashInput(ctx context.Context, h hash.Hash, root string, input Input) error {
	paths, err := input(ctx, root)
	if err != nil {
		return err
	}
	sort.Strings(paths)
	for _, path := range paths {
		sum, err := hashFile(filepath.Join(root, path))
		if err != nil {
			return err
		}
		field(h, "input", path, sum)
	}
	return nil
}

// field writes values in a way that no two lists of values share.
func field(w io.Writer, values ...string) {
	for _, value := range values {
		fmt.Fprintf(w, "%d:%s", len(value), value)
	}
	fmt.Fprint(w, "\n")
}

// finished returns the digest of the step's outputs if they were built from
// this key and nobody touched them since.
func (s Step) finished(build, key string) (string, bool) {
	raw, err := os.ReadFile(stampPath(build, s.Name))
	if err != nil {
		return "", false
	}
	var st stamp
	if json.Unmarshal(raw, &st) != nil || st.Key != key || len(st.Outputs) != len(s.Outputs) {
		return "", false
	}
	for _, record := range st.Outputs {
		if now, err := recordOf(build, record.Path); err != nil || now != record {
			return "", false
		}
	}
	return st.Digest, true
}

// finish writes the step's stamp and returns the digest of its outputs.
func (s Step) finish(build, key string, sums *hashes) (string, error) {
	st := stamp{Key: key}
	h := sha256.New()
	for _, output := range s.Outputs {
		record, err := recordOf(build, output)
		if err != nil {
			return "", fmt.Errorf("step %s made no %s: %w", s.Name, output, err)
		}
		st.Outputs = append(st.Outputs, record)
		sum, err := sums.tree(filepath.Join(build, output))
		if err != nil {
			return "", err
		}
		field(h, output, sum)
	}
	st.Digest = hex.EncodeToString(h.Sum(nil))
	raw, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return "", err
	}
	return st.Digest, writeFile(stampPath(build, s.Name), append(raw, '\n'))
}

func recordOf(build, output string) (outputRecord, error) {
	info, err := os.Stat(filepath.Join(build, output))
	if err != nil {
		return outputRecord{}, err
	}
	record := outputRecord{Path: output, ModTime: info.ModTime().UnixNano()}
	if !info.IsDir() {
		record.Size = info.Size()
	}
	return record, nil
}

func stampPath(build, step string) string {
	return filepath.Join(build, ".cache", "stamps", step+".json")
}
