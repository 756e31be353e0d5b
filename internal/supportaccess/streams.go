package supportaccess

import (
	"context"
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
