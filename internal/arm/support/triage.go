package support

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/access"
	"berth.dev/berth/internal/policy/notice"
	"berth.dev/berth/internal/policy/triage"
)

// decide answers a ticket by what it says and by what is found in its cluster now.
func (p provider) decide(ctx context.Context, r *arm.Request, ticket *v1beta1.SupportTicket) (v1beta1.SupportTriage, error) {
	evidence, err := p.evidence(ctx, r, ticket.Spec.ResourceID)
	if err != nil {
		return v1beta1.SupportTriage{}, err
	}
	issues, err := p.knownIssues(ctx, r, ticket)
	if err != nil {
		return v1beta1.SupportTriage{}, err
	}
	words := []string{ticket.Spec.Title, ticket.Spec.Description}
	for i := range ticket.Communications {
		if said := &ticket.Communications[i]; !said.FromService {
			words = append(words, said.Subject, said.Body)
		}
	}
	text := strings.Join(words, "\n")
	answer := triage.Decide(triage.Ticket{
		Topic: triage.Topic(ticket.Spec.Problem), Text: text, Unregistered: unregistered(r.Subscription, text),
		Severity: ticket.Spec.Severity, Consent: access.ConsentStands(&ticket.Spec, p.Now()),
	}, evidence, p.Now())
	answer.KnownIssues = issues
	return answer, nil
}

// knownIssues are those of the ticket's cluster that it may be about (M1).
func (p provider) knownIssues(ctx context.Context, r *arm.Request, ticket *v1beta1.SupportTicket) ([]v1beta1.SupportKnownIssue, error) {
	cluster, err := p.clusterOf(ctx, r, ticket.Spec.ResourceID)
	if err != nil || cluster == nil {
		return nil, err
	}
	var pools v1beta1.AgentPoolList
	if err := p.APIReader.List(ctx, &pools, client.InNamespace(cluster.Namespace), client.MatchingLabels{v1beta1.LabelCluster: operation.LabelValue(cluster.Name)}); err != nil {
		return nil, fmt.Errorf("list pools of %s: %w", cluster.Name, err)
	}
	var own v1beta1.KnownIssueList
	if err := p.APIReader.List(ctx, &own); err != nil {
		return nil, fmt.Errorf("list known issues: %w", err)
	}
	issues, err := notice.All(own.Items)
	if err != nil {
		return nil, err
	}
	return notice.Touching(issues, ticket.Spec.Problem, notice.Observe(cluster, pools.Items, p.Catalogue), p.Catalogue), nil
}

// unregistered are the previews that a text names and a subscription has not registered (L1).
func unregistered(subscription *v1beta1.Subscription, text string) []string {
	var names []string
	for _, feature := range policy.Features() {
		if strings.Contains(strings.ToLower(text), strings.ToLower(feature.Name)) && arm.FeatureStateOf(subscription, feature) != arm.FeatureRegistered {
			names = append(names, feature.FullName())
		}
	}
	return names
}

// evidence collects what is known of the cluster that a resource id names, or of the
// one that the named resource is a part of.
func (p provider) evidence(ctx context.Context, r *arm.Request, resourceID string) (triage.Evidence, error) {
	cluster, err := p.clusterOf(ctx, r, resourceID)
	if err != nil || cluster == nil {
		return triage.Evidence{}, err
	}
	of := []client.ListOption{client.InNamespace(cluster.Namespace), client.MatchingLabels{v1beta1.LabelCluster: operation.LabelValue(cluster.Name)}}
	var pools v1beta1.AgentPoolList
	var machines v1beta1.MachineList
	for _, list := range []client.ObjectList{&pools, &machines} {
		if err := p.APIReader.List(ctx, list, of...); err != nil {
			return triage.Evidence{}, fmt.Errorf("list pools and machines of %s: %w", cluster.Name, err)
		}
	}
	evidence := triage.Observe(cluster, pools.Items, machines.Items, p.Catalogue.NodeImageVersion)
	if p.Inspector == nil || evidence.Stopped {
		return evidence, nil
	}
	if err := p.Inspector.Inspect(ctx, cluster, &evidence); err != nil {
		p.Log.Warn("cluster not inspected", "cluster", cluster.Name, "correlation", r.CorrelationID, "error", err)
		evidence.Unread = "its API server did not answer in time"
	}
	return evidence, nil
}

// clusterOf finds the cluster of a resource id, nil if it names none or none that there is.
func (p provider) clusterOf(ctx context.Context, r *arm.Request, resourceID string) (*v1beta1.ManagedCluster, error) {
	parts := strings.Split(strings.Trim(resourceID, "/"), "/")
	if len(parts) < 8 || !strings.EqualFold(parts[1], r.Subscription.Name) || !strings.EqualFold(parts[6], "managedClusters") {
		return nil, nil
	}
	var cluster v1beta1.ManagedCluster
	err := p.APIReader.Get(ctx, client.ObjectKey{Namespace: r.Namespace(), Name: v1beta1.ObjectName(parts[3], parts[7])}, &cluster)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read cluster %s: %w", resourceID, err)
	}
	return &cluster, nil
}

// post writes an answer into the ticket, and tells the customer unless it says what was
// last said.
func post(ticket *v1beta1.SupportTicket, answer v1beta1.SupportTriage) {
	last := ticket.Triage
	ticket.Triage = &answer
	if last != nil && equality.Semantic.DeepEqual(last.Reasons, answer.Reasons) && equality.Semantic.DeepEqual(last.KnownIssues, answer.KnownIssues) {
		return
	}
	subject, body := triage.Letter(answer)
	ticket.Communications = append(ticket.Communications, v1beta1.SupportCommunication{
		Name: arm.NewID(), Sender: serviceSender, Subject: subject, Body: body, Created: metav1.NewTime(answer.Time.UTC()), FromService: true,
	})
}

// askTriage decides anew on a ticket that is open.
func (p provider) askTriage(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	ticket, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	answer, err := p.decide(ctx, r, ticket)
	if err != nil {
		return nil, err
	}
	ticket, err = p.change(ctx, r, func(ticket *v1beta1.SupportTicket) error {
		if err := checkOpen(ticket); err != nil {
			return err
		}
		post(ticket, answer)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return arm.OK(renderTriage(r, ticket))
}

// checkOpen refuses what only an open ticket that has room takes.
func checkOpen(ticket *v1beta1.SupportTicket) error {
	if ticket.Spec.Status == v1beta1.TicketClosed {
		return arm.Errorf(http.StatusConflict, "Conflict", "The support ticket '%s' is closed. Open it again with PATCH and status open, or make a new one.", ticket.Spec.Name)
	}
	if len(ticket.Communications) >= maxCommunications {
		return arm.Errorf(http.StatusConflict, "Conflict", "The support ticket '%s' has %d communications, which is all that it takes. Make a new one.", ticket.Spec.Name, len(ticket.Communications))
	}
	return nil
}

func (p provider) getTriage(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	ticket, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	return arm.OK(renderTriage(r, ticket))
}

// renderTriage is Berth's own resource: Azure's bodies and clients do not know it.
func renderTriage(r *arm.Request, ticket *v1beta1.SupportTicket) map[string]any {
	properties := map[string]any{"answer": "Unknown", "reasons": []any{}}
	if answer := ticket.Triage; answer != nil {
		properties = map[string]any{"answer": answer.Answer, "summary": triage.Heading(answer.Answer), "time": stamp(answer.Time), "reasons": answer.Reasons}
		if len(answer.KnownIssues) > 0 {
			properties["knownIssues"] = answer.KnownIssues
		}
	}
	return map[string]any{"id": ticketID(r, ticket.Spec.Name) + "/triage/default", "name": "default", "type": triageType, "properties": properties}
}
