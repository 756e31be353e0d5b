package serve

import (
	"context"
	"strings"
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
	first.mustLead(t)
	first.kill()
	again := candidate(t, env.Config, Options{Namespace: namespace, PodUID: "one"})
	again.mustLead(t)
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

func (s standing) mustLead(t *testing.T) {
	t.Helper()
	select {
	case <-s.leads:
	case <-time.After(time.Minute):
		t.Fatal("it does not lead")
	}
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

// Where pods could not be told apart all of them would lead.
func TestPodsMustBeToldApart(t *testing.T) {
	for why, c := range map[string]struct {
		pod, health string
		want        string
	}{
		"a pod":                    {"759de58b", ":8080", ""},
		"no pod":                   {"", "0", ""},
		"a variable that is unset": {"$(POD_UID)", ":8080", "--pod-uid"},
		"no health checks":         {"759de58b", "0", "--health-address"},
	} {
		err := (&Options{TLSCert: "c", TLSKey: "k", CAFile: "a", PodUID: c.pod, HealthAddress: c.health}).validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", why, err)
		}
	}
}
