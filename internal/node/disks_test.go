package node

import (
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestTryDisk(t *testing.T) {
	dir := t.TempDir()
	if err := tryDisk(dir); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := tryDisk(filepath.Join(dir, "none")); err == nil {
		t.Error("a directory that is not there can be written to")
	}
}

// A write that does not return is a problem after a minute, keeps no other disk from
// being tried, is not joined by others, and is forgotten when it returns.
func TestADiskThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hangs = "/var/lib/kubelet"
		release, tried := make(chan struct{}), make(chan string, 100)
		d := newDiskWatch(func(dir string) error {
			tried <- dir
			if dir == hangs {
				<-release
			}
			return nil
		})
		problem := func() finding {
			synctest.Wait()
			found := findings(symptoms{Disk: d.seen(time.Now())}, nil, time.Now())
			return found[indexOf(found, conditionReadOnly)]
		}
		d.tryAll(machineDisks())
		<-time.After(diskHangsAfter - time.Second)
		if got := problem(); got.Problem {
			t.Errorf("a slow disk: %+v", got)
		}
		<-time.After(time.Second)
		first := problem()
		if !first.Problem || first.Reason != "FilesystemHangs" {
			t.Errorf("a disk that hangs for a minute: %+v", first)
		}
		for range 5 {
			d.tryAll(machineDisks())
			<-time.After(disksEvery)
		}
		if got := problem(); got != first {
			t.Errorf("a disk that hangs on: %+v, and before %+v", got, first)
		}
		close(tried)
		times := map[string]int{}
		for dir := range tried {
			times[dir]++
		}
		for _, dir := range machineDisks() {
			if want := map[bool]int{true: 1, false: 6}[dir == hangs]; times[dir] != want {
				t.Errorf("%s was tried %d times, want %d", dir, times[dir], want)
			}
		}
		close(release)
		if got := problem(); got.Problem {
			t.Errorf("the write has returned: %+v", got)
		}
	})
}

// What a disk said last holds while it is tried again, and no longer.
func TestADiskThatIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := make(chan error)
		d := newDiskWatch(func(string) error { return <-answers })
		said := func() error {
			synctest.Wait()
			return d.seen(time.Now())["/var/log"]
		}
		for _, step := range []struct {
			why string
			do  func()
			err error
		}{
			{"not tried yet", func() {}, nil},
			{"the first try is under way", func() { d.tryAll([]string{"/var/log"}) }, nil},
			{"it failed", func() { answers <- syscall.EROFS }, syscall.EROFS},
			{"the next one is under way", func() { d.tryAll([]string{"/var/log"}) }, syscall.EROFS},
			{"it went well", func() { answers <- nil }, nil},
		} {
			step.do()
			if got := said(); got != step.err {
				t.Errorf("%s: %v, want %v", step.why, got, step.err)
			}
		}
	})
}
