package cluster

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// memory remembers one thing of each cluster. Berth may lose it: whatever is decided by it is
// then found out anew.
type memory[T any] struct {
	mu sync.Mutex
	of map[types.UID]T
}

func (m *memory[T]) get(cluster types.UID) (T, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok := m.of[cluster]
	return known, ok
}

func (m *memory[T]) set(cluster types.UID, known T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == nil {
		m.of = map[types.UID]T{}
	}
	m.of[cluster] = known
}

func (m *memory[T]) forget(cluster types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.of, cluster)
}

// count is of how many clusters what is remembered counts.
func (m *memory[T]) count(counts func(T) bool) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, known := range m.of {
		if counts(known) {
			n++
		}
	}
	return n
}

// health is whether an etcd was ill when it was asked.
type health struct {
	ill bool
	at  time.Time
}

// counts says whether it is known well enough. An etcd that is ill may be so for some seconds
// more. That one is well must be so now where that decides over what it holds.
func (h health) counts(now time.Time, decides bool) bool {
	return now.Sub(h.at).Abs() < holdEvery && (h.ill || !decides)
}
