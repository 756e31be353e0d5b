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
	open map[client.ObjectKey]map[int]stream
}

// stream is one of them, and what is kept of the credential that it came with.
type stream struct {
	token string
	cut   context.CancelFunc
}

func newStreams() *streams {
	return &streams{open: map[client.ObjectKey]map[int]stream{}}
}

// add counts a request in, and returns what counts it out.
func (s *streams) add(key client.ObjectKey, one stream) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	number := s.next
	if s.open[key] == nil {
		s.open[key] = map[int]stream{}
	}
	s.open[key][number] = one
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
	for _, one := range s.open[key] {
		one.cut()
	}
}

// strangers says whether something is open of an access that came with another credential.
func (s *streams) strangers(key client.ObjectKey, token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.open[key] {
		if one.token != token {
			return true
		}
	}
	return false
}

// cutStrangers ends what came with another credential.
func (s *streams) cutStrangers(key client.ObjectKey, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.open[key] {
		if one.token != token {
			one.cut()
		}
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
