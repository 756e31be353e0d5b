package test

import "testing"

// A create, a scale up and down and a delete, as a customer sees them.
func TestLifecycle(t *testing.T) {
	w := newWorld(t)
	w.start(newGuard(0, false))
	w.request(w.createOperation("op-create"))
	w.succeed("op-create")
	t.Logf("create: %d side effects", w.live().guard.effects())
	w.request(w.scaleOperation("op-up", 2))
	w.succeed("op-up")
	w.request(w.scaleOperation("op-down", 1))
	w.succeed("op-down")
	t.Logf("create and scale: %d side effects", w.live().guard.effects())
	w.request(w.deleteOperation("op-delete"))
	w.succeed("op-delete")
	t.Logf("all: %d side effects", w.live().guard.effects())
}
