package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The whole test binary shares one Reaper, as a machine's init does: a second one would steal statuses.
var testReaper = sync.OnceValue(func() *Reaper {
	r := NewReaper()
	go r.Run(context.Background())
	return r
})

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newSupervisor() (*Supervisor, *buffer) {
	out := &buffer{}
	return &Supervisor{Reaper: testReaper(), Lines: NewLines(out), CheckStarting: 5 * time.Millisecond,
		Backoff: Backoff{Min: time.Millisecond, Max: 8 * time.Millisecond, Reset: time.Hour}}, out
}

func shell(name, script string) *Service {
	return &Service{Name: name, Command: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"},
		HealthEvery: 5 * time.Millisecond, HungAfter: 50 * time.Millisecond, StartWithin: 10 * time.Second,
		StopWithin: 5 * time.Second}
}

// run runs the service until the test ends or stop is called; stop returns once the process has ended.
func run(t *testing.T, v *Supervisor, s *Service) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { v.Run(ctx, s); close(ended) }()
	stop = func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Errorf("%s did not stop", s.Name)
		}
	}
	t.Cleanup(stop)
	return stop
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.After(20 * time.Second); !condition(); {
		select {
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func TestBackoffDoublesUpToItsMaximumAndResets(t *testing.T) {
	b := Backoff{Min: time.Second, Max: 5 * time.Second, Reset: time.Minute}
	for _, c := range []struct {
		why                 string
		previous, ran, want time.Duration
	}{
		{"a first failure is answered quickly", 0, 0, time.Second},
		{"a second one less so", time.Second, 0, 2 * time.Second},
		{"the delay has a ceiling", 4 * time.Second, 0, 5 * time.Second},
		{"a process that ran well is not punished for its past", 5 * time.Second, time.Minute, time.Second},
	} {
		if got := b.Next(c.previous, c.ran); got != c.want {
			t.Errorf("%s: got %s, want %s", c.why, got, c.want)
		}
	}
}

func TestWhatDiesIsStartedAgainAndItsLinesAreKept(t *testing.T) {
	v, out := newSupervisor()
	run(t, v, shell("flaky", "echo hello; echo oops >&2; exit 3"))
	eventually(t, "three starts", func() bool { return strings.Count(out.String(), "flaky      | hello\n") >= 3 })
	eventually(t, "the reason is logged", func() bool {
		return strings.Contains(out.String(), "init       | flaky exited with status 3; starting it again in 2ms")
	})
	if !strings.Contains(out.String(), "flaky      | oops\n") {
		t.Errorf("standard error is missing:\n%s", out)
	}
}

func TestAProgramThatIsMissingIsReportedAndTriedAgain(t *testing.T) {
	v, out := newSupervisor()
	run(t, v, &Service{Name: "ghost", Command: []string{"/nonexistent/ghost"}})
	eventually(t, "two attempts", func() bool { return strings.Count(out.String(), "start /nonexistent/ghost") >= 2 })
}

func TestAHungProcessIsReplaced(t *testing.T) {
	v, out := newSupervisor()
	dir := t.TempDir()
	s := shell("hangs", "echo start; touch "+dir+"/alive; exec tail -f /dev/null")
	s.StopWithin = 20 * time.Millisecond
	s.Health = func(context.Context) error {
		_, err := os.Stat(filepath.Join(dir, "alive"))
		return err
	}
	run(t, v, s)
	<-s.Healthy()
	if strings.Contains(out.String(), "hung") {
		t.Fatalf("a healthy process was replaced:\n%s", out)
	}
	if err := os.Remove(filepath.Join(dir, "alive")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a second start", func() bool { return strings.Count(out.String(), "hangs      | start\n") >= 2 })
	if !strings.Contains(out.String(), "hangs hung (not healthy for 50ms") {
		t.Errorf("the reason is not logged:\n%s", out)
	}
}

func TestAProcessThatPatienceCannotHelpIsReplacedAtOnce(t *testing.T) {
	v, out := newSupervisor()
	s := shell("useless", "echo start; exec tail -f /dev/null")
	s.StopWithin, s.HungAfter, s.StartWithin = 20*time.Millisecond, time.Hour, time.Hour
	s.Health = func(context.Context) error { return fmt.Errorf("nobody knows it: %w", ErrReplace) }
	run(t, v, s)
	eventually(t, "a second start", func() bool { return strings.Count(out.String(), "useless    | start\n") >= 2 })
	if !strings.Contains(out.String(), "useless hung (nobody knows it: it must be started again)") {
		t.Errorf("the reason is not logged:\n%s", out)
	}
}

func TestAProcessThatNeverBecomesHealthyIsReplacedAfterItsStartTime(t *testing.T) {
	v, out := newSupervisor()
	s := shell("stuck", "exec tail -f /dev/null")
	s.StartWithin = 30 * time.Millisecond
	s.Health = func(context.Context) error { return errors.New("no answer") }
	run(t, v, s)
	eventually(t, "it is replaced", func() bool {
		return strings.Contains(out.String(), "stuck hung (not healthy for 30ms: no answer) and was ended by signal: terminated")
	})
}

func TestStopAsksFirstAndKillsLater(t *testing.T) {
	v, out := newSupervisor()
	polite := shell("polite", "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done")
	stop := run(t, v, polite)
	eventually(t, "polite is ready", func() bool { return strings.Contains(out.String(), "polite     | ready") })
	stop()
	eventually(t, "polite said goodbye", func() bool { return strings.Contains(out.String(), "polite     | bye") })

	deaf := shell("deaf", "trap '' TERM; echo pid $$; while :; do sleep 0.01; done")
	deaf.StopWithin = 30 * time.Millisecond
	stop = run(t, v, deaf)
	var pid int
	eventually(t, "deaf tells its pid", func() bool {
		_, after, found := strings.Cut(out.String(), "deaf       | pid ")
		if found {
			pid, _ = strconv.Atoi(strings.TrimSpace(strings.SplitN(after, "\n", 2)[0]))
		}
		return pid > 0
	})
	stop()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("deaf is still there: %v", err)
	}
}

func TestOrphansAreReapedAndStatusesAreNotMixedUp(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) })
	type started struct {
		pid  int
		done <-chan Exit
		want int
	}
	var all []started
	for i := range 40 {
		// Each leaves an orphan that ends at about the same time as the process itself.
		script := fmt.Sprintf("(sleep 0.02; exit 77) & exit %d", i)
		pid, done, err := testReaper().Start([]string{"/bin/sh", "-c", script}, &syscall.ProcAttr{
			Env: []string{"PATH=/usr/bin:/bin"}, Files: []uintptr{0, 1, 2}})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, started{pid, done, i})
	}
	for _, s := range all {
		select {
		case exit := <-s.done:
			if exit.PID != s.pid || exit.Status.ExitStatus() != s.want {
				t.Errorf("process %d: got %+v, want status %d", s.pid, exit, s.want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("the status of %d was lost", s.pid)
		}
	}
	eventually(t, "no child is left, not even a zombie", func() bool {
		children, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
		return err == nil && len(bytes.TrimSpace(children)) == 0
	})
}

func TestLinesAreWholeAndBounded(t *testing.T) {
	out := &buffer{}
	NewLines(out).Copy("x", strings.NewReader("one\n\ntwo\n"+strings.Repeat("y", maxLine+5)+"\nlast"))
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	want := []string{"x          | one", "x          | two", "x          | " + strings.Repeat("y", maxLine),
		"x          | yyyyy", "x          | last"}
	if len(lines) != len(want) {
		t.Fatalf("got %d lines, want %d", len(lines), len(want))
	}
	for i := range want {
		if lines[i] != want[i] {
			t.Errorf("line %d: got %.40q, want %.40q", i, lines[i], want[i])
		}
	}
}
