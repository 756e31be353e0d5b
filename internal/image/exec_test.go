package image

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFailedCommandShowsWhatItWasAndSaid(t *testing.T) {
	var log bytes.Buffer
	err := program{Argv: []string{"sh", "-c", "echo out; echo trouble >&2; exit 3"}}.run(context.Background(), &log)
	var failed *CommandError
	if !errors.As(err, &failed) {
		t.Fatalf("err = %v", err)
	}
	for _, want := range []string{"sh -c 'echo out; echo trouble >&2; exit 3'", "exit status 3", "out\ntrouble"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	if !strings.Contains(log.String(), "$ sh -c") || !strings.Contains(log.String(), "trouble") {
		t.Errorf("log %q", log.String())
	}
}

func TestOutputTailIsShort(t *testing.T) {
	err := program{Argv: []string{"sh", "-c", "yes | head -c 100000; echo end; exit 1"}}.run(context.Background(), io.Discard)
	if err == nil || len(err.Error()) > tailBytes+200 || !strings.HasSuffix(err.Error(), "end") {
		t.Errorf("error of %d bytes", len(err.Error()))
	}
}

func TestCommandEndsWithItsChildren(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	// The shell's child holds the output open; only its death lets run return.
	err := program{Argv: []string{"sh", "-c", "sleep 600 & echo ready; wait"}, Line: func(string) { cancel() }}.run(ctx, io.Discard)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func TestLinesArriveWhole(t *testing.T) {
	var lines []string
	w := &tailWriter{line: func(line string) { lines = append(lines, line) }}
	for _, part := range []string{"a", "b\nc", "\n\nd"} {
		_, _ = w.Write([]byte(part))
	}
	if want := []string{"ab", "c", ""}; !slices.Equal(lines, want) {
		t.Errorf("lines %q, want %q", lines, want)
	}
}

func TestProgressWithoutTerminalTicksEvery30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out, false)
		p.begin(3, 17, "kube 1.37.2")
		p.say("812 of 2311 packages")
		<-time.After(65 * time.Second)
		p.end("done")
		want := "[3/17] kube 1.37.2 …\n" +
			"[3/17] kube 1.37.2 … 30s (812 of 2311 packages)\n" +
			"[3/17] kube 1.37.2 … 1m0s (812 of 2311 packages)\n" +
			"[3/17] kube 1.37.2: done in 1m5s\n"
		if out.String() != want {
			t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
		}
	})
}

func TestProgressOnTerminalIsOneLine(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, true)
	p.begin(1, 2, "etcd")
	p.end("done")
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "etcd: done in 0s\n") || !strings.HasPrefix(got, "\r") {
		t.Errorf("printed %q", got)
	}
}
