package serve

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	ctrl "sigs.k8s.io/controller-runtime"

	"berth.dev/berth/internal/testenv"
)

// A Berth that was killed leads again as soon as its container has started again, while
// another one waits until the Lease ends. Here it ends in an hour.
func TestAKilledBerthLeadsAgainAtOnce(t *testing.T) {
	env := testenv.New(t, testenv.Options{})
	c, err := env.Client()
	if err != nil {
		t.Fatal(err)
	}
	const namespace = "leaders"
	if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	first := candidate(t, env.Config, Options{Namespace: namespace, PodUID: "one"})
	<-first.leads
	first.kill()
	again := candidate(t, env.Config, Options{Namespace: namespace, PodUID: "one"})
	<-again.leads
	again.kill()

	other := candidate(t, env.Config, Options{Namespace: namespace, PodUID: "two"})
	if leader := <-other.sees; leader != "one" {
		t.Errorf("%q leads", leader)
	}
	select {
	case <-other.leads:
		t.Error("two lead")
	default:
	}
}

// Outside of a pod nothing tells two processes apart.
func TestWithoutAPodEachProcessIsAnother(t *testing.T) {
	var settings ctrl.Options
	if err := setLeader(&settings, &rest.Config{}, Options{Namespace: "n"}); err != nil {
		t.Fatal(err)
	}
	if settings.LeaderElectionResourceLockInterface != nil || !settings.LeaderElection || settings.LeaderElectionID != leaseName || settings.LeaderElectionNamespace != "n" {
		t.Errorf("%+v", settings)
	}
}

// standing is a process that wants to lead: leads is closed when it does, and sees has who does.
type standing struct {
	leads chan struct{}
	sees  chan string
	kill  func()
}

func candidate(t *testing.T, config *rest.Config, options Options) standing {
	t.Helper()
	var settings ctrl.Options
	if err := setLeader(&settings, config, options); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s, ended := standing{leads: make(chan struct{}), sees: make(chan string, 8)}, make(chan struct{})
	s.kill = func() { cancel(); <-ended }
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: settings.LeaderElectionResourceLockInterface, LeaseDuration: time.Hour, RenewDeadline: renewDeadline, RetryPeriod: 50 * time.Millisecond,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { close(s.leads) },
			OnStoppedLeading: func() {},
			OnNewLeader:      func(identity string) { s.sees <- identity },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { defer close(ended); elector.Run(ctx) }()
	t.Cleanup(s.kill)
	return s
}
