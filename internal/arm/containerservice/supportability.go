package containerservice

import (
	"context"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
)

// supportability tells whether the support policy covers a cluster, and why (X1). It is
// Berth's own resource: AKS's bodies and clients do not know it.
func (p provider) supportability(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	properties := map[string]any{"state": "Unknown", "findings": []any{}, "clocks": []any{}}
	if status := found.cluster.Status.Support; status != nil {
		properties["state"] = status.State
		findings := make([]any, 0, len(status.Findings))
		for i := range status.Findings {
			findings = append(findings, findingBody(&status.Findings[i]))
		}
		properties["findings"], properties["clocks"] = findings, clockBodies(status.Clocks)
		if act := status.LastAct; act != nil {
			properties["lastAct"] = map[string]any{"clause": act.Clause, "act": act.Act, "time": act.Time}
		}
	}
	return arm.OK(map[string]any{
		"id": clusterID(r, &found.cluster.Spec) + "/supportability/default", "name": "default", "type": clusterType + "/supportability",
		"properties": properties,
	})
}

// supportState is what a cluster's own body says of its supportability.
type supportState struct {
	State v1beta1.SupportState `json:"state"`
}

// renderSupportState is nil until the cluster was judged.
func renderSupportState(status *v1beta1.SupportStatus) *supportState {
	if status == nil {
		return nil
	}
	return &supportState{status.State}
}

// clockBodies are all clocks that run, with those that settle or stand and are in no finding.
func clockBodies(clocks []v1beta1.SupportClock) []any {
	bodies := make([]any, 0, len(clocks))
	for i := range clocks {
		clock := &clocks[i]
		body := map[string]any{
			"clause": clock.Clause, "act": clock.Act, "since": clock.Since, "elapsed": clock.Elapsed.Round(time.Second).String(),
			"observed": clock.Observed, "ends": clock.Ends,
		}
		if clock.Notice != nil {
			body["noticeGiven"] = clock.Notice.Duration.String()
		}
		bodies = append(bodies, body)
	}
	return bodies
}

func findingBody(finding *v1beta1.SupportFinding) map[string]any {
	body := map[string]any{
		"clause": finding.Clause, "reason": finding.Reason, "message": finding.Message, "state": finding.State,
		"since": finding.Since, "wayBack": finding.WayBack,
	}
	if finding.Act != "" {
		body["act"] = finding.Act
	}
	if finding.Ends != nil {
		body["ends"] = finding.Ends
	}
	return body
}
