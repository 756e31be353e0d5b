package image

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// tailBytes is how much of a failed program's output its error shows.
const tailBytes = 4 << 10

// CommandError is a program that failed: what was run and the end of what it said.
type CommandError struct {
	Argv   []string
	Output string
	Err    error
}

// Error has the command line first and the output last.
func (e *CommandError) Error() string {
	text := fmt.Sprintf("%s: %v", quoteArgv(e.Argv), e.Err)
	if e.Output != "" {
		text += "\n" + e.Output
	}
	return text
}

// Unwrap is why the program failed.
func (e *CommandError) Unwrap() error { return e.Err }

// quoteArgv writes a command so that it can be pasted into a shell.
func quoteArgv(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		if word == "" || strings.ContainsAny(word, " \t\n'\"\\$&;|<>()*?[]#~`{}!") {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		words[i] = word
	}
	return strings.Join(words, " ")
}

// program is a command to run to its end.
type program struct {
	Argv  []string
	Dir   string
	Env   []string
	Stdin io.Reader
	// OwnMounts gives it a mount namespace of its own, so that nothing it
	// mounts outlives it.
	OwnMounts bool
	// Line gets every line of its output.
	Line func(string)
}

// start makes the command, in a session of its own so that the terminal's
// interrupt reaches it only through the context, and dying with its parent.
func (p program) command(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.Argv[0], p.Argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin = p.Dir, p.Env, p.Stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if p.OwnMounts {
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// run runs the program and returns a CommandError if it fails.
func (p program) run(ctx context.Context, log io.Writer) error {
	cmd := p.command(ctx)
	tail := &tailWriter{line: p.Line}
	fmt.Fprintf(log, "$ %s\n", quoteArgv(p.Argv))
	cmd.Stdout = io.MultiWriter(log, tail)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return &CommandError{Argv: p.Argv, Output: tail.String(), Err: err}
	}
	return nil
}

// output runs the program and returns what it wrote to standard output.
func (p program) output(ctx context.Context) (string, error) {
	cmd := p.command(ctx)
	var stdout bytes.Buffer
	tail := &tailWriter{}
	cmd.Stdout, cmd.Stderr = &stdout, tail
	if err := cmd.Run(); err != nil {
		return "", &CommandError{Argv: p.Argv, Output: tail.String(), Err: err}
	}
	return stdout.String(), nil
}

// tailWriter keeps the end of what is written to it and reports whole lines.
type tailWriter struct {
	mu      sync.Mutex
	kept    []byte
	partial []byte
	line    func(string)
}

// Write never fails.
func (t *tailWriter) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if excess := len(t.kept) - tailBytes; excess > 0 {
		t.kept = t.kept[excess:]
	}
	if t.line == nil {
		return len(p), nil
	}
	t.partial = append(t.partial, p...)
	for {
		end := bytes.IndexByte(t.partial, '\n')
		if end < 0 {
			return len(p), nil
		}
		t.line(string(t.partial[:end]))
		t.partial = t.partial[end+1:]
	}
}

func (t *tailWriter) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimRight(string(t.kept), "\n")
}
