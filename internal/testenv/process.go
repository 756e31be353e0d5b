package testenv

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stopGrace is how long a program may take to end before it is killed.
const stopGrace = 10 * time.Second

// Process is a program that a test runs.
type Process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error
}

// StartProcess runs argv with its output in logFile. The kernel kills it when
// this process dies.
func StartProcess(logFile string, env []string, argv ...string) (*Process, error) {
	out, err := os.Create(logFile)
	if err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	defer out.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &Process{name: argv[0], cmd: cmd, log: logFile, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// Pdeathsig follows the thread that forked, so that thread must live on.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(argv, " "), err)
	}
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.done }

// Failure describes a process that ended by itself, with the end of its output.
func (p *Process) Failure() error {
	raw, _ := os.ReadFile(p.log)
	if len(raw) > 4000 {
		raw = raw[len(raw)-4000:]
	}
	return fmt.Errorf("%s ended: %v\n%s", p.name, p.err, raw)
}

// Stop ends the process and waits for it.
func (p *Process) Stop() {
	if p == nil {
		return
	}
	// An error means that it has ended already.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopGrace):
		p.Kill()
	}
}

// Kill ends the process at once and waits for it.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Ports below those that Linux gives to outgoing connections (ip_local_port_range):
// one found free there is not taken by a connection before its server listens.
const lowestPort, ephemeralPorts = 10000, 32768

// FreePorts reserves n different ports on the loopback device for a moment and
// returns them.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for tries := 0; len(ports) < n; tries++ {
		port := lowestPort + rand.IntN(ephemeralPorts-lowestPort)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		switch {
		case err == nil:
			defer listener.Close()
			ports = append(ports, port)
		case tries > 100+n:
			return nil, fmt.Errorf("find a free port: %w", err)
		}
	}
	return ports, nil
}
