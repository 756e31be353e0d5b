package watch

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// phases keeps the phase of running pods only.
func phases(changed func()) *Store[*corev1.Pod, corev1.PodPhase] {
	keep := func(pod *corev1.Pod) (corev1.PodPhase, bool) {
		return pod.Status.Phase, pod.Status.Phase != corev1.PodFailed
	}
	return NewStore(keep, func(a, b corev1.PodPhase) bool { return a == b }, changed)
}

func podWith(name string, phase corev1.PodPhase) *corev1.Pod {
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name, pod.Status.Phase = "n", name, phase
	return pod
}

func TestStoreTellsOnlyOfChanges(t *testing.T) {
	count := 0
	s := phases(func() { count++ })
	steps := []struct {
		why     string
		act     func() error
		changes bool
		want    []string
	}{
		{"an empty first list is news: it is complete", func() error { return s.Replace(nil, "1") }, true, nil},
		{"the same list again", func() error { return s.Replace(nil, "2") }, false, nil},
		{"a new object", func() error { return s.Add(podWith("a", corev1.PodPending)) }, true, []string{"n/a"}},
		{"a change of what is not kept", func() error { return s.Update(podWith("a", corev1.PodPending)) }, false, []string{"n/a"}},
		{"a change", func() error { return s.Update(podWith("a", corev1.PodRunning)) }, true, []string{"n/a"}},
		{"an object that is not kept", func() error { return s.Add(podWith("b", corev1.PodFailed)) }, false, []string{"n/a"}},
		{"an object that is no longer kept", func() error { return s.Update(podWith("a", corev1.PodFailed)) }, true, nil},
		{"the end of one that was not kept", func() error { return s.Delete(podWith("a", corev1.PodFailed)) }, false, nil},
		{"a list with other objects", func() error {
			return s.Replace([]any{podWith("c", corev1.PodRunning), podWith("d", corev1.PodFailed)}, "3")
		}, true, []string{"n/c"}},
		{"a list with a changed object", func() error { return s.Replace([]any{podWith("c", corev1.PodPending)}, "4") }, true, []string{"n/c"}},
		{"an end", func() error { return s.Delete(podWith("c", corev1.PodPending)) }, true, nil},
	}
	if s.Synced() {
		t.Error("synced before a list")
	}
	for _, step := range steps {
		before := count
		if err := step.act(); err != nil {
			t.Fatalf("%s: %v", step.why, err)
		}
		if (count > before) != step.changes {
			t.Errorf("%s: told %t", step.why, count > before)
		}
		have := map[string]bool{}
		s.Each(func(key string, _ corev1.PodPhase) { have[key] = true })
		if !slices.Equal(slices.Sorted(maps.Keys(have)), step.want) {
			t.Errorf("%s: has %v", step.why, have)
		}
	}
	if !s.Synced() {
		t.Error("not synced after a list")
	}
	if s.Add(&corev1.Node{}) == nil {
		t.Error("another kind was accepted")
	}
}

func TestLoopTakesChangesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type run struct {
			at   time.Duration
			full bool
		}
		var runs []run
		begin := time.Now()
		fail := false
		loop := NewLoop()
		ctx, cancel := context.WithCancel(t.Context())
		go loop.Run(ctx, slog.New(slog.DiscardHandler), func(_ context.Context, full bool) error {
			runs = append(runs, run{time.Since(begin), full})
			if fail {
				fail = false
				return errors.New("once")
			}
			return nil
		})
		expect := func(why string, want ...run) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(runs, want) {
				t.Errorf("%s: %v, want %v", why, runs, want)
			}
			runs = nil
		}
		expect("nothing happened")
		loop.Notify()
		expect("the first change takes effect at once", run{0, false})
		for range 50 {
			loop.Notify()
		}
		expect("not yet")
		<-time.After(time.Second)
		expect("the others together", run{100 * time.Millisecond, false})
		fail = true
		loop.Notify()
		<-time.After(5 * time.Second)
		expect("failure is retried", run{time.Second, false}, run{3 * time.Second, false})
		fail = true
		<-time.After(60 * time.Second)
		expect("a failed check stays a check", run{time.Minute, true}, run{time.Minute + 2*time.Second, true})
		cancel()
		synctest.Wait()
	})
}

// A loop with nothing to do is told from one whose pass hangs.
func TestLoopTurnsWhileNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		loop, hang := NewLoop(), make(chan struct{})
		var hangs atomic.Bool
		ctx, cancel := context.WithCancel(t.Context())
		go loop.Run(ctx, slog.New(slog.DiscardHandler), func(context.Context, bool) error {
			if hangs.Load() {
				<-hang
			}
			return errors.New("no API server")
		})
		for range 600 {
			<-time.After(time.Second)
			if idle := loop.Idle(); idle > loop.Beat {
				t.Fatalf("nothing happens, or passes fail, and the loop has not turned for %s", idle)
			}
		}
		hangs.Store(true)
		loop.Notify()
		<-time.After(2 * time.Minute)
		if idle := loop.Idle(); idle < time.Minute {
			t.Errorf("a pass hangs, and the loop turned %s ago", idle)
		}
		close(hang)
		<-time.After(time.Second)
		if idle := loop.Idle(); idle > loop.Beat {
			t.Errorf("a pass hangs no more, and the loop has not turned for %s", idle)
		}
		cancel()
		synctest.Wait()
	})
}
