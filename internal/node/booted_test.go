package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A script waits for the end of the boot that goes on, and an earlier one's mark is none.
func TestScriptsWaitForTheBoot(t *testing.T) {
	stat := func(start string) string {
		path := filepath.Join(t.TempDir(), "stat")
		text := "1 (an (odd) name) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 " + start + " 1 2 3\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	mark := filepath.Join(t.TempDir(), "booted")
	wait := func(why, now string, want string) {
		t.Helper()
		err := awaitBoot(t.Context(), mark, stat(now), 50*time.Millisecond)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", why, err, want)
		}
	}
	wait("no mark", "4711", "has not booted")
	if err := markBooted(mark, stat("4711")); err != nil {
		t.Fatal(err)
	}
	wait("this boot's", "4711", "")
	wait("an earlier boot's", "4712", "has not booted")

	// The first look finds nothing of use, and meanwhile the mark takes its place.
	pipe, came := filepath.Join(t.TempDir(), "booted"), filepath.Join(t.TempDir(), "came")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), markBooted(came, stat("4712"))); err != nil {
		t.Fatal(err)
	}
	looked := make(chan error)
	go func() {
		first, err := os.OpenFile(pipe, os.O_WRONLY, 0) // until somebody reads
		if err == nil {
			err = errors.Join(os.Rename(came, pipe), first.Close())
		}
		looked <- err
	}()
	if err := awaitBoot(t.Context(), pipe, stat("4712"), time.Minute); err != nil {
		t.Errorf("one that comes: %v", err)
	}
	if err := <-looked; err != nil {
		t.Error(err)
	}
	if started, err := startOf("/proc/self/stat"); err != nil || len(started) == 0 {
		t.Errorf("this process was started at %q: %v", started, err)
	}
}
