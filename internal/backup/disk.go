package backup

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// piece is how much is written to a store at a time, in bytes. On a disk one is being
// written while the next one comes, and no more: whoever syncs on the same disk, as each
// etcd does for each write, waits for what is in its queue.
const piece = 1 << 20

// toDisk copies to a file of a directory, all of which is on the disk when it returns.
func (s *Store) toDisk(w io.Writer, file *os.File, sealed io.Reader) error {
	buffer := make([]byte, piece)
	for offset := int64(0); ; {
		n, err := fill(buffer, sealed)
		if err != nil {
			return err
		}
		if _, err := w.Write(buffer[:n]); err != nil {
			return err
		}
		if n < len(buffer) {
			return file.Sync()
		}
		if err := s.hasRoom(0); err != nil {
			return err
		}
		push(file, offset, int64(n))
		offset += int64(n)
	}
}

// fill reads until a buffer is full or there is no more. An error is none that only says
// so: a part must not be taken for all.
func fill(buffer []byte, from io.Reader) (int, error) {
	for n := 0; ; {
		got, err := from.Read(buffer[n:])
		n += got
		if err == io.EOF || err == nil && n == len(buffer) { //nolint:errorlint // one that wraps it is a failure
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// push has the disk begin with a piece of a file once it has done the one before. Sync is
// what guarantees anything, also where a file system cannot do this.
func push(file *os.File, offset, length int64) {
	fd := int(file.Fd())
	if offset > 0 {
		_ = unix.SyncFileRange(fd, offset-piece, piece, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
	}
	_ = unix.SyncFileRange(fd, offset, length, unix.SYNC_FILE_RANGE_WRITE)
}

// forget has the memory of the machine give up what it keeps of a stored object, which nobody
// reads soon: it has the databases of etcds to keep.
func (s *Store) forget(name string) {
	if s.dir == "" {
		return
	}
	file, err := os.Open(filepath.Join(s.dir, name))
	if err != nil {
		return // it costs memory, and nothing else
	}
	defer file.Close()
	_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// hasRoom says whether a directory can take as much and leave the reserve. Other stores
// say so themselves when they cannot.
func (s *Store) hasRoom(size int64) error {
	if s.dir == "" {
		return nil
	}
	if err := roomIn(s.dir, size); err != nil {
		return fmt.Errorf("the store %s: %w", s.URL, plain(err))
	}
	return nil
}

// roomIn says whether the disk of a directory can take as much and leave the reserve.
func roomIn(dir string, size int64) error {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return fmt.Errorf("measure the disk of %s: %w", dir, err)
	}
	if free := int64(disk.Bavail) * disk.Bsize; free < size+reserve {
		return fmt.Errorf("the disk is full: %d MiB are free, the backup has %d more, and %d are left to others", free>>20, size>>20, reserve>>20)
	}
	return nil
}
