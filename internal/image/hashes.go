package image

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// rememberedBytes is the size from which a file's hash is worth remembering,
// and rememberedFiles is how many are.
const (
	rememberedBytes = 1 << 20
	rememberedFiles = 4096
)

// hashes computes digests and remembers those of large files by their inode:
// the same binary lies in many trees by hard links and is read once.
type hashes struct {
	path string
	sums map[string]string
}

// loadHashes reads what an earlier build remembered; nothing is as good as that.
func loadHashes(path string) *hashes {
	h := &hashes{path: path}
	if raw, err := os.ReadFile(path); err != nil || json.Unmarshal(raw, &h.sums) != nil || len(h.sums) > rememberedFiles {
		h.sums = nil
	}
	if h.sums == nil {
		h.sums = map[string]string{}
	}
	return h
}

func (h *hashes) save() error { return writeFile(h.path, mustJSON(h.sums)) }

// file is the hash of a file's content.
func (h *hashes) file(path string, info fs.FileInfo) (string, error) {
	if info.Size() < rememberedBytes {
		return hashFile(path)
	}
	id := inodeOf(info)
	key := fmt.Sprintf("%d:%d:%d:%d", id.device, id.number, info.Size(), info.ModTime().UnixNano())
	if sum, ok := h.sums[key]; ok {
		return sum, nil
	}
	sum, err := hashFile(path)
	if err == nil {
		h.sums[key] = sum
	}
	return sum, err
}

// tree is the digest of a file, or of a directory with everything in it:
// names, modes, owners, link targets and content, but no times.
func (h *hashes) tree(path string) (string, error) {
	return describeTree(path, func(file string, info fs.FileInfo) (string, error) { return h.file(file, info) })
}

// listing is like tree but has files' sizes for their content, which is enough
// to tell most trees of one build apart without reading them.
func listing(path string) (string, error) {
	return describeTree(path, func(_ string, info fs.FileInfo) (string, error) { return fmt.Sprint(info.Size()), nil })
}

func describeTree(root string, content func(string, fs.FileInfo) (string, error)) (string, error) {
	sum := sha256.New()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		about := ""
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			about, err = os.Readlink(path)
		case info.Mode().IsRegular():
			about, err = content(path, info)
		}
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		field(sum, relative, info.Mode().String(), fmt.Sprint(stat.Uid), fmt.Sprint(stat.Gid), about)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("hash %s: %w", root, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func hashFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", fmt.Errorf("hash %s: %w", path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
