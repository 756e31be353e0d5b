package tenant_test

import (
	"context"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/internal/tenant"
	"berth.dev/berth/internal/testenv"
)

// late is a Source whose API server comes up after the watch has begun.
type late struct {
	mu     sync.Mutex
	client client.WithWatch
}

func (l *late) Client(context.Context, string) (client.WithWatch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client == nil {
		return nil, tenant.ErrNoControlPlane
	}
	return l.client, nil
}

// seen collects the events of one subscriber.
type seen struct {
	mu     sync.Mutex
	events map[tenant.Event]int
}

func (s *seen) handle(e tenant.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events[e]++
}

func (s *seen) count(e tenant.Event) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events[e]
}

func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		return condition(), nil
	})
	if err != nil {
		t.Fatalf("never came: %s", what)
	}
}

func TestWatches(t *testing.T) {
	env := testenv.New(t, testenv.Options{})
	c, err := env.Client()
	if err != nil {
		t.Fatal(err)
	}
	source := &late{}
	watches := tenant.NewWatches(source)
	early := &seen{events: map[tenant.Event]int{}}
	watches.Subscribe(early.handle)
	watches.Keep("a")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- watches.Start(ctx) }()
	watches.Keep("a")

	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	event := tenant.Event{ClusterID: "a", Kind: tenant.KindNode, Name: "n"}
	if err := c.Create(ctx, node); err != nil {
		t.Fatal(err)
	}
	source.mu.Lock()
	source.client = c
	source.mu.Unlock()
	until(t, "what was there before the watch", func() bool { return early.count(event) == 1 })

	second := &seen{events: map[tenant.Event]int{}}
	watches.Subscribe(second.handle)
	if second.count(event) != 1 {
		t.Error("a later subscriber is not told of what is there")
	}
	node.Labels = map[string]string{"x": "y"}
	if err := c.Update(ctx, node); err != nil {
		t.Fatal(err)
	}
	until(t, "a change", func() bool { return early.count(event) == 2 && second.count(event) == 2 })

	watches.Stop("a")
	if err := c.Delete(ctx, node); err != nil {
		t.Fatal(err)
	}
	watches.Keep("b")
	if err := c.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "m"}}); err != nil {
		t.Fatal(err)
	}
	until(t, "an event of the second cluster", func() bool {
		return early.count(tenant.Event{ClusterID: "b", Kind: tenant.KindNode, Name: "m"}) == 1
	})
	if early.count(event) != 2 || early.count(tenant.Event{ClusterID: "a", Kind: tenant.KindNode, Name: "m"}) != 0 {
		t.Error("a watch that was stopped goes on")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	watches.Keep("c")
}
