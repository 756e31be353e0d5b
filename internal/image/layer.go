package image

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// epoch is the time of every file in a layer, so that equal content is an equal
// layer. It is not 1970 because some programs take a zero time for none.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// layer is an uncompressed layer in a file. Berth's registry is a hop away and
// most images never travel at all, so that compressing would only cost time.
type layer struct {
	path string
	hash v1.Hash
	size int64
}

// Digest is the hash of the blob.
func (l *layer) Digest() (v1.Hash, error) { return l.hash, nil }

// DiffID is the same as Digest, since the blob is not compressed.
func (l *layer) DiffID() (v1.Hash, error) { return l.hash, nil }

// Compressed opens the blob as it is stored.
func (l *layer) Compressed() (io.ReadCloser, error) { return os.Open(l.path) }

// Uncompressed opens the blob as a tar stream.
func (l *layer) Uncompressed() (io.ReadCloser, error) { return os.Open(l.path) }

// Size is the blob's size in bytes.
func (l *layer) Size() (int64, error) { return l.size, nil }

// MediaType says that the blob is a plain tar file.
func (l *layer) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }

// packLayer writes the tree as a layer to path.
func packLayer(tree, path string) (*layer, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	count := &countWriter{}
	err = writeTar(tree, io.MultiWriter(file, h, count))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("pack layer %s: %w", tree, err)
	}
	return &layer{
		path: path, size: count.n,
		hash: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))},
	}, nil
}

// storedLayer opens the layer that storeLayer left in a directory.
func storedLayer(dir string) (*layer, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) != 1 {
		return nil, fmt.Errorf("%s has %d files, want one layer", dir, len(entries))
	}
	info, err := entries[0].Info()
	if err != nil {
		return nil, err
	}
	return &layer{
		path: filepath.Join(dir, info.Name()), size: info.Size(),
		hash: v1.Hash{Algorithm: "sha256", Hex: info.Name()},
	}, nil
}

type countWriter struct{ n int64 }

func (c *countWriter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// writeTar writes everything of a tree in a fixed order. Files that are hard
// links to each other within the tree stay so.
func writeTar(tree string, out io.Writer) error {
	archive := tar.NewWriter(out)
	first := map[inode]string{}
	err := filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == tree {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(tree, path)
		if err != nil {
			return err
		}
		header, err := tarHeader(path, name, info)
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() && info.Sys().(*syscall.Stat_t).Nlink > 1 {
			if target, ok := first[inodeOf(info)]; ok {
				header.Typeflag, header.Linkname, header.Size = tar.TypeLink, target, 0
			} else {
				first[inodeOf(info)] = name
			}
		}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			return nil
		}
		return appendFile(archive, path)
	})
	return errors.Join(err, archive.Close())
}

func tarHeader(path, name string, info fs.FileInfo) (*tar.Header, error) {
	mode := info.Mode()
	if !mode.IsRegular() && !mode.IsDir() && mode&fs.ModeSymlink == 0 {
		return nil, fmt.Errorf("%s is a %s; a layer holds files, directories and links only", name, mode.Type())
	}
	target := ""
	if mode&fs.ModeSymlink != 0 {
		var err error
		if target, err = os.Readlink(path); err != nil {
			return nil, err
		}
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return nil, err
	}
	header.Name = name
	if mode.IsDir() {
		header.Name += "/"
	}
	header.ModTime, header.AccessTime, header.ChangeTime = epoch, time.Time{}, time.Time{}
	// The numbers count in a machine; this host's names for them do not.
	header.Uname, header.Gname = "", ""
	return header, nil
}

func appendFile(out io.Writer, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(out, file)
	return err
}
