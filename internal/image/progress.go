package image

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress prints what is being built and how far it is: one line a step, which
// counts on a terminal and is printed again every 30 seconds elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	interval time.Duration

	mu     sync.Mutex
	label  string
	detail string
	began  time.Time
	stop   chan struct{}
	done   sync.WaitGroup
}

// newProgress prints to out.
func newProgress(out io.Writer, terminal bool) *progress {
	p := &progress{out: out, terminal: terminal, interval: 30 * time.Second}
	if terminal {
		p.interval = time.Second
	}
	return p
}

// begin starts the line of step number of total.
func (p *progress) begin(number, total int, title string) {
	p.mu.Lock()
	p.label, p.detail, p.began = fmt.Sprintf("[%d/%d] %s", number, total, title), "", time.Now()
	p.stop = make(chan struct{})
	p.mu.Unlock()
	p.print("")
	p.done.Go(p.tick)
}

func (p *progress) tick() {
	ticker := time.NewTicker(p.interval)
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-ticker.C:
			p.print("")
		}
	}
}

// say sets how far the step is, such as "812 of 2311 packages".
func (p *progress) say(detail string) {
	p.mu.Lock()
	p.detail = detail
	p.mu.Unlock()
}

// end finishes the line; result is "done" or "failed".
func (p *progress) end(result string) {
	close(p.stop)
	p.done.Wait()
	p.say("")
	p.print(result)
}

func (p *progress) print(result string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := p.label
	elapsed := time.Since(p.began).Round(time.Second)
	switch {
	case result != "":
		line += fmt.Sprintf(": %s in %s", result, elapsed)
	case elapsed > 0:
		line += fmt.Sprintf(" … %s", elapsed)
	default:
		line += " …"
	}
	if p.detail != "" {
		line += " (" + p.detail + ")"
	}
	if p.terminal {
		ending := ""
		if result != "" {
			ending = "\n"
		}
		fmt.Fprintf(p.out, "\r\x1b[K%s%s", line, ending)
		return
	}
	fmt.Fprintln(p.out, line)
}
