package containerservice

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy/notice"
)

const (
	advisoryType = namespace + "/advisories"
	issueType    = namespace + "/knownIssues"
)

// noticeRoutes are Berth's own: AKS publishes advisories and known issues on pages.
func (p provider) noticeRoutes() []arm.Route {
	get, provided := http.MethodGet, subscriptionPath+"/providers/"+namespace
	return []arm.Route{
		{Method: get, Path: provided + "/advisories", Type: "advisories", Handle: p.listAdvisories},
		{Method: get, Path: provided + "/advisories/{notice}", Type: "advisories", Handle: p.getAdvisory},
		{Method: get, Path: clusterPath + "/advisories", Type: "advisories", Handle: p.listAdvisories},
		{Method: get, Path: provided + "/knownIssues", Type: "knownIssues", Handle: p.listIssues},
		{Method: get, Path: provided + "/knownIssues/{notice}", Type: "knownIssues", Handle: p.getIssue},
		{Method: get, Path: clusterPath + "/knownIssues", Type: "knownIssues", Handle: p.listIssues},
	}
}

// asked are the clusters that a request is about: the one in its path, or all of its
// subscription.
func (p provider) asked(ctx context.Context, r *arm.Request) ([]*view, error) {
	if r.Parameter("cluster") == "" {
		return p.views(ctx, r)
	}
	found, err := p.require(ctx, r)
	return []*view{found}, err
}

// touched is a cluster that a notice touches, and how.
type touched struct {
	cluster *v1beta1.ManagedCluster
	advice  v1beta1.ClusterAdvisory
}

// advisories are those published, with the clusters that each affects. What a cluster's
// status does not say yet is decided here: the customer is told at once.
func (p provider) advisories(ctx context.Context, views []*view) ([]v1beta1.Advisory, map[string][]touched, error) {
	var list v1beta1.AdvisoryList
	if err := p.APIReader.List(ctx, &list); err != nil {
		return nil, nil, fmt.Errorf("list advisories: %w", err)
	}
	all := map[string][]touched{}
	for _, one := range views {
		if one.cluster.Status.CurrentKubernetesVersion == "" {
			continue
		}
		observed := notice.Observe(one.cluster, one.pools, p.Catalogue)
		for _, advice := range notice.Advise(list.Items, observed, p.Catalogue, one.cluster.Status.Advisories, p.Now()) {
			all[advice.Name] = append(all[advice.Name], touched{one.cluster, advice})
		}
	}
	return list.Items, all, nil
}

// listAdvisories lists the advisories that affect a cluster, or any of the subscription's:
// others are nobody's business here.
func (p provider) listAdvisories(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	views, err := p.asked(ctx, r)
	if err != nil {
		return nil, err
	}
	published, affected, err := p.advisories(ctx, views)
	if err != nil {
		return nil, err
	}
	var items []arm.Item
	for i := range published {
		if found := affected[published[i].Name]; len(found) > 0 {
			items = append(items, arm.Item{Key: published[i].Name, Body: advisoryBody(r, &published[i], found)})
		}
	}
	return p.Page(r, items)
}

// getAdvisory shows an advisory, also one that affects nothing here.
func (p provider) getAdvisory(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	views, err := p.views(ctx, r)
	if err != nil {
		return nil, err
	}
	published, affected, err := p.advisories(ctx, views)
	if err != nil {
		return nil, err
	}
	n := slices.IndexFunc(published, func(a v1beta1.Advisory) bool { return strings.EqualFold(a.Name, r.Parameter("notice")) })
	if n < 0 {
		return nil, noticeNotFound(r, advisoryType)
	}
	return arm.OK(advisoryBody(r, &published[n], affected[published[n].Name]))
}

func noticeNotFound(r *arm.Request, kind string) error {
	name := r.Parameter("notice")
	if len(name) > 128 {
		name = name[:128] + "…"
	}
	return arm.Errorf(http.StatusNotFound, "ResourceNotFound", "The Resource '%s/%s' was not found.", kind, name)
}

func noticeID(r *arm.Request, kind, name string) string {
	return r.SubscriptionPath() + "/providers/" + kind + "/" + name
}

func advisoryBody(r *arm.Request, advisory *v1beta1.Advisory, affected []touched) map[string]any {
	spec := &advisory.Spec
	clusters := make([]any, 0, len(affected))
	for i := range affected {
		advice := &affected[i].advice
		clusters = append(clusters, map[string]any{
			"id": clusterID(r, &affected[i].cluster.Spec), "name": affected[i].cluster.Spec.Name, "clause": advice.Clause, "turn": advice.Turn,
			"evidence": advice.Evidence, "next": advice.Next, "since": advice.Since,
		})
	}
	properties := map[string]any{
		"title": spec.Title, "severity": spec.Severity, "vulnerabilities": orEmpty(spec.Vulnerabilities), "impact": spec.Impact, "steps": spec.Steps,
		"links": orEmpty(spec.Links), "affected": clusters,
	}
	published := advisory.CreationTimestamp
	if spec.Published != nil {
		published = *spec.Published
	}
	for name, at := range map[string]*metav1.Time{"published": &published, "fixDate": spec.FixDate} {
		if at != nil {
			properties[name] = at.UTC().Format(time.RFC3339)
		}
	}
	return map[string]any{"id": noticeID(r, advisoryType, advisory.Name), "name": advisory.Name, "type": advisoryType, "properties": properties}
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// issues are the known ones: those that Berth comes with, and the operator's.
func (p provider) issues(ctx context.Context) ([]v1beta1.KnownIssue, error) {
	var own v1beta1.KnownIssueList
	if err := p.APIReader.List(ctx, &own); err != nil {
		return nil, fmt.Errorf("list known issues: %w", err)
	}
	return notice.All(own.Items)
}

// listIssues lists all known issues with the clusters that they touch, or those of one
// cluster (M2).
func (p provider) listIssues(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	views, err := p.asked(ctx, r)
	if err != nil {
		return nil, err
	}
	issues, err := p.issues(ctx)
	if err != nil {
		return nil, err
	}
	var items []arm.Item
	for i := range issues {
		found := p.touchedBy(r, &issues[i], views)
		if len(found) > 0 || r.Parameter("cluster") == "" {
			items = append(items, arm.Item{Key: issues[i].Name, Body: issueBody(r, &issues[i], found)})
		}
	}
	return p.Page(r, items)
}

func (p provider) getIssue(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	views, err := p.views(ctx, r)
	if err != nil {
		return nil, err
	}
	issues, err := p.issues(ctx)
	if err != nil {
		return nil, err
	}
	n := slices.IndexFunc(issues, func(i v1beta1.KnownIssue) bool { return strings.EqualFold(i.Name, r.Parameter("notice")) })
	if n < 0 {
		return nil, noticeNotFound(r, issueType)
	}
	return arm.OK(issueBody(r, &issues[n], p.touchedBy(r, &issues[n], views)))
}

// touchedBy are the clusters that an issue touches, with what in them has it.
func (p provider) touchedBy(r *arm.Request, issue *v1beta1.KnownIssue, views []*view) []any {
	found := []any{}
	for _, one := range views {
		if hits := notice.Match(&issue.Spec.Affected, notice.Observe(one.cluster, one.pools, p.Catalogue), p.Catalogue); len(hits) > 0 {
			found = append(found, map[string]any{"id": clusterID(r, &one.cluster.Spec), "name": one.cluster.Spec.Name, "evidence": notice.Evidence(hits)})
		}
	}
	return found
}

func issueBody(r *arm.Request, issue *v1beta1.KnownIssue, touches []any) map[string]any {
	spec := &issue.Spec
	return map[string]any{"id": noticeID(r, issueType, issue.Name), "name": issue.Name, "type": issueType, "properties": map[string]any{
		"title": spec.Title, "description": spec.Description, "links": orEmpty(spec.Links), "topics": orEmpty(spec.Topics), "workaround": spec.Workaround,
		"afterUpgrade": spec.AfterUpgrade, "timeline": spec.Timeline, "fixedIn": spec.FixedIn, "affected": touches,
	}}
}
