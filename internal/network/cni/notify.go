package cni

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Watch calls changed whenever a result appears in dir or goes, until the context ends. It makes dir if it must.
func Watch(ctx context.Context, dir string, changed func()) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make directory of CNI results: %w", err)
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("start inotify: %w", err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO|unix.IN_DELETE); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	stop := context.AfterFunc(ctx, func() { _ = events.Close() })
	defer stop()
	buffer := make([]byte, 4096)
	for {
		if _, err := events.Read(buffer); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			_ = events.Close()
			return fmt.Errorf("read inotify events of %s: %w", dir, err)
		}
		// What exactly happened does not matter: the directory is read again.
		changed()
	}
}
