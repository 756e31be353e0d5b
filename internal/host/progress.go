package host

import (
	"fmt"
	"io"
	"time"
)

// progress tells a user what is going on, a line a step, each stamped with the
// time since the command was given.
type progress struct {
	out   io.Writer
	start time.Time
}

func newProgress(out io.Writer) progress { return progress{out: out, start: time.Now()} }

func (p progress) step(format string, args ...any) {
	fmt.Fprintf(p.out, "%6.1fs  %s\n", time.Since(p.start).Seconds(), fmt.Sprintf(format, args...))
}

// say prints a line that is not a step.
func (p progress) say(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }
