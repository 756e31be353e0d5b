package deletedcluster

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// A store that hangs keeps neither the other stores of a cluster from what is done there,
// nor another cluster's from its end, nor whoever asks from going on.
func TestJobsBesideAStoreThatHangs(t *testing.T) {
	j := newJobs()
	j.timeout = 200 * time.Millisecond
	hang, asked := make(chan struct{}), make(chan string, 64)
	in := func(_ context.Context, store string) error {
		asked <- store
		if store == "file:///hangs" {
			<-hang // a directory does not heed its context
		}
		return nil
	}
	both := []string{"file:///hangs", "file:///other"}
	for range turns + 1 {
		began := time.Now()
		if ended, _ := j.do("purge a", both, in); ended {
			t.Fatal("it has ended, though a store hangs")
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("whoever asks waits for %s", took)
		}
	}
	if _, err := j.do("purge a", both, in); err == nil || !strings.Contains(err.Error(), "file:///hangs") || strings.Contains(err.Error(), "file:///other") {
		t.Errorf("it is not said which one hangs: %v", err)
	}
	if got := len(asked); got != 2 {
		t.Errorf("the stores were asked %d times, want once each", got)
	}
	if ended, err := j.do("purge b", []string{"file:///other"}, in); !ended || err != nil {
		t.Errorf("another cluster: %t, %v", ended, err)
	}
	close(hang)
	deadline := time.Now().Add(time.Minute)
	for ended := false; !ended; {
		var err error
		if ended, err = j.do("purge a", both, in); err != nil && ended || time.Now().After(deadline) {
			t.Fatalf("the store goes on: %t, %v", ended, err)
		}
	}
	// What has ended is done again when it is asked for again, and says how that went.
	failed := errors.New("full")
	if ended, err := j.do("purge a", both, func(context.Context, string) error { return failed }); !ended || !errors.Is(err, failed) {
		t.Errorf("a failure: %t, %v", ended, err)
	}
}
