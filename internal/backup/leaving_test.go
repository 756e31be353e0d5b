package backup_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// An etcd that is told to end waits for the watches of its clients: a recorder lets go of its
// own, with all that was written, and does not hold up a cluster that stops (J1).
func TestRecorderLetsGoOfAnEtcdThatEnds(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.schedule.Delta = time.Hour // only a farewell stores anything
	b.record()
	b.eventually("the first snapshot", func() error {
		if b.recorder.State().Full == nil {
			return errors.New("there is none")
		}
		return nil
	})
	last := b.put("/a", "last")
	b.etcd.Close()
	go b.process.Stop()
	b.eventually("the recorder lets go", func() error {
		if said := b.recorder.State().Etcd; !strings.Contains(said, "etcd ends") {
			return errors.New("it says " + said)
		}
		return nil
	})
	if state := b.recorder.State(); state.Revision < last {
		t.Errorf("revision %d was written, and %d is stored", last, state.Revision)
	}
	<-b.process.Ended()
}

// wire leads to an etcd, and can be cut.
type wire struct {
	net.Listener
	mu    sync.Mutex
	to    string
	open  []net.Conn
	calls int
	// stuck, where there is one, is what nothing comes from etcd before, after so many bytes more.
	stuck chan struct{}
	left  int
}

// stick has nothing come from etcd any more after so many bytes.
func (w *wire) stick(after int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stuck, w.left = make(chan struct{}), after
}

// sticks says whether anything is held up.
func (w *wire) sticks() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stuck != nil && w.left < 0
}

// mend has all come through again, over connections that are made anew.
func (w *wire) mend() {
	w.mu.Lock()
	close(w.stuck)
	w.stuck = nil
	w.mu.Unlock()
	w.cut()
}

// holds is what is to be waited for before so many bytes come through; nil if they do.
func (w *wire) holds(n int) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stuck == nil {
		return nil
	}
	if w.left -= n; w.left >= 0 {
		return nil
	}
	return w.stuck
}

// sticking is what comes from etcd, as far as it comes through.
type sticking struct {
	from io.Reader
	of   *wire
}

// Read implements io.Reader.
func (s sticking) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	if mended := s.of.holds(n); mended != nil {
		<-mended
	}
	return n, err
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: listener, to: to}
	t.Cleanup(func() {
		_ = listener.Close()
		if w.sticks() {
			w.mend()
		}
		w.cut()
	})
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", w.end())
			if err != nil {
				_ = near.Close()
				continue
			}
			w.mu.Lock()
			w.open = append(w.open, near, far)
			w.calls++
			w.mu.Unlock()
			go func() { _, _ = io.Copy(near, sticking{far, w}); _ = near.Close() }()
			go func() { _, _ = io.Copy(far, near); _ = far.Close() }()
		}
	}()
	return w
}

func (w *wire) end() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to
}

// lead has it lead to another etcd from now on.
func (w *wire) lead(to string) {
	w.mu.Lock()
	w.to = to
	w.mu.Unlock()
	w.cut()
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, end := range w.open {
		_ = end.Close()
	}
	w.open = nil
}

func (w *wire) dialled() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}

// A connection that breaks is not an etcd that ends: the recorder goes on, and with it a
// snapshot that is on its way to the stores.
func TestRecorderKeepsAnEtcdWhoseConnectionBreaks(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	w := newWire(t, strings.TrimPrefix(b.client, "http://"))
	var sessions atomic.Int64
	b.connect = func(context.Context) (clientv3.Config, error) {
		sessions.Add(1)
		return clientv3.Config{Endpoints: []string{"http://" + w.Addr().String()}, Logger: zap.NewNop(), DialTimeout: time.Minute}, nil
	}
	b.record()
	b.stored(b.put("/a", "first"))
	before := w.dialled()
	w.cut()
	// Somewhat longer than the last words of one that ends are listened to.
	for cut := time.Now(); time.Since(cut) < 2*time.Second; {
		b.stored(b.put("/a", "more"))
	}
	if w.dialled() == before {
		t.Error("the connection was not broken")
	}
	if n := sessions.Load(); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// Behind another connection may be another member: who answers is asked at once, since it
// matters from whom what is recorded comes.
func TestRecorderAsksWhoAnswersAfterAConnectionBroke(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	b.schedule.Delta = time.Hour // nothing else asks
	w := newWire(t, strings.TrimPrefix(b.client, "http://"))
	b.connect = func(context.Context) (clientv3.Config, error) {
		return clientv3.Config{Endpoints: []string{"http://" + w.Addr().String()}, Logger: zap.NewNop(), DialTimeout: time.Minute}, nil
	}
	b.record()
	b.eventually("the first snapshot", func() error {
		if b.recorder.State().Full == nil {
			return errors.New("there is none")
		}
		return nil
	})
	last := b.put("/a", "last")
	w.cut()
	b.stored(last)
}
