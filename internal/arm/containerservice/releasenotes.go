package containerservice

import (
	"context"
	"fmt"
	"net/http"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/clause"
	"berth.dev/berth/internal/release"
)

const (
	releaseType = namespace + "/releases"
	roadmapType = namespace + "/roadmap"
)

// releaseRoutes are Berth's own: AKS has its release notes and its roadmap on pages.
func (p provider) releaseRoutes() []arm.Route {
	get, provided := http.MethodGet, subscriptionPath+"/providers/"+namespace
	return []arm.Route{
		{Method: get, Path: provided + "/releases", Type: "releases", Handle: p.listReleases},
		{Method: get, Path: provided + "/releases/{release}", Type: "releases", Handle: p.getRelease},
		{Method: get, Path: provided + "/roadmap", Type: "roadmap", Handle: p.roadmap},
	}
}

// listReleases lists what was built, the newest first, with the notes of each (N1).
func (p provider) listReleases(_ context.Context, r *arm.Request) (*arm.Response, error) {
	versions := []string{""}
	if len(p.Catalogue.Builds) > 0 {
		versions = versions[:0]
		for _, build := range p.Catalogue.Builds {
			versions = append(versions, build.Version)
		}
	}
	var items []arm.Item
	for i, version := range versions {
		if notes, ok := p.Catalogue.Notes(version); ok {
			items = append(items, arm.Item{Key: fmt.Sprintf("%05d", i), Body: notesBody(r, notes)})
		}
	}
	return p.Page(r, items)
}

// getRelease shows the notes of a release; latest is the newest.
func (p provider) getRelease(_ context.Context, r *arm.Request) (*arm.Response, error) {
	version := r.Parameter("release")
	if version == "latest" {
		version = ""
	}
	notes, ok := p.Catalogue.Notes(version)
	if !ok {
		if len(version) > 128 {
			version = version[:128] + "…"
		}
		return nil, arm.Errorf(http.StatusNotFound, "ResourceNotFound", "The Resource '%s/%s' was not found.", releaseType, version)
	}
	return arm.OK(notesBody(r, notes))
}

func notesBody(r *arm.Request, notes release.Notes) map[string]any {
	return map[string]any{"id": noticeID(r, releaseType, notes.Version), "name": notes.Version, "type": releaseType, "properties": notes}
}

// roadmap lists what comes (N2): previews, the dates of versions, fixes of known issues
// that a version will carry, and what the service does not hold yet of its own policy.
func (p provider) roadmap(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	issues, err := p.issues(ctx)
	if err != nil {
		return nil, err
	}
	all := append(p.Catalogue.Roadmap(p.Now()), fixes(issues)...)
	all = append(all, append(previews(), plans()...)...)
	release.SortMilestones(all)
	items := make([]arm.Item, 0, len(all))
	for i, one := range all {
		key := fmt.Sprintf("%05d", i)
		items = append(items, arm.Item{Key: key, Body: map[string]any{"id": noticeID(r, roadmapType, key), "name": key, "type": roadmapType, "properties": one}})
	}
	return p.Page(r, items)
}

// fixes are those of known issues that have a version or a time.
func fixes(issues []v1beta1.KnownIssue) []release.Milestone {
	var all []release.Milestone
	for i := range issues {
		spec := &issues[i].Spec
		message := spec.Timeline
		if spec.FixedIn != "" {
			message = "Fixed in " + spec.FixedIn + ". " + message
		}
		if message != "" {
			all = append(all, release.Milestone{Kind: release.MilestonePlan, Subject: "Known issue " + issues[i].Name, Message: spec.Title + ". " + message})
		}
	}
	return all
}

// previews are the features that a subscription registers for (L1).
func previews() []release.Milestone {
	var all []release.Milestone
	for _, feature := range policy.Features() {
		all = append(all, release.Milestone{
			Kind: release.MilestonePreview, Subject: feature.FullName(), Message: feature.Guards + ", since " + feature.Since + ". " + feature.Plan,
		})
	}
	return all
}

// plans are the clauses of the support policy that are not held yet, or in part.
func plans() []release.Milestone {
	var all []release.Milestone
	for _, part := range clause.Parts() {
		for _, one := range part.Clauses {
			switch one.Status {
			case clause.NotYet:
				all = append(all, release.Milestone{Kind: release.MilestonePlan, Subject: "Clause " + string(one.ID), Message: one.Short})
			case clause.InPart:
				all = append(all, release.Milestone{Kind: release.MilestonePlan, Subject: "Clause " + string(one.ID), Message: one.Short + " Missing: " + one.Missing})
			}
		}
	}
	return all
}
