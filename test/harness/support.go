package harness

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// Support is what `berth cluster support` tells of a cluster.
type Support struct {
	State    string
	Findings []Finding
	Clocks   []SupportClock
	LastAct  struct{ Clause, Act string }
}

// Finding is one thing that the support policy says of a cluster.
type Finding struct {
	Clause, Reason, State, Message, WayBack, Act string
	Since                                        time.Time
	Ends                                         *time.Time
}

// SupportClock is a clock of the support policy that runs for a cluster.
type SupportClock struct {
	Clause, Act, NoticeGiven string
	Ends                     time.Time
}

// Clauses are those of the findings, in order.
func (s Support) Clauses() string {
	ids := make([]string, 0, len(s.Findings))
	for _, finding := range s.Findings {
		ids = append(ids, finding.Clause)
	}
	return strings.Join(ids, " ")
}

// Clock is the clock of a clause; nil if none runs.
func (s Support) Clock(clause string) *SupportClock {
	for i := range s.Clocks {
		if s.Clocks[i].Clause == clause {
			return &s.Clocks[i]
		}
	}
	return nil
}

// Support asks whether the support policy covers a cluster.
func (e *Env) Support(group, cluster string) Support {
	e.T.Helper()
	var found Support
	e.Decode(e.Run("berth", "cluster", "support", "-g", group, "-n", cluster, "-o", "json"), &found)
	return found
}

// Activity is an event of the activity log.
type Activity struct {
	Caller, Operation, StatusText, Resource, Message string
	EventTimestamp                                   time.Time
}

// ActivityLog is what one caller did to resources of a group, the newest first.
func (e *Env) ActivityLog(group, caller string) []Activity {
	e.T.Helper()
	var found []Activity
	e.Decode(e.Run("berth", "monitor", "activity-log", "list", "-g", group, "--caller", caller, "--max-events", "1000", "-o", "json"), &found)
	return found
}

// Engineer runs berth as an engineer of support.
func (e *Env) Engineer(name string) func(args ...string) (string, error) {
	e.T.Helper()
	var own []string
	for _, line := range strings.Split(e.Run("berth", "env", "--engineer", name, "--state-dir", e.State), "\n") {
		if assignment, ok := strings.CutPrefix(line, "export AZURE_CLIENT_"); ok {
			own = append(own, "AZURE_CLIENT_"+assignment)
		}
	}
	return func(args ...string) (string, error) {
		return e.Try("env", append(append(own, e.Bin("berth")), args...)...)
	}
}

// Triage is what the support policy says of a ticket.
type Triage struct {
	Answer  string
	Reasons []struct{ Clause, Answer, Evidence, Next string }
}

// Ask opens a ticket about a cluster, or asks again on one that is open.
func (e *Env) Ask(ticket, topic, cluster string) Triage {
	e.T.Helper()
	args := []string{"support", "triage", "--ticket-name", ticket, "-o", "json"}
	if _, err := e.Try("berth", "support", "ticket", "show", "--ticket-name", ticket); err == nil {
		args = append(args, "--again")
	} else {
		e.Run("berth", "support", "ticket", "create", "--ticket-name", ticket, "--title", "it is slow", "--description", "since noon", "--severity", "moderate",
			"--problem-classification", topic, "--resource-id", cluster, "--contact-first-name", "A", "--contact-last-name", "L", "--contact-method", "email",
			"--contact-email", "a@example.com", "--contact-timezone", "UTC", "--contact-country", "DEU", "--contact-language", "en-us")
	}
	var found Triage
	e.Decode(e.Run("berth", args...), &found)
	return found
}

// WatchFindings collects everything that is ever found about a cluster, and every managed
// component that is contested, until it is told to end.
func (e *Env) WatchFindings(cluster string) (end func() []string) {
	e.T.Helper()
	management := e.ManagementClient()
	namespace := client.InNamespace(v1beta1.SubscriptionNamespace(e.Variable("AZURE_SUBSCRIPTION_ID")))
	ctx, cancel := context.WithCancel(e.life)
	seen := map[string]bool{}
	look := func(c *v1beta1.ManagedCluster) {
		if c.Spec.Name != cluster {
			return
		}
		if c.Status.Support != nil {
			for _, finding := range c.Status.Support.Findings {
				seen[fmt.Sprintf("%s %s: %s", finding.Clause, finding.Reason, finding.Message)] = true
			}
		}
		for _, condition := range c.Status.Conditions {
			if condition.Type == v1beta1.ConditionAddonsContested {
				seen["contested: "+condition.Message] = true
			}
		}
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			// A watch that ends begins anew with what there is.
			follow(ctx, management, look, namespace)
		}
	})
	return func() []string {
		cancel()
		watching.Wait()
		all := make([]string, 0, len(seen))
		for one := range seen {
			all = append(all, one)
		}
		slices.Sort(all)
		return all
	}
}

func follow(ctx context.Context, management client.WithWatch, look func(*v1beta1.ManagedCluster), options ...client.ListOption) {
	watcher, err := management.Watch(ctx, &v1beta1.ManagedClusterList{}, options...)
	if err != nil {
		select {
		case <-ctx.Done():
		case <-time.After(probeEvery):
		}
		return
	}
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		if c, is := event.Object.(*v1beta1.ManagedCluster); is && event.Type != watch.Deleted {
			look(c)
		}
	}
}
