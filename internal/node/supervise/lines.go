package supervise

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"
)

// maxLine is how much of one line is kept together; longer lines are cut into several.
const maxLine = 16 << 10

// Lines writes whole lines of several sources to one writer.
type Lines struct {
	mu  sync.Mutex
	out io.Writer
	// heard are told the lines of a source.
	heard map[string]func(line string)
}

// NewLines makes Lines that write to out.
func NewLines(out io.Writer) *Lines {
	return &Lines{out: out}
}

// Hear has each line of source's told from now on. What is called must not wait.
func (l *Lines) Hear(source string, tell func(line string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heard == nil {
		l.heard = map[string]func(string){}
	}
	l.heard[source] = tell
}

// Printf writes one line of source's.
func (l *Lines) Printf(source, format string, args ...any) {
	l.write(source, []byte(fmt.Sprintf(format, args...)))
}

// Copy writes what it reads from r, line by line, until r ends.
func (l *Lines) Copy(source string, r io.Reader) {
	buffered := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := buffered.ReadSlice('\n')
		if n := len(line); n > 0 && line[n-1] == '\n' {
			line = line[:n-1]
		}
		if len(line) > 0 {
			l.write(source, line)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func (l *Lines) write(source string, line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Nobody is left to tell when a machine's own output fails, and its processes must go on.
	_, _ = fmt.Fprintf(l.out, "%-10s | %s\n", source, line)
	if tell := l.heard[source]; tell != nil {
		tell(string(line))
	}
}
