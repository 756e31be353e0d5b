package support

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy/triage"
	"berth.dev/berth/internal/release"
)

// inspector looks into a cluster, or cannot.
type inspector struct {
	err   error
	looks int
}

func (i *inspector) Inspect(_ context.Context, _ *v1beta1.ManagedCluster, evidence *triage.Evidence) error {
	i.looks++
	evidence.Ingresses = append(evidence.Ingresses, triage.Controller{Name: "nginx"})
	return i.err
}

// What is found in the cluster decides. One that cannot be read is not held against the
// customer, and one that is stopped is not asked.
func TestEvidenceOfTickets(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	subscription := &v1beta1.Subscription{ObjectMeta: metav1.ObjectMeta{Name: "11111111-1111-1111-1111-111111111111"}}
	request := &arm.Request{Subscription: subscription}
	cluster := func(name string, power v1beta1.PowerCode) *v1beta1.ManagedCluster {
		made := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: request.Namespace(), Name: v1beta1.ObjectName("rg1", name)}}
		made.Status.PowerState.Code = power
		return made
	}
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(cluster("up", v1beta1.PowerRunning), cluster("down", v1beta1.PowerStopped)).Build()
	id := func(name string) string {
		return "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/RG1/providers/Microsoft.ContainerService/managedClusters/" + name
	}
	for _, c := range []struct {
		why, resource string
		looks         int
		reason        string
	}{
		{"found in the cluster", id("up"), 1, "OwnIngress"},
		{"a part of the cluster names it too, in any case", id("UP") + "/agentPools/a", 1, "OwnIngress"},
		{"stopped", id("down"), 0, "Stopped"},
		{"no such cluster", id("gone"), 0, "ClusterNotNamed"},
		{"no cluster at all", "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg1", 0, "ClusterNotNamed"},
	} {
		look := &inspector{}
		p := provider{&arm.Server{Config: arm.Config{
			APIReader: reader, Catalogue: &release.Catalogue{}, Inspector: look, Now: time.Now,
		}}}
		answer, err := p.decide(t.Context(), request, &v1beta1.SupportTicket{Spec: v1beta1.SupportTicketSpec{Problem: string(triage.Ingress), ResourceID: c.resource}})
		if err != nil {
			t.Fatal(err)
		}
		if answer.Reasons[0].Reason != c.reason || look.looks != c.looks {
			t.Errorf("%s: %+v after %d looks", c.why, answer.Reasons, look.looks)
		}
	}
	p := provider{&arm.Server{Config: arm.Config{
		APIReader: reader, Catalogue: &release.Catalogue{}, Inspector: &inspector{err: errors.New("dial tcp 10.1.2.3: refused")}, Log: slog.New(slog.DiscardHandler),
	}}}
	evidence, err := p.evidence(t.Context(), request, id("up"))
	if err != nil || evidence.Unread != "its API server did not answer in time" {
		t.Errorf("a cluster that cannot be read: %q, %v; internals never reach the user", evidence.Unread, err)
	}
}

// What the customer says later counts as well; what Berth wrote does not.
func TestWordsOfTickets(t *testing.T) {
	p := provider{&arm.Server{Config: arm.Config{Now: time.Now}}}
	ticket := &v1beta1.SupportTicket{
		Spec:           v1beta1.SupportTicketSpec{Problem: string(triage.OpenSource), Title: "It is down"},
		Communications: []v1beta1.SupportCommunication{{Body: "Dynatrace", FromService: true}},
	}
	request := &arm.Request{Subscription: &v1beta1.Subscription{}}
	for _, want := range []v1beta1.SupportAnswer{v1beta1.AnswerBestEffort, v1beta1.AnswerOutOfScope} {
		answer, err := p.decide(t.Context(), request, ticket)
		if err != nil || answer.Answer != want {
			t.Errorf("answer %s, %v, want %s", answer.Answer, err, want)
		}
		ticket.Communications = append(ticket.Communications, v1beta1.SupportCommunication{Body: "It is Dynatrace that we mean"})
	}
}
