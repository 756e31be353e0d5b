package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// diskHangsAfter is how long a write to a disk may take.
const diskHangsAfter = time.Minute

// errDiskHangs says that a write to a disk does not return.
var errDiskHangs = errors.New("a write does not return")

// machineDisks are the directories whose writing is tried. Whether they are full is the
// kubelet's to say: DiskPressure.
func machineDisks() []string {
	return []string{"/var/lib/containerd", "/var/lib/kubelet", "/var/log"}
}

// tryDisk writes, reads and removes a small file in a directory.
func tryDisk(dir string) error {
	path := filepath.Join(dir, ".berth-write-test")
	if err := os.WriteFile(path, []byte("berth"), 0o600); err != nil {
		return err
	}
	_, readErr := os.ReadFile(path)
	return errors.Join(readErr, os.Remove(path))
}

// diskWatch knows how the last write to each disk went, and which have not returned.
type diskWatch struct {
	// try is tryDisk.
	try func(dir string) error

	mu    sync.Mutex
	last  map[string]error
	began map[string]time.Time
}

func newDiskWatch(try func(dir string) error) *diskWatch {
	return &diskWatch{try: try, last: map[string]error{}, began: map[string]time.Time{}}
}

// tryAll begins a write to each directory but to those where the last one has not
// returned. It waits for none: a disk that hangs holds who writes to it.
func (d *diskWatch) tryAll(dirs []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, dir := range dirs {
		if _, underWay := d.began[dir]; underWay {
			continue
		}
		d.began[dir] = time.Now()
		go d.note(dir)
	}
}

func (d *diskWatch) note(dir string) {
	err := d.try(dir)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last[dir] = err
	delete(d.began, dir)
}

// seen is how the last write to each directory went, errDiskHangs where one takes too long.
func (d *diskWatch) seen(now time.Time) map[string]error {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := map[string]error{}
	for dir, err := range d.last {
		seen[dir] = err
	}
	for dir, began := range d.began {
		if now.Sub(began) >= diskHangsAfter {
			seen[dir] = fmt.Errorf("%w since %s", errDiskHangs, began.UTC().Format(time.RFC3339))
		}
	}
	return seen
}
