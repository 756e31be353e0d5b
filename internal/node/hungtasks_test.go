package node

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fakeTask is a task of a /proc that a test writes.
type fakeTask struct {
	process, task int
	name, state   string
	started       int
	switches      int
}

// fakeProc writes tasks as /proc shows them, and removes what was there.
func fakeProc(t *testing.T, root string, tasks ...fakeTask) {
	t.Helper()
	entries, _ := os.ReadDir(root)
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(root, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	threads := map[int]int{}
	for _, f := range tasks {
		threads[f.process]++
	}
	for _, f := range tasks {
		stat := fmt.Sprintf("%d (%s) %s 1 1 1 0 -1 4194560 9 9 9 9 1 2 3 4 20 0 %d 0 %d 1000 10\n", f.task, f.name, f.state, threads[f.process], f.started)
		status := fmt.Sprintf("Name:\t%s\nvoluntary_ctxt_switches:\t%d\nnonvoluntary_ctxt_switches:\t7\n", f.name, f.switches)
		process := filepath.Join(root, strconv.Itoa(f.process))
		dirs := []string{filepath.Join(process, "task", strconv.Itoa(f.task))}
		if f.task == f.process {
			dirs = append(dirs, process)
		}
		for _, dir := range dirs {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, content := range map[string]string{"stat": stat, "status": status} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestHungTasks(t *testing.T) {
	blocked := fakeTask{process: 40, task: 40, name: "tar", state: "D", started: 900, switches: 12}
	with := func(change func(*fakeTask)) []fakeTask {
		other := blocked
		change(&other)
		return []fakeTask{other}
	}
	same := []fakeTask{blocked}
	thread := []fakeTask{
		{process: 50, task: 50, name: "java", state: "S", started: 800, switches: 5},
		{process: 50, task: 53, name: "IO (3)", state: "D", started: 801, switches: 6},
	}
	var many []fakeTask
	for n := range 5 {
		many = append(many, fakeTask{process: 60 + n, task: 60 + n, name: "ls", state: "D", started: 900})
	}
	for _, c := range []struct {
		why   string
		looks [][]fakeTask
		want  string
	}{
		{"nothing is blocked", slices.Repeat([][]fakeTask{with(func(f *fakeTask) { f.state = "S" })}, 6), ""},
		{"not for two minutes yet", slices.Repeat([][]fakeTask{same}, 4), ""},
		{"for two minutes", slices.Repeat([][]fakeTask{same}, 5), "task tar:40 blocked for more than 120 seconds, since 2026-11-26T12:00:00Z"},
		{"a thread is named with its process", slices.Repeat([][]fakeTask{thread}, 5), "task IO (3):53 of java:50 blocked for more than 120 seconds, since 2026-11-26T12:00:00Z"},
		{"it ran for a moment between two looks", [][]fakeTask{same, same, same, with(func(f *fakeTask) { f.switches++ }), with(func(f *fakeTask) { f.switches++ })}, ""},
		{"another process has its number", [][]fakeTask{same, same, same, with(func(f *fakeTask) { f.started++ }), with(func(f *fakeTask) { f.started++ })}, ""},
		{"it got on", append(slices.Repeat([][]fakeTask{same}, 9), with(func(f *fakeTask) { f.state = "R" })), ""},
		{"it ended", append(slices.Repeat([][]fakeTask{same}, 9), nil), ""},
		{"those are named that have waited longest, and the others counted",
			append([][]fakeTask{many[3:4]}, slices.Repeat([][]fakeTask{many}, 5)...),
			"task ls:63 blocked for more than 120 seconds, since 2026-11-26T12:00:00Z; " +
				"task ls:60 blocked for more than 120 seconds, since 2026-11-26T12:00:30Z; " +
				"task ls:61 blocked for more than 120 seconds, since 2026-11-26T12:00:30Z; and 2 more"},
		{"a name that forges a line", slices.Repeat([][]fakeTask{with(func(f *fakeTask) { f.name = "a) R 1\n\xff" })}, 5),
			"task a) R 1??:40 blocked for more than 120 seconds, since 2026-11-26T12:00:00Z"},
	} {
		w := &taskWatch{proc: t.TempDir()}
		for n, tasks := range c.looks {
			fakeProc(t, w.proc, tasks...)
			w.look(problemNow.Add(time.Duration(n) * tasksEvery))
		}
		if got := w.hung(); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}

// The machine's own /proc is read as the fake one is.
func TestTasksOfThisProcess(t *testing.T) {
	self := filepath.Join("/proc", strconv.Itoa(os.Getpid()))
	stat, ok := readTask(self)
	if started, err := startOf(filepath.Join(self, "stat")); !ok || err != nil || stat.started != string(started) || stat.threads < 1 || stat.name == "" {
		t.Errorf("this process is %+v (%t), %v", stat, ok, err)
	}
	if tasks := numbersIn(filepath.Join(self, "task")); !slices.Contains(tasks, os.Getpid()) {
		t.Errorf("the tasks of this process, %d, are %v", os.Getpid(), tasks)
	}
	if switches := switchesOf(self); !strings.Contains(switches, "nonvoluntary_ctxt_switches:") {
		t.Errorf("this process's switches are %q", switches)
	}
	if found := blockedTasks(filepath.Join(t.TempDir(), "none")); len(found) > 0 {
		t.Errorf("without a /proc: %v", found)
	}
}
