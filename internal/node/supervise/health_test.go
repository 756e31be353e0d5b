package supervise

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestConditionTellsHowAServiceIs(t *testing.T) {
	v, _ := newSupervisor()
	sick := make(chan error, 1)
	sick <- nil
	s := shell("s", "exec sleep 60")
	s.Health = func(context.Context) error {
		err := <-sick
		sick <- err
		return err
	}
	s.HealthEvery, s.HungAfter, s.StartWithin, s.StopWithin = time.Millisecond, time.Hour, time.Hour, time.Second
	if c := s.Condition(); !c.UnwellSince.IsZero() || len(c.Starts) != 0 {
		t.Fatalf("before its start: %+v", c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); v.Run(ctx, s) }()
	until := func(what string, ok func(Health) bool) {
		t.Helper()
		for deadline := time.After(30 * time.Second); !ok(s.Condition()); {
			select {
			case <-deadline:
				t.Fatalf("never: %s; %+v", what, s.Condition())
			case <-time.After(time.Millisecond):
			}
		}
	}
	<-s.Healthy()
	until("well", func(h Health) bool { return h.UnwellSince.IsZero() && len(h.Starts) == 1 })
	<-sick
	sick <- errors.New("no answer")
	until("unwell", func(h Health) bool { return !h.UnwellSince.IsZero() && h.Why == "no answer" })
	since := s.Condition().UnwellSince
	<-sick
	sick <- ErrReplace
	until("started again, and as long unwell", func(h Health) bool { return len(h.Starts) > 2 && h.UnwellSince.Equal(since) })
	<-sick
	sick <- nil
	until("well again", func(h Health) bool { return h.UnwellSince.IsZero() && h.Why == "" })
	cancel()
	<-ended
}
