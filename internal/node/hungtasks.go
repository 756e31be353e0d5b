package node

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	// tasksEvery is the time between two looks at the machine's tasks, and hungLooks how
	// many in a row have to find one blocked: two minutes, as the kernel's own hung task
	// detector waits (kernel.hung_task_timeout_secs). Looks are counted and not time: while
	// a machine was frozen or asleep, its tasks could not get on.
	tasksEvery = 30 * time.Second
	hungLooks  = int(hungTask/tasksEvery) + 1
	hungTask   = 2 * time.Minute
	// tasksNamed is how many of them a condition names.
	tasksNamed = 3
)

// blockedTask is a task in uninterruptible sleep. Two that are equal are one that has not
// run in between.
type blockedTask struct {
	Process, Task         int
	ProcessName, TaskName string
	// Started is in clock ticks since the host's boot, Switches the lines of its status
	// that count its context switches.
	Started, Switches string
}

// name is how the kernel names it, and which process it is of.
func (b blockedTask) name() string {
	task := fmt.Sprintf("%s:%d", b.TaskName, b.Task)
	if b.Task == b.Process {
		return task
	}
	return fmt.Sprintf("%s of %s:%d", task, b.ProcessName, b.Process)
}

// taskWatch looks for tasks of the machine's PID namespace that do not get on.
type taskWatch struct {
	// proc is where that namespace's /proc is.
	proc string

	mu      sync.Mutex
	blocked map[blockedTask]sighting
}

// sighting says since when, and how many times in a row, a task was seen to be blocked.
type sighting struct {
	since time.Time
	looks int
}

func (w *taskWatch) look(now time.Time) {
	found := blockedTasks(w.proc)
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[blockedTask]sighting{}
	for _, task := range found {
		s, known := w.blocked[task]
		if !known {
			s.since = now
		}
		s.looks++
		seen[task] = s
	}
	w.blocked = seen
}

// hung says which tasks have been blocked for hungTask, those first that have been for
// longest; it is empty if none has.
func (w *taskWatch) hung() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	type hungSince struct {
		blockedTask
		since time.Time
	}
	var all []hungSince
	for task, s := range w.blocked {
		if s.looks >= hungLooks {
			all = append(all, hungSince{task, s.since})
		}
	}
	slices.SortFunc(all, func(a, b hungSince) int {
		if order := a.since.Compare(b.since); order != 0 {
			return order
		}
		return a.Task - b.Task
	})
	var said []string
	for _, t := range all[:min(len(all), tasksNamed)] {
		said = append(said, fmt.Sprintf("task %s blocked for more than %d seconds, since %s",
			t.name(), int(hungTask.Seconds()), t.since.UTC().Format(time.RFC3339)))
	}
	if more := len(all) - tasksNamed; more > 0 {
		said = append(said, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(said, "; ")
}

// blockedTasks are the tasks below proc in uninterruptible sleep. One that ends meanwhile
// is left out. Of a process with one thread, which most are, one file is read.
func blockedTasks(proc string) []blockedTask {
	var blocked []blockedTask
	for _, process := range numbersIn(proc) {
		dir := filepath.Join(proc, strconv.Itoa(process))
		first, ok := readTask(dir)
		if !ok {
			continue
		}
		tasks := []int{process}
		if first.threads > 1 {
			tasks = numbersIn(filepath.Join(dir, "task"))
		}
		for _, task := range tasks {
			of, at := first, dir
			if task != process {
				at = filepath.Join(dir, "task", strconv.Itoa(task))
				if of, ok = readTask(at); !ok {
					continue
				}
			}
			if of.state != 'D' {
				continue
			}
			if switches := switchesOf(at); switches != "" {
				blocked = append(blocked, blockedTask{process, task, first.name, of.name, of.started, switches})
			}
		}
	}
	return blocked
}

// numbersIn are the names in a directory that are numbers.
func numbersIn(dir string) []int {
	opened, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer opened.Close()
	names, _ := opened.Readdirnames(-1)
	var numbers []int
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// taskStat is what is used of a task's stat.
type taskStat struct {
	name    string
	state   byte
	threads int
	started string
}

// readTask reads a task's stat (proc_pid_stat(5)). Its second field is the name, in
// parentheses, and may hold anything.
func readTask(dir string) (taskStat, bool) {
	content, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return taskStat{}, false
	}
	begin, end := bytes.IndexByte(content, '('), bytes.LastIndexByte(content, ')')
	const state, threads, started = 0, 17, 19 // counted from behind the name
	fields := bytes.Fields(content[end+1:])
	if begin < 0 || end < begin || len(fields) <= started {
		return taskStat{}, false
	}
	count, err := strconv.Atoi(string(fields[threads]))
	return taskStat{printable(content[begin+1 : end]), fields[state][0], count, string(fields[started])}, err == nil
}

// printable is a task's name, which is its program's to choose, as it can be shown.
func printable(name []byte) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(string(name), "?"))
}

// switchesOf are the lines of a task's status that count its context switches.
func switchesOf(dir string) string {
	content, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return ""
	}
	at := bytes.Index(content, []byte("\nvoluntary_ctxt_switches:"))
	if at < 0 {
		return ""
	}
	return string(content[at+1:])
}
