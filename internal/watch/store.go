// Package watch follows the API server for a node's agents with little memory: of every object only what the agent
// needs is kept, and a change that does not touch that goes unnoticed.
package watch

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
)

// Keep reduces an API object of type O to what is kept of it, or says that nothing is to be kept.
type Keep[O, T any] func(O) (T, bool)

// Store is the set of reduced objects of one kind, fed by a reflector. It is safe for concurrent use.
type Store[O, T any] struct {
	keep    Keep[O, T]
	equal   func(T, T) bool
	changed func()

	mu     sync.RWMutex
	items  map[string]T
	synced bool
}

// NewStore returns an empty store. changed is called after each change of what is kept, and after the first complete
// list; it must not block and must not call the store.
func NewStore[O, T any](keep Keep[O, T], equal func(T, T) bool, changed func()) *Store[O, T] {
	return &Store[O, T]{keep: keep, equal: equal, changed: changed, items: map[string]T{}}
}

// Synced says whether the store has had a complete list.
func (s *Store[O, T]) Synced() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.synced
}

// Get returns the item with the key "name" or "namespace/name".
func (s *Store[O, T]) Get(key string) (T, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	item, ok := s.items[key]
	return item, ok
}

// Each visits all items, in no order, while the store is locked.
func (s *Store[O, T]) Each(visit func(key string, item T)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for key, item := range s.items {
		visit(key, item)
	}
}

// Add is the reflector's.
func (s *Store[O, T]) Add(obj any) error { return s.Update(obj) }

// Update is the reflector's.
func (s *Store[O, T]) Update(obj any) error {
	key, item, kept, err := s.reduce(obj)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, had := s.items[key]
	switch {
	case kept && had && s.equal(old, item):
		return nil
	case kept:
		s.items[key] = item
	case had:
		delete(s.items, key)
	default:
		return nil
	}
	s.changed()
	return nil
}

// Delete is the reflector's.
func (s *Store[O, T]) Delete(obj any) error {
	key, err := keyOf(obj)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, had := s.items[key]; had {
		delete(s.items, key)
		s.changed()
	}
	return nil
}

// Replace is the reflector's: a complete list.
func (s *Store[O, T]) Replace(list []any, _ string) error {
	items := make(map[string]T, len(list))
	for _, obj := range list {
		key, item, kept, err := s.reduce(obj)
		if err != nil {
			return err
		}
		if kept {
			items[key] = item
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	same := s.synced && len(items) == len(s.items)
	for key, item := range items {
		old, had := s.items[key]
		same = same && had && s.equal(old, item)
	}
	s.items, s.synced = items, true
	if !same {
		s.changed()
	}
	return nil
}

// Resync is the reflector's; there is nothing to do.
func (s *Store[O, T]) Resync() error { return nil }

func (s *Store[O, T]) reduce(obj any) (key string, item T, kept bool, err error) {
	typed, ok := obj.(O)
	if !ok {
		return "", item, false, fmt.Errorf("store %T: unexpected object %T", item, obj)
	}
	if key, err = keyOf(obj); err != nil {
		return "", item, false, err
	}
	item, kept = s.keep(typed)
	return key, item, kept, nil
}

func keyOf(obj any) (string, error) {
	object, err := meta.Accessor(obj)
	if err != nil {
		return "", fmt.Errorf("read object metadata: %w", err)
	}
	if namespace := object.GetNamespace(); namespace != "" {
		return namespace + "/" + object.GetName(), nil
	}
	return object.GetName(), nil
}
