package test

import (
	"flag"
	"fmt"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fullSweep kills one process at each side effect in turn, with a whole life of a
// cluster for each: hours on a small machine. Without it a sample is taken, and
// TestCrashAlways covers every side effect.
var fullSweep = flag.Bool("full-sweep", false, "kill the controllers at every single side effect, each in a run of its own")

// samples is how many single crashes are tried without -full-sweep.
const samples = 4

// Killed over and over, after every few side effects, the controllers must still
// create, scale, stop, start and delete a cluster, and leave nothing half-made. One side effect
// a life would not do: some steps write down what they are about to do, and never
// come to do it.
func TestCrashAlways(t *testing.T) {
	for name, live := range lives {
		for _, effects := range []int{2, 3} {
			t.Run(fmt.Sprintf("%s, after %d", name, effects), func(t *testing.T) { crashAlways(t, live, effects) })
		}
	}
}

func crashAlways(t *testing.T, live func(*world), effects int) {
	w := newWorld(t)
	w.nextGuard = func() *guard { return newGuard(effects, w.client) }
	w.start(w.nextGuard())
	live(w)
	t.Logf("died %d times, at %d different points", len(w.deaths), len(slices.Compact(slices.Sorted(slices.Values(w.deaths)))))
	if len(w.deaths) < 20 {
		t.Errorf("only %d deaths: the guard does not see the side effects", len(w.deaths))
	}
}

// A single crash at side effect n, and no other, must not show in the end state.
func TestCrashOnce(t *testing.T) {
	for name, live := range lives {
		t.Run(name, func(t *testing.T) { crashOnce(t, live) })
	}
}

func crashOnce(t *testing.T, live func(*world)) {
	counted := newWorld(t)
	counted.start(newGuard(1<<30, counted.client))
	live(counted)
	total := counted.live().guard.effects()
	counted.stop()
	step := total/samples + 1
	if *fullSweep {
		step = 1
	}
	for n := step; n <= total; n += step {
		t.Run(fmt.Sprintf("at %d of %d", n, total), func(t *testing.T) {
			w := newWorld(t)
			w.start(newGuard(n, w.client))
			live(w)
			t.Logf("died after: %v", w.deaths)
		})
	}
}

// lives are what the controllers must bring to the same end wherever they die.
var lives = map[string]func(*world){"life": life, "upgrades": upgrades}

// life is a cluster's, with a look at the world after each part.
func life(w *world) {
	w.t.Helper()
	w.create()
	w.checkCreated(1)
	w.putBack("a field of somebody else's", &appsv1.Deployment{}, systemKey("coredns"), func(o client.Object) {
		o.(*appsv1.Deployment).Spec.Template.Spec.NodeSelector = map[string]string{"mine": "1"}
	})
	w.scale(2)
	w.checkCreated(2)
	w.powerOff()
	w.checkStopped()
	w.powerOn()
	w.checkCreated(2)
	before := w.secrets()
	w.rotate()
	w.checkCreated(2)
	w.checkRotated(before)
	w.scale(1)
	w.checkCreated(1)
	w.delete()
	w.checkGone()
}
