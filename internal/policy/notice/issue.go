package notice

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

//go:embed issues/*.yaml
var shipped embed.FS

// Shipped are the known issues that this Berth comes with (M2). A test holds them to what
// admission holds the operator's to.
func Shipped() ([]v1beta1.KnownIssue, error) {
	entries, err := shipped.ReadDir("issues")
	if err != nil {
		return nil, fmt.Errorf("list known issues: %w", err)
	}
	issues := make([]v1beta1.KnownIssue, 0, len(entries))
	for _, entry := range entries {
		raw, err := shipped.ReadFile("issues/" + entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read known issue %s: %w", entry.Name(), err)
		}
		var issue v1beta1.KnownIssue
		if err := yaml.UnmarshalStrict(raw, &issue); err != nil {
			return nil, fmt.Errorf("parse known issue %s: %w", entry.Name(), err)
		}
		issues = append(issues, issue)
	}
	return issues, nil
}

// All are the issues that Berth comes with and the operator's, by name. One of the
// operator's replaces one of the same name.
func All(own []v1beta1.KnownIssue) ([]v1beta1.KnownIssue, error) {
	all, err := Shipped()
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(issue v1beta1.KnownIssue) bool {
		return slices.ContainsFunc(own, func(o v1beta1.KnownIssue) bool { return o.Name == issue.Name })
	})
	all = append(all, own...)
	slices.SortFunc(all, func(a, b v1beta1.KnownIssue) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// maxTouching bounds what a ticket is told of: it is kept as one object.
const maxTouching = 5

// Touching are the issues of a cluster that a ticket of a topic may be about (M1), the
// first few by name.
func Touching(issues []v1beta1.KnownIssue, topic string, c Cluster, catalogue *release.Catalogue) []v1beta1.SupportKnownIssue {
	var found []v1beta1.SupportKnownIssue
	for i := range issues {
		spec := &issues[i].Spec
		if len(spec.Topics) > 0 && !slices.Contains(spec.Topics, topic) {
			continue
		}
		hits := Match(&spec.Affected, c, catalogue)
		if len(hits) == 0 || len(found) == maxTouching {
			continue
		}
		found = append(found, v1beta1.SupportKnownIssue{
			Name: issues[i].Name, Title: spec.Title, Evidence: Evidence(hits), Workaround: spec.Workaround, AfterUpgrade: spec.AfterUpgrade,
			Timeline: spec.Timeline, FixedIn: spec.FixedIn, Links: spec.Links,
		})
	}
	return found
}
