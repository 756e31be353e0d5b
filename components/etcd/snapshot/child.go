package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// etcd panics or exits where its files are damaged, and the kernel ends whoever
// reads a mapped file that is too short. Whatever touches such files is therefore
// done by a child: this program again, with a hidden command. It gets its job as
// JSON on the standard input, which stays open for as long as the parent lives, and
// answers in lines of JSON.

// answer is a line that a child says. Stage is what it is about to do; each of the
// others ends the job.
type answer struct {
	Stage string `json:"stage,omitempty"`
	// Damage is what is wrong with the files.
	Damage string   `json:"damage,omitempty"`
	Error  string   `json:"error,omitempty"`
	Result *content `json:"result,omitempty"`
}

// outcome is what a child found.
type outcome struct {
	content
	// damage is what is wrong with the files; empty if they are sound.
	damage string
}

// job is what a child does. It says what it is about to do. An error that is no
// trouble of the machine is damage.
type job interface {
	run(ctx context.Context, stage func(string)) (content, error)
}

// childCommand is the hidden command for jobs of one kind.
func childCommand[J job](name string) *cobra.Command {
	return &cobra.Command{Use: name, Hidden: true, Args: cobra.NoArgs, RunE: func(command *cobra.Command, _ []string) error {
		var work J
		in := json.NewDecoder(os.Stdin)
		if err := in.Decode(&work); err != nil {
			return fmt.Errorf("read the job: %w", err)
		}
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(1) // The parent is gone.
		}()
		out := json.NewEncoder(command.OutOrStdout())
		stage, say := "", func(a answer) error { return out.Encode(a) }
		done, err := work.run(command.Context(), func(next string) { stage = next; _ = say(answer{Stage: next}) })
		switch {
		case err == nil:
			return say(answer{Result: &done})
		case trouble(err.Error()) != "" || command.Context().Err() != nil:
			return say(answer{Error: oneLine(stage + ": " + err.Error())})
		}
		return say(answer{Damage: oneLine(stage + ": " + err.Error())})
	}}
}

// runChild does a job in a child. Trouble of the machine is an error: nothing that
// is sound may be replaced because of it.
func runChild(ctx context.Context, name string, work job) (outcome, error) {
	found, err := startChild(ctx, name, work)
	if err != nil {
		return outcome{}, fmt.Errorf("%s: %w", name, err)
	}
	return found, nil
}

func startChild(ctx context.Context, name string, work job) (outcome, error) {
	self, err := os.Executable()
	if err != nil {
		return outcome{}, err
	}
	text, err := json.Marshal(work)
	if err != nil {
		return outcome{}, err
	}
	command, complaints := exec.CommandContext(ctx, self, name), &head{}
	command.Stderr = complaints
	in, err := command.StdinPipe()
	if err != nil {
		return outcome{}, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return outcome{}, err
	}
	if err := command.Start(); err != nil {
		return outcome{}, err
	}
	// What a child says when it dies at once is the cause, not that nobody listened.
	_, _ = in.Write(append(text, '\n'))
	last := listen(out)
	ended := command.Wait()
	if ctx.Err() != nil {
		return outcome{}, ctx.Err()
	}
	return judge(last, ended, complaints.String())
}

// listen returns a child's last words, and with them what it was about to do.
func listen(out io.Reader) answer {
	var last answer
	for lines := json.NewDecoder(bufio.NewReader(out)); ; {
		var next answer
		if err := lines.Decode(&next); err != nil {
			return last
		}
		if next.Stage == "" {
			next.Stage = last.Stage
		}
		last = next
	}
}

// judge tells damage from trouble of the machine.
func judge(last answer, ended error, complaints string) (outcome, error) {
	switch {
	case last.Result != nil && ended == nil:
		return outcome{content: *last.Result}, nil
	case last.Damage != "":
		return outcome{damage: last.Damage}, nil
	case last.Error != "":
		return outcome{}, errors.New(last.Error)
	}
	if found := trouble(complaints); found != "" {
		return outcome{}, fmt.Errorf("%s: %s", last.Stage, found)
	}
	var exit *exec.ExitError
	if !errors.As(ended, &exit) {
		return outcome{}, fmt.Errorf("%s: no answer (%w)", last.Stage, ended)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		// The memory may be too small for it.
		return outcome{}, fmt.Errorf("%s: ended by %s", last.Stage, status.Signal())
	}
	return outcome{damage: oneLine(last.Stage + ": " + cause(complaints))}, nil
}

// troubles are the words of the system for what is no damage.
var troubles = []error{
	syscall.ENOSPC, syscall.EDQUOT, syscall.EACCES, syscall.EPERM, syscall.EROFS,
	syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN,
	errors.New("out of memory"), errors.New("file already locked"), errInUse,
}

// trouble finds what is wrong with the machine in what was said; empty if nothing is.
func trouble(said string) string {
	for _, t := range troubles {
		if strings.Contains(said, t.Error()) {
			return t.Error()
		}
	}
	return ""
}

// death is a line that etcd, or Go, ends with.
var death = regexp.MustCompile(`^(?:panic|fatal error): (.*)`)

// cause finds the reason of a death in what was written. Only the words of the
// program are taken, since fields of a log may name keys.
func cause(complaints string) string {
	for line := range strings.Lines(complaints) {
		var logged struct {
			Message string `json:"msg"`
			Error   string `json:"error"`
		}
		if json.Unmarshal([]byte(line), &logged) == nil && logged.Message != "" {
			return strings.TrimSuffix(logged.Message+": "+logged.Error, ": ")
		}
		if found := death.FindStringSubmatch(line); found != nil {
			return found[1]
		}
	}
	return "etcd ended"
}

// head keeps the beginning of what is written, which has the cause, and no more.
type head struct{ bytes.Buffer }

func (h *head) Write(p []byte) (int, error) {
	const limit = 64 << 10
	h.Buffer.Write(p[:min(len(p), max(0, limit-h.Len()))])
	return len(p), nil
}
