package node

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// runnerVariable has the script, as JSON, that TestRunner is to run for another test.
const runnerVariable = "BERTH_TEST_RUNNER"

type runnerInput struct {
	Asked       script
	Image, Kept string
}

// TestRunner is the process in which a script runs, for tests that end it.
func TestRunner(t *testing.T) {
	text := os.Getenv(runnerVariable)
	if text == "" {
		t.Skip("it is run by other tests")
	}
	var input runnerInput
	if err := json.Unmarshal([]byte(text), &input); err != nil {
		t.Fatal(err)
	}
	if _, err := runScript(t.Context(), input.Asked, places{image: []string{input.Image}, kept: input.Kept}); err != nil {
		t.Fatal(err)
	}
}

// start runs a script in a process of its own, as a machine does, and returns when it has begun.
func start(t *testing.T, asked script, at places) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(runnerInput{asked, at.image[0], at.kept})
	if err != nil {
		t.Fatal(err)
	}
	runner := exec.Command(os.Args[0], "-test.run=^TestRunner$")
	runner.Env = append(os.Environ(), runnerVariable+"="+string(text))
	if err := runner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = runner.Process.Kill() })
	for deadline := time.Now().Add(time.Minute); ; {
		if known, err := (&record{path: keptPath(at.kept, asked.Name)}).read(); err == nil && (known.Begun || known.Ended != nil) {
			return runner
		}
		if time.Now().After(deadline) {
			t.Fatal("the script did not begin")
		}
		<-time.After(5 * time.Millisecond)
	}
}

// A script that ends what watches it, and goes on, has its changes told all the same, and
// ends with the question.
func TestSettleTellsWhatNobodySaw(t *testing.T) {
	at := places{image: []string{t.TempDir()}, kept: filepath.Join(t.TempDir(), "kept")}
	file, pid := filepath.Join(at.image[0], "passwd"), filepath.Join(t.TempDir(), "pid")
	asked := script{
		Name: "op-1", Timeout: time.Minute, Limit: 4096, Environment: []string{"FILE=" + file, "PID=" + pid},
		Script: `echo x >> "$FILE"; setsid sh -c 'echo $$ > "$PID"; exec sleep 300' & until [ -s "$PID" ]; do sleep 0.01; done; kill -9 $PPID; exec sleep 300`,
	}
	runner := start(t, asked, at)
	var killed *exec.ExitError
	if err := runner.Wait(); !errors.As(err, &killed) {
		t.Fatalf("the script did not end what ran it: %v", err)
	}
	asked.Settle = true
	for _, why := range []string{"", "once more, as the first answer may be lost"} {
		result, err := settle(t.Context(), asked, at)
		if err != nil || !slices.Equal(result.Changed, []string{file}) || result.ChangedCount != 1 {
			t.Fatalf("%s: %+v, %v", why, result, err)
		}
	}
	left, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(left)), "cmdline")); err == nil && len(text) > 0 {
		t.Error("what the script left is still there")
	}
	for why, other := range map[string]script{"another script": {Name: "op-2", Timeout: time.Second}, "one without a name": {Timeout: time.Second}} {
		if result, err := settle(t.Context(), other, at); err != nil || result.ChangedCount > 0 {
			t.Errorf("%s: %+v, %v", why, result, err)
		}
	}
}

// A script that still runs is waited for; one that ended tells its files, and no output.
func TestSettleWaits(t *testing.T) {
	at := places{image: []string{t.TempDir()}, kept: filepath.Join(t.TempDir(), "kept")}
	file, out := filepath.Join(at.image[0], "passwd"), filepath.Join(t.TempDir(), "out")
	asked := script{
		Name: "op-1", Timeout: time.Minute, Limit: 4096, Environment: []string{"FILE=" + file, "OUT=" + out},
		Script: `until [ -e "$OUT" ]; do sleep 0.01; done; echo secret; echo x >> "$FILE"`,
	}
	runner := start(t, asked, at)
	impatient := asked
	impatient.Timeout = 10 * time.Millisecond
	if result, err := settle(t.Context(), impatient, at); err == nil {
		t.Errorf("a script that still runs: %+v", result)
	}
	if err := os.WriteFile(out, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	result, err := settle(t.Context(), asked, at)
	if err != nil || !slices.Equal(result.Changed, []string{file}) || result.Stdout != "" {
		t.Errorf("%+v, %v", result, err)
	}
	if err := runner.Wait(); err != nil {
		t.Error(err)
	}
	if content, err := os.ReadFile(keptPath(at.kept, asked.Name)); err != nil || strings.Contains(string(content), "secret") || strings.Contains(string(content), "before") {
		t.Errorf("kept: %s, %v", content, err)
	}
	// The next one forgets it, whether it has a name or not.
	if _, err := runScript(t.Context(), script{Script: "true", Timeout: time.Minute, Limit: 1}, at); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(keptPath(at.kept, asked.Name)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is kept for ever: %v", err)
	}
}

// What waits for a script looks ever more rarely, and reads the files before it once: it
// may wait for minutes, on a machine that has better to do.
func TestSettleIsCheap(t *testing.T) {
	var total time.Duration
	looks := 0
	for ; total < 10*time.Minute; looks++ {
		wait := settleWait(looks)
		if wait < settleFirst || wait > settleMost {
			t.Fatalf("look %d waits %s", looks, wait)
		}
		total += wait
	}
	if looks > 700 {
		t.Errorf("%d looks in ten minutes", looks)
	}
	dir := t.TempDir()
	if err := keep(dir, "op-1", kept{Runner: 1, Started: "2", Begun: true}); err != nil {
		t.Fatal(err)
	}
	path := keptPath(dir, "op-1")
	stamp, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	one := &record{path: path}
	if _, err := one.read(); err != nil {
		t.Fatal(err)
	}
	// Something else of the same stamp: who reads it finds out.
	if err := os.WriteFile(path, []byte(strings.Repeat("x", int(stamp.Size()))), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, stamp.ModTime(), stamp.ModTime()); err != nil {
		t.Fatal(err)
	}
	if known, err := one.read(); err != nil || known.Runner != 1 {
		t.Errorf("it was read again: %+v, %v", known, err)
	}
	if err := finish(dir, "op-1", outcome{}); err != nil {
		t.Fatal(err)
	}
	if known, err := one.read(); err != nil || known.Ended == nil {
		t.Errorf("it was written anew and not read: %+v, %v", known, err)
	}
}

// A question that comes before the script has begun is answered with what it changes, or
// keeps it from beginning.
func TestSettleOvertakesNobody(t *testing.T) {
	at := places{image: []string{t.TempDir()}, kept: filepath.Join(t.TempDir(), "kept")}
	file := filepath.Join(at.image[0], "passwd")
	asked := script{Name: "op-1", Timeout: time.Minute, Limit: 4096, Environment: []string{"FILE=" + file}, Script: `echo x >> "$FILE"`}

	// The machine knows of none: it is said that it changed nothing, and it changes nothing.
	if result, err := settle(t.Context(), asked, at); err != nil || result.ChangedCount > 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	if result, err := runScript(t.Context(), asked, at); err == nil {
		t.Errorf("it begins after it was given up: %+v", result)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it was run after it was given up")
	}

	// It begins between two looks.
	asked.Name = "op-2"
	type answer struct {
		outcome
		err error
	}
	told := make(chan answer, 1)
	go func() {
		result, err := settle(t.Context(), asked, at)
		told <- answer{result, err}
	}()
	if _, err := runScript(t.Context(), asked, at); err == nil {
		if got := <-told; got.err != nil || !slices.Equal(got.Changed, []string{file}) {
			t.Errorf("it ran: %+v, %v", got.outcome, got.err)
		}
	} else if got := <-told; got.err != nil || got.ChangedCount > 0 { // a slow machine
		t.Errorf("it was given up: %+v, %v", got.outcome, got.err)
	}

	// Its runner has not looked at the files yet: it is waited for.
	own, err := claim(at.kept, "op-3")
	if err != nil {
		t.Fatal(err)
	}
	asked.Name, asked.Timeout = "op-3", 10*time.Millisecond
	if result, err := settle(t.Context(), asked, at); err == nil {
		t.Errorf("it is about to begin, and %+v", result)
	}
	// It ends before it ran anything: what others change is not its work.
	own.Started = "0"
	if err := keep(at.kept, asked.Name, own); err != nil {
		t.Fatal(err)
	}
	if result, err := settle(t.Context(), asked, at); err != nil || result.ChangedCount > 0 {
		t.Errorf("it ended before it began: %+v, %v", result, err)
	}
}

// A script that runs while the next one begins, as nobody could be told of its end, ends:
// what it changes would be held against the next.
func TestTheNextScriptEndsTheLast(t *testing.T) {
	at := places{image: []string{t.TempDir()}, kept: filepath.Join(t.TempDir(), "kept")}
	pid := filepath.Join(t.TempDir(), "pid")
	runner := start(t, script{
		Name: "op-1", Timeout: time.Minute, Limit: 4096, Environment: []string{"PID=" + pid}, Script: `setsid sh -c 'echo $$ > "$PID"; exec sleep 300' & wait`,
	}, at)
	for deadline := time.Now().Add(time.Minute); ; {
		if text, err := os.ReadFile(pid); err == nil && strings.HasSuffix(string(text), "\n") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the script did not begin")
		}
		<-time.After(5 * time.Millisecond)
	}
	if _, err := runScript(t.Context(), script{Name: "op-2", Script: "true", Timeout: time.Minute, Limit: 1}, at); err != nil {
		t.Fatal(err)
	}
	var killed *exec.ExitError
	if err := runner.Wait(); !errors.As(err, &killed) {
		t.Errorf("what ran the last script goes on: %v", err)
	}
	left, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(left)), "cmdline")); err == nil && len(text) > 0 {
		t.Error("what the last script started is still there")
	}
}
