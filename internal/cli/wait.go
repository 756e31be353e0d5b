package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"golang.org/x/term"

	"berth.dev/berth/api/v1beta1"
)

const (
	// defaultPoll is the pause between two looks at an operation that does not say how long to wait.
	defaultPoll = 2 * time.Second
	// statePoll is the least time between two looks at the resource itself, to show its state.
	statePoll = 2 * time.Second
	redraw    = 150 * time.Millisecond
)

// follow waits for a long operation and shows how it goes. state asks the resource for its provisioningState; nil or an
// error leaves the last one.
func follow[T any](ctx context.Context, s *session, title string, poller *runtime.Poller[T], state func(context.Context) (string, error)) (T, error) {
	p := newProgress(s.streams.Err, title)
	defer p.close()
	var asked time.Time
	for !poller.Done() {
		response, err := poller.Poll(ctx)
		if err != nil {
			var none T
			p.end("Failed")
			return none, err
		}
		_ = response.Body.Close() // the poller has read it
		if poller.Done() {
			break
		}
		if state != nil && time.Since(asked) >= statePoll {
			asked = time.Now()
			if now, err := state(ctx); err == nil && !v1beta1.ProvisioningState(now).Terminal() {
				p.set(now) // a terminal state is that of before, or the operation's end tells it
			}
		}
		if err := pause(ctx, retryAfter(response)); err != nil {
			var none T
			return none, err
		}
	}
	result, err := poller.Result(ctx)
	if err != nil {
		p.end("Failed")
		return result, err
	}
	p.end("Succeeded")
	return result, nil
}

func retryAfter(response *http.Response) time.Duration {
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return defaultPoll
	}
	return max(time.Duration(seconds)*time.Second, 100*time.Millisecond)
}

func pause(ctx context.Context, how time.Duration) error {
	timer := time.NewTimer(how)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// progress shows one operation: on a terminal a line that is drawn again and again, elsewhere a line for each state.
type progress struct {
	out   io.Writer
	title string
	live  bool
	begun time.Time
	stop  chan struct{}
	done  sync.WaitGroup

	mu    sync.Mutex
	state string
	over  bool
}

func newProgress(out io.Writer, title string) *progress {
	p := &progress{out: out, title: title, live: isTerminal(out), begun: time.Now(), stop: make(chan struct{})}
	if p.live {
		p.done.Go(p.animate)
	}
	return p
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

func (p *progress) animate() {
	ticker := time.NewTicker(redraw)
	defer ticker.Stop()
	for frame := 0; ; frame++ {
		p.mu.Lock()
		fmt.Fprintf(p.out, "\r\x1b[K%c %s", `|/-\`[frame%4], p.line())
		p.mu.Unlock()
		select {
		case <-ticker.C:
		case <-p.stop:
			return
		}
	}
}

func (p *progress) line() string {
	state := firstOf(p.state, "Accepted")
	return fmt.Sprintf("%s: %s (%s)", p.title, state, time.Since(p.begun).Round(time.Second))
}

// set shows a new state.
func (p *progress) set(state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if state == "" || state == p.state {
		return
	}
	p.state = state
	if !p.live {
		fmt.Fprintln(p.out, p.line())
	}
}

// end shows the last state, which stays on the screen.
func (p *progress) end(state string) {
	p.halt()
	p.state = state
	fmt.Fprintln(p.out, p.line())
}

// close ends the drawing if end has not.
func (p *progress) close() { p.halt() }

func (p *progress) halt() {
	if p.over {
		return
	}
	p.over = true
	close(p.stop)
	p.done.Wait()
	if p.live {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
