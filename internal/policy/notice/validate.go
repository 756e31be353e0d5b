package notice

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/triage"
	"berth.dev/berth/internal/policy/vulnerability"
	"berth.dev/berth/internal/release"
)

// code is that of every refusal here.
const code = "InvalidNotice"

var (
	linkPattern = regexp.MustCompile(`^https?://\S+$`)
	flawPattern = regexp.MustCompile(`^[A-Z][A-Za-z]*-[0-9A-Za-z-]+$`)
)

// ValidateAdvisory says what is wrong with an advisory: a range that no version is in
// would be published and tell nobody.
func ValidateAdvisory(spec *v1beta1.AdvisorySpec, catalogue *release.Catalogue) []policy.Violation {
	found := append(affected(&spec.Affected, catalogue), links(spec.Links)...)
	for i, name := range spec.Vulnerabilities {
		if !flawPattern.MatchString(name) {
			found = append(found, violation(fmt.Sprintf("vulnerabilities[%d]", i), "%q is no name such as CVE-2026-1234", name))
		}
	}
	if spec.FixDate != nil && spec.FixDate.Year() < 2000 {
		found = append(found, violation("fixDate", "it lies before there was anything to fix"))
	}
	return found
}

// ValidateKnownIssue says what is wrong with a known issue.
func ValidateKnownIssue(spec *v1beta1.KnownIssueSpec, catalogue *release.Catalogue) []policy.Violation {
	found := append(affected(&spec.Affected, catalogue), links(spec.Links)...)
	for i, topic := range spec.Topics {
		if _, known := triage.Find(triage.Topic(topic)); !known {
			found = append(found, violation(fmt.Sprintf("topics[%d]", i), "%q is no problem classification; `berth support services problem-classifications list` lists them", topic))
		}
	}
	if (spec.Workaround == "") != (spec.AfterUpgrade == "") {
		found = append(found, violation("afterUpgrade", "say of a workaround, and of nothing else, whether an upgrade keeps it: Kept or Lost"))
	}
	return found
}

func violation(target, format string, args ...any) policy.Violation {
	return policy.Violation{Code: code, Target: target, Message: fmt.Sprintf(format, args...)}
}

func links(all []string) []policy.Violation {
	var found []policy.Violation
	for i, link := range all {
		if !linkPattern.MatchString(link) {
			found = append(found, violation(fmt.Sprintf("links[%d]", i), "%q is no URL", link))
		}
	}
	return found
}

// affected checks every range, and that there is a component of that name.
func affected(a *v1beta1.Affected, catalogue *release.Catalogue) []policy.Violation {
	var found []policy.Violation
	check := func(target string, r v1beta1.AffectedRange, valid func(string) bool, compare func(a, b string) int) {
		for field, version := range map[string]string{"from": r.From, "fixed": r.Fixed} {
			if version != "" && !valid(version) {
				found = append(found, violation(target+"."+field, "%q is no version of it", version))
			}
		}
		if r.From != "" && r.Fixed != "" && compare(r.From, r.Fixed) >= 0 {
			found = append(found, violation(target, "no version is from %q on and before %q", r.From, r.Fixed))
		}
	}
	whatever, tags := func(string) bool { return true }, vulnerability.Tags(catalogue)
	for i, part := range a.Components {
		target := fmt.Sprintf("affected.components[%d]", i)
		check(target, part.AffectedRange, whatever, vulnerability.CompareVersions)
		if _, known := tags[part.Name]; !known {
			found = append(found, violation(target+".name", "the release catalogue has no component %q; it has %s", part.Name, strings.Join(slices.Sorted(maps.Keys(tags)), ", ")))
		}
	}
	for i, part := range a.Packages {
		check(fmt.Sprintf("affected.packages[%d]", i), part.AffectedRange, whatever, vulnerability.CompareVersions)
	}
	for i, one := range a.Kubernetes {
		check(fmt.Sprintf("affected.kubernetes[%d]", i), one, kubernetesVersion, release.Compare)
	}
	for i, one := range a.NodeImages {
		check(fmt.Sprintf("affected.nodeImages[%d]", i), one, nodeImageVersion, release.CompareNodeImages)
	}
	if len(a.Components)+len(a.Packages)+len(a.Kubernetes)+len(a.NodeImages) == 0 {
		found = append(found, violation("affected", "name components, kubernetes, nodeImages or packages"))
	}
	slices.SortFunc(found, func(a, b policy.Violation) int {
		return slices.Compare([]string{a.Target, a.Message}, []string{b.Target, b.Message})
	})
	return found
}

func kubernetesVersion(text string) bool {
	_, err := release.Parse(text)
	return err == nil
}

func nodeImageVersion(text string) bool {
	_, ok := release.NodeImageDay(text)
	return ok
}
