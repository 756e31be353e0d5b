package containerservice

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/notice"
	"berth.dev/berth/internal/policy/vulnerability"
)

const (
	// maxTriageBody is a scanner's report and what stands around it.
	maxTriageBody = vulnerability.MaxReport + 4<<10
	// maxTriageAnswers bounds what is said of all clusters of a subscription.
	maxTriageAnswers = 20000
)

// triageVulnerabilities throttles what reads large reports.
var triageVulnerabilities = &arm.Limit{Handler: "TriageVulnerabilitiesHandler.POST", Burst: 20, Every: 5 * time.Second, Scope: arm.PerSubscription}

// vulnerabilityRoutes are Berth's own: AKS takes no scanner's reports.
func (p provider) vulnerabilityRoutes() []arm.Route {
	const kind = "managedClusters"
	return []arm.Route{
		{Method: http.MethodPost, Path: clusterPath + "/triageVulnerabilities", Type: kind, Reads: true, Unlogged: true, Limit: triageVulnerabilities, MaxBody: maxTriageBody, Handle: p.triageCluster},
		{Method: http.MethodPost, Path: subscriptionPath + "/providers/" + namespace + "/triageVulnerabilities", Type: kind, Reads: true, Unlogged: true, Limit: triageVulnerabilities, MaxBody: maxTriageBody, Handle: p.triageSubscription},
	}
}

// triageBody is what is sent: a report as its scanner wrote it. It is decoded by itself,
// since Decode would hold the report's fields to ARM's rules.
type triageBody struct {
	// Target says what was scanned where the report does not.
	Target string          `json:"target"`
	Report json.RawMessage `json:"report"`
}

// reportOf reads the report of a request.
func reportOf(r *arm.Request) (vulnerability.Report, error) {
	var body triageBody
	decoder := json.NewDecoder(bytes.NewReader(r.RawBody()))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		return vulnerability.Report{}, arm.Errorf(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid: want an object with 'report', a scanner's report, and 'target' if it does not say what was scanned.")
	}
	if len(body.Report) == 0 {
		return vulnerability.Report{}, arm.InvalidParameter("report", "The value of parameter report is required: it is a scanner's report.")
	}
	report, err := vulnerability.Parse(body.Report)
	if err != nil {
		return vulnerability.Report{}, arm.InvalidParameter("report", "The value of parameter report is invalid: %s.", err)
	}
	if body.Target != "" {
		report.At(body.Target)
	}
	return report, nil
}

// triageCluster says of each flaw of a report what the policy makes of it for a cluster (X6).
func (p provider) triageCluster(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	report, err := reportOf(r)
	if err != nil {
		return nil, err
	}
	world, err := p.vulnerabilityWorld(ctx)
	if err != nil {
		return nil, err
	}
	var machines v1beta1.MachineList
	of := client.MatchingLabels{v1beta1.LabelCluster: operation.LabelValue(found.cluster.Name)}
	if err := p.APIReader.List(ctx, &machines, client.InNamespace(r.Namespace()), of); err != nil {
		return nil, fmt.Errorf("list machines of %s: %w", found.cluster.Name, err)
	}
	world.Estate = vulnerability.Observe(found.cluster, found.pools, machines.Items)
	answers := vulnerability.Decide(report, world)
	return arm.OK(map[string]any{
		"id": clusterID(r, &found.cluster.Spec) + "/vulnerabilityTriage/default", "name": "default", "type": clusterType + "/vulnerabilityTriage",
		"properties": p.triageProperties(report, answers, nil),
	})
}

// triageSubscription says for every cluster what of a report concerns it.
func (p provider) triageSubscription(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	report, err := reportOf(r)
	if err != nil {
		return nil, err
	}
	world, err := p.vulnerabilityWorld(ctx)
	if err != nil {
		return nil, err
	}
	views, err := p.views(ctx, r)
	if err != nil {
		return nil, err
	}
	var machines v1beta1.MachineList
	if err := p.APIReader.List(ctx, &machines, client.InNamespace(r.Namespace())); err != nil {
		return nil, fmt.Errorf("list machines: %w", err)
	}
	clusters, count := make([]any, 0, len(views)), 0
	for _, one := range views {
		world.Estate = vulnerability.Observe(one.cluster, one.pools, machines.Items)
		answers := slices.DeleteFunc(vulnerability.Decide(report, world), func(a vulnerability.Answer) bool { return a.Turn == vulnerability.Nobody })
		if count += len(answers); count > maxTriageAnswers {
			return nil, arm.Errorf(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The answers for all clusters are more than %d: ask for one cluster at a time.", maxTriageAnswers)
		}
		clusters = append(clusters, p.triageProperties(report, answers, map[string]any{"id": clusterID(r, &one.cluster.Spec), "name": one.cluster.Spec.Name}))
	}
	return arm.OK(map[string]any{
		"id": r.SubscriptionPath() + "/providers/" + namespace + "/vulnerabilityTriage/default", "name": "default", "type": namespace + "/vulnerabilityTriage",
		"properties": map[string]any{"scanner": report.Scanner, "time": p.Now().UTC().Format(time.RFC3339), "clusters": clusters},
	})
}

// vulnerabilityWorld is what reports are judged on, but for a cluster.
func (p provider) vulnerabilityWorld(ctx context.Context) (vulnerability.World, error) {
	var service v1beta1.ServicePolicy
	if err := p.Client.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service); client.IgnoreNotFound(err) != nil {
		return vulnerability.World{}, fmt.Errorf("read ServicePolicy: %w", err)
	}
	var advisories v1beta1.AdvisoryList
	if err := p.APIReader.List(ctx, &advisories); err != nil {
		return vulnerability.World{}, fmt.Errorf("list advisories: %w", err)
	}
	plan := policy.Support(service.Spec)
	return vulnerability.World{Catalogue: p.Catalogue, Known: notice.Known(advisories.Items), FixAge: plan.VulnerabilityFixAge, ImageAge: plan.NodeImageAge, Now: p.Now()}, nil
}

// triageProperties is an answer on the wire, with what is about its cluster.
func (p provider) triageProperties(report vulnerability.Report, answers []vulnerability.Answer, about map[string]any) map[string]any {
	turns := map[vulnerability.Turn]int{vulnerability.Service: 0, vulnerability.Customer: 0, vulnerability.Vendor: 0, vulnerability.Nobody: 0}
	findings := make([]any, 0, len(answers))
	for i := range answers {
		turns[answers[i].Turn]++
		findings = append(findings, answerBody(&answers[i]))
	}
	properties := map[string]any{"turns": turns, "findings": findings}
	for key, value := range about {
		properties[key] = value
	}
	if about == nil {
		properties["scanner"], properties["skipped"], properties["time"] = report.Scanner, report.Skipped, p.Now().UTC().Format(time.RFC3339)
	}
	return properties
}

func answerBody(a *vulnerability.Answer) map[string]any {
	body := map[string]any{
		"vulnerability": a.Finding.ID, "package": a.Finding.Package, "installedVersion": a.Finding.Installed, "fixedVersion": a.Finding.Fixed,
		"severity": a.Finding.Severity, "target": a.Subject.Shown, "targetKind": a.Subject.Kind,
		"covered": a.Covered, "turn": a.Turn, "clause": a.Clause, "reason": a.Reason, "evidence": a.Evidence, "next": a.Next,
	}
	for name, at := range map[string]*time.Time{"from": a.From, "until": a.Until} {
		if at != nil {
			body[name] = at.UTC().Format(time.DateOnly)
		}
	}
	return body
}
