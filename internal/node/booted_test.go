package node

import (
	"os"
	"path/filepath"
	"strings"
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

	marked := make(chan error)
	go func() {
		time.Sleep(150 * time.Millisecond)
		marked <- markBooted(mark, stat("4712"))
	}()
	if err := awaitBoot(t.Context(), mark, stat("4712"), time.Minute); err != nil {
		t.Errorf("one that comes: %v", err)
	}
	if err := <-marked; err != nil {
		t.Error(err)
	}
	if started, err := startOf("/proc/self/stat"); err != nil || len(started) == 0 {
		t.Errorf("this process was started at %q: %v", started, err)
	}
}
