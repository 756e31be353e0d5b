package supportaccess

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// streams are the requests that are open, by access.
type streams struct {
	mu   sync.Mutex
	next int
	open map[client.ObjectKey]map[int]context.CancelFunc
}

func newStreams() *streams {
	return &streams{open: map[client.ObjectKey]map[int]context.CancelFunc{}}
}

// add counts a request in, and returns what counts it out.
func (s *streams) add(key client.ObjectKey, cut context.CancelFunc) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	number := s.next
	if s.open[key] == nil {
		s.open[key] = map[int]context.CancelFunc{}
	}
	s.open[key][number] = cut
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if delete(s.open[key], number); len(s.open[key]) == 0 {
			delete(s.open, key)
		}
	}
}

// cut ends what is open of an access.
func (s *streams) cut(key client.ObjectKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cut := range s.open[key] {
		cut()
	}
}

// cuttable is an answer whose connection, once it has become a stream, is closed when the
// request's time is over: a client that does not close its side holds nothing up.
type cuttable struct {
	http.ResponseWriter
	ctx context.Context //nolint:containedctx // of the one request that this answers
}

// Unwrap is http.ResponseController's.
func (c cuttable) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// Hijack implements http.Hijacker.
func (c cuttable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(c.ResponseWriter).Hijack()
	if err == nil {
		context.AfterFunc(c.ctx, func() { conn.Close() })
	}
	return conn, buffered, err
}
