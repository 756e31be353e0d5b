package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The locks are the kernel's (flock): they hold between all processes that use a directory, in
// whichever container, and end with who holds them.

// beside runs what takes content in until it is named: nobody removes what has no name meanwhile.
func (s store) beside(ctx context.Context, do func() error) error {
	return s.hold(func(file *os.File) error { return flockWithin(ctx, file, unix.LOCK_SH) }, do)
}

// alone runs what takes names or content away, when nobody takes content in.
func (s store) alone(ctx context.Context, do func() error) error {
	return s.hold(func(file *os.File) error { return flockWithin(ctx, file, unix.LOCK_EX) }, do)
}

// aloneNow is alone if nobody takes content in right now, and nothing if somebody does.
func (s store) aloneNow(do func() error) error {
	err := s.hold(func(file *os.File) error { return flock(file, unix.LOCK_EX|unix.LOCK_NB) }, do)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	return err
}

// hold runs something under the lock that take takes, which the file's end ends.
func (s store) hold(take func(*os.File) error, do func() error) error {
	if s.dir == "" {
		return do()
	}
	file, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = take(file)
	}
	if err != nil {
		if !errors.Is(err, errStillWaiting) {
			file.Close()
		}
		return full(fmt.Errorf("lock registry: %w", err))
	}
	defer file.Close()
	return do()
}

// flock waits unless it is told not to.
func flock(file *os.File, how int) error {
	for {
		if err := unix.Flock(int(file.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// errStillWaiting says that a file is closed by whoever waits for its lock.
var errStillWaiting = errors.New("others use the directory")

// flockWithin waits until the context ends. The kernel's wait cannot be broken off, so that the
// file is closed when the lock comes that nobody needs any more.
func flockWithin(ctx context.Context, file *os.File, how int) error {
	if err := flock(file, how|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		return err
	}
	left := make(chan struct{})
	taken := make(chan error)
	go func() {
		err := flock(file, how)
		select {
		case taken <- err:
		case <-left:
			file.Close()
		}
	}()
	select {
	case err := <-taken:
		return err
	case <-ctx.Done():
		close(left)
		return fmt.Errorf("%w: %w", errStillWaiting, ctx.Err())
	}
}

// receive is a new temporary file that commit or discard ends. Until then it is locked: one
// that is not was left by a process that has ended.
func (s store) receive() (*os.File, error) {
	for {
		file, err := os.CreateTemp(s.uploads(), "")
		if err != nil {
			return nil, fmt.Errorf("receive content: %w", err)
		}
		mine, err := lockReceived(file)
		if mine {
			return file, nil
		}
		file.Close()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("receive content: %w", err), os.Remove(file.Name()))
		}
	}
}

// lockReceived locks a new file, and says whether nobody took it for one that was left before that.
func lockReceived(file *os.File) (bool, error) {
	if err := flock(file, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = nil
		}
		return false, err
	}
	opened, err := file.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(file.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(opened, there), err
}

// removeLeft removes what processes were receiving that have ended.
func (s store) removeLeft() error {
	entries, err := os.ReadDir(s.uploads())
	if err != nil {
		return fmt.Errorf("look for what was left half received: %w", err)
	}
	for _, entry := range entries {
		if err := removeUnlocked(filepath.Join(s.uploads(), entry.Name())); err != nil {
			return fmt.Errorf("remove what was left half received: %w", err)
		}
	}
	return nil
}

func removeUnlocked(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was finished
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if err := flock(file, unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	} else if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
