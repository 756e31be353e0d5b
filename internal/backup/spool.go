package backup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// spool is a file on the local disk that is read while it is written: whoever reads it
// waits for what is yet to come, and whoever writes it waits for nobody.
type spool struct {
	file *os.File
	dir  string
	// checked is how much had been written when the disk was last measured.
	checked int64

	mu    sync.Mutex
	grown *sync.Cond
	size  int64
	// ended says that nothing more comes; failed is why, nil if all of it is there.
	ended  bool
	failed error
}

// newSpool makes a file without a name, in a directory; empty means the system's. A killed
// process leaves nothing of it. There must be room for as much as is expected, and a reserve
// is left on the disk: etcds have their volumes there too.
func newSpool(dir string, expected int64) (*spool, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	if err := roomIn(dir, expected); err != nil {
		return nil, fmt.Errorf("make room for a snapshot: %w", err)
	}
	file, err := os.CreateTemp(dir, "backup-*.zst.age")
	if err != nil {
		return nil, fmt.Errorf("make room for a snapshot: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("make room for a snapshot: %w", err)
	}
	s := &spool{file: file, dir: dir}
	s.grown = sync.NewCond(&s.mu)
	return s, nil
}

// measured is how much is written between two measurements of the disk, in bytes.
const measured = 16 << 20

// Write implements io.Writer.
func (s *spool) Write(p []byte) (int, error) {
	if s.checked += int64(len(p)); s.checked > measured {
		s.checked = 0
		if err := roomIn(s.dir, 0); err != nil {
			return 0, fmt.Errorf("spool a snapshot: %w", err)
		}
	}
	n, err := s.file.Write(p)
	s.mu.Lock()
	s.size += int64(n)
	s.mu.Unlock()
	s.grown.Broadcast()
	return n, err
}

// end says that all has been written, or why not: readers must not take a part for all.
func (s *spool) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended, s.failed = true, err
	s.grown.Broadcast()
}

// cause is why not all of it is there; nil if it is, or may still come.
func (s *spool) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// close lets the file go, and every reader with it.
func (s *spool) close() {
	s.end(errors.New("the snapshot was given up"))
	_ = s.file.Close()
}

// length is what has been written by now, in bytes.
func (s *spool) length() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

// wait returns how much may be read at an offset, or how the end came.
func (s *spool) wait(offset int64) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.size <= offset && !s.ended {
		s.grown.Wait()
	}
	if s.failed != nil {
		// Not wrapped: no error may be taken for the end.
		return 0, errors.New("the snapshot is not whole: " + s.failed.Error())
	}
	if s.size <= offset {
		return 0, io.EOF
	}
	return s.size - offset, nil
}

// reader reads it from its beginning. Any number of them may read at the same time.
func (s *spool) reader() io.Reader { return &follower{spool: s} }

type follower struct {
	spool  *spool
	offset int64
}

// Read implements io.Reader.
func (f *follower) Read(p []byte) (int, error) {
	there, err := f.spool.wait(f.offset)
	if err != nil {
		return 0, err
	}
	n, err := f.spool.file.ReadAt(p[:min(int64(len(p)), there)], f.offset)
	f.offset += int64(n)
	if errors.Is(err, io.EOF) {
		err = nil // its end is what the writer says
	}
	return n, err
}
