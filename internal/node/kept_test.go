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
		if _, err := os.Stat(keptPath(at.kept, asked.Name)); err == nil {
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
