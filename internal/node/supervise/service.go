package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// ErrReplace is what a health check wraps when patience cannot help: the process is replaced at once.
var ErrReplace = errors.New("it must be started again")

// Service is a process that is to run as long as its machine does.
type Service struct {
	// Name prefixes its log lines.
	Name string
	// Command is its argv; the first is an absolute path.
	Command []string
	// Env is its whole environment.
	Env []string
	// Health says whether the process does its work; nil means that being alive is enough. The context bounds a check.
	Health func(context.Context) error
	// HealthEvery is the time between two checks of a process that was healthy.
	HealthEvery time.Duration
	// HungAfter is how long checks may fail before the process counts as hung and is replaced (clause E3).
	HungAfter time.Duration
	// StartWithin is how long a new process may take until its first successful check.
	StartWithin time.Duration
	// StopWithin is the time between SIGTERM and SIGKILL.
	StopWithin time.Duration

	made, closed sync.Once
	healthy      chan struct{}
	chart        chart
}

// Healthy is closed when the service has been healthy for the first time.
func (s *Service) Healthy() <-chan struct{} {
	s.made.Do(func() { s.healthy = make(chan struct{}) })
	return s.healthy
}

// Backoff is the delay before a process is started again.
type Backoff struct {
	// Min is the first delay; it doubles with each further failure up to Max.
	Min, Max time.Duration
	// Reset is how long a process must have run for the next delay to be Min again.
	Reset time.Duration
}

// Next is the delay after a process that ran for ran, when the delay before it was previous.
func (b Backoff) Next(previous, ran time.Duration) time.Duration {
	if previous == 0 || ran >= b.Reset {
		return b.Min
	}
	return min(2*previous, b.Max)
}

// Supervisor runs services.
type Supervisor struct {
	Reaper  *Reaper
	Lines   *Lines
	Backoff Backoff
	// CheckStarting is the time between two health checks of a process that was not healthy yet.
	CheckStarting time.Duration
}

// Run keeps s running until ctx is done, then stops it: SIGTERM, and SIGKILL after StopWithin. It returns when the
// process has ended.
func (v *Supervisor) Run(ctx context.Context, s *Service) {
	var delay time.Duration
	for ctx.Err() == nil {
		began := time.Now()
		reason := v.runOnce(ctx, s)
		if ctx.Err() != nil {
			return
		}
		s.chart.unwell(time.Now(), reason)
		delay = v.Backoff.Next(delay, time.Since(began))
		v.Lines.Printf("init", "%s %s; starting it again in %s", s.Name, reason, delay)
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
}

// runOnce starts the process, watches it, and says why it ended.
func (v *Supervisor) runOnce(ctx context.Context, s *Service) string {
	s.chart.started(time.Now())
	pid, done, err := v.start(s)
	if err != nil {
		return err.Error()
	}
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	hung := make(chan error, 1)
	go func() { hung <- v.watch(watching, s) }()
	select {
	case exit := <-done:
		return exit.String()
	case cause := <-hung:
		exit := v.end(s, pid, done)
		if cause == nil {
			return "was stopped: " + exit.String()
		}
		return fmt.Sprintf("hung (%v) and was %s", cause, exit)
	case <-ctx.Done():
		return "was stopped: " + v.end(s, pid, done).String()
	}
}

func (v *Supervisor) start(s *Service) (int, <-chan Exit, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return 0, nil, fmt.Errorf("make a pipe for %s: %w", s.Name, err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, nil, fmt.Errorf("give %s an input: %w", s.Name, err)
	}
	pid, done, err := v.Reaper.Start(s.Command, &syscall.ProcAttr{
		Dir: "/", Env: s.Env, Files: []uintptr{null.Fd(), write.Fd(), write.Fd()},
		Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	_ = null.Close()
	_ = write.Close()
	if err != nil {
		_ = read.Close()
		return 0, nil, err
	}
	// A grandchild may hold the pipe longer than the process lives, so nobody waits for the copy to end.
	go func() {
		v.Lines.Copy(s.Name, read)
		_ = read.Close()
	}()
	return pid, done, nil
}

// end stops a process and waits for its end, at most twice StopWithin.
func (v *Supervisor) end(s *Service, pid int, done <-chan Exit) Exit {
	v.Reaper.Signal(pid, syscall.SIGTERM)
	select {
	case exit := <-done:
		return exit
	case <-time.After(s.StopWithin):
	}
	v.Reaper.Signal(pid, syscall.SIGKILL)
	select {
	case exit := <-done:
		return exit
	case <-time.After(s.StopWithin):
		// The kernel holds it, in a file system that does not answer for instance. Nothing can be done about it here.
		return Exit{PID: pid, Status: syscall.WaitStatus(syscall.SIGKILL)}
	}
}

// watch checks the process's health until it counts as hung, which is an error, or ctx is done.
func (v *Supervisor) watch(ctx context.Context, s *Service) error {
	if s.Health == nil {
		s.markHealthy()
		<-ctx.Done()
		return nil
	}
	good, patience, every := time.Now(), s.StartWithin, v.CheckStarting
	for {
		err := v.check(ctx, s)
		if err != nil && ctx.Err() == nil {
			s.chart.unwell(time.Now(), err.Error())
		}
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the check failed because its context ended
		case err == nil:
			s.markHealthy()
			good, patience, every = time.Now(), s.HungAfter, s.HealthEvery
		case errors.Is(err, ErrReplace):
			return err
		case time.Since(good) >= patience:
			return fmt.Errorf("not healthy for %s: %w", patience, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

func (v *Supervisor) check(ctx context.Context, s *Service) error {
	ctx, cancel := context.WithTimeout(ctx, max(s.HungAfter/4, time.Second))
	defer cancel()
	return s.Health(ctx)
}

func (s *Service) markHealthy() {
	s.Healthy()
	s.chart.well()
	s.closed.Do(func() { close(s.healthy) })
}
