package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Exit is how a process ended.
type Exit struct {
	PID    int
	Status syscall.WaitStatus
}

// String says how the process ended in the words of a log line.
func (e Exit) String() string {
	if e.Status.Signaled() {
		return "ended by signal: " + e.Status.Signal().String()
	}
	return fmt.Sprintf("exited with status %d", e.Status.ExitStatus())
}

// Reaper collects every child of this process: those it started itself, whose status goes to their starter, and
// orphans that the kernel handed over, whose status nobody wants.
type Reaper struct {
	// mu is held while a process is started and while children are collected, so that no child can be collected
	// before its starter is known.
	mu      sync.Mutex
	waiting map[int]chan<- Exit
	signals chan os.Signal
}

// NewReaper makes a Reaper. Children are collected once Run is called.
func NewReaper() *Reaper {
	r := &Reaper{waiting: map[int]chan<- Exit{}, signals: make(chan os.Signal, 1)}
	signal.Notify(r.signals, syscall.SIGCHLD)
	return r
}

// Run collects children until ctx is done. Afterwards statuses are no longer delivered.
func (r *Reaper) Run(ctx context.Context) {
	defer signal.Stop(r.signals)
	for {
		r.collect()
		select {
		case <-ctx.Done():
			return
		case <-r.signals:
		}
	}
}

func (r *Reaper) collect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if done, ours := r.waiting[pid]; ours {
			delete(r.waiting, pid)
			done <- Exit{PID: pid, Status: status}
		}
	}
}

// Start runs argv (argv[0] is an absolute path) and returns its pid and a channel that gets its Exit, once.
func (r *Reaper) Start(argv []string, attr *syscall.ProcAttr) (int, <-chan Exit, error) {
	done := make(chan Exit, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(argv[0], argv, attr)
	if err != nil {
		return 0, nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	r.waiting[pid] = done
	return pid, done, nil
}

// Signal sends a signal to a process that Start started, unless it has been collected: its pid could be another's then.
func (r *Reaper) Signal(pid int, sig syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, running := r.waiting[pid]; running {
		_ = syscall.Kill(pid, sig)
	}
}

// SignalGroup is Signal for a process and those of its process group, which has its pid.
func (r *Reaper) SignalGroup(pid int, sig syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, running := r.waiting[pid]; running {
		_ = syscall.Kill(-pid, sig)
	}
}
