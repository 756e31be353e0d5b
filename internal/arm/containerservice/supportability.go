package containerservice

import (
	"context"

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
	properties := map[string]any{"state": "Unknown", "findings": []any{}}
	if status := found.cluster.Status.Support; status != nil {
		properties["state"] = status.State
		findings := make([]any, 0, len(status.Findings))
		for i := range status.Findings {
			findings = append(findings, findingBody(&status.Findings[i]))
		}
		properties["findings"] = findings
	}
	return arm.OK(map[string]any{
		"id": clusterID(r, &found.cluster.Spec) + "/supportability/default", "name": "default", "type": clusterType + "/supportability",
		"properties": properties,
	})
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
