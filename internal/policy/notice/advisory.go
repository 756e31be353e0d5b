package notice

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy/vulnerability"
	"berth.dev/berth/internal/release"
)

// Advise says which advisories affect a cluster, what in it, and whose turn it is: the
// customer's where a version without the flaw is there to upgrade to, the service's
// otherwise, and of both where each has something to do. What was known before keeps its
// time.
func Advise(advisories []v1beta1.Advisory, c Cluster, catalogue *release.Catalogue, last []v1beta1.ClusterAdvisory, now time.Time) []v1beta1.ClusterAdvisory {
	var all []v1beta1.ClusterAdvisory
	for i := range advisories {
		one := &advisories[i]
		hits := Match(&one.Spec.Affected, c, catalogue)
		if len(hits) == 0 || !one.DeletionTimestamp.IsZero() {
			continue
		}
		advice := v1beta1.ClusterAdvisory{Name: one.Name, Evidence: Evidence(hits), Since: metav1.NewTime(now.UTC().Truncate(time.Second))}
		advice.Clause, advice.Turn, advice.Next = next(hits, one.Spec.Steps)
		if n := slices.IndexFunc(last, func(l v1beta1.ClusterAdvisory) bool { return l.Name == one.Name }); n >= 0 {
			advice.Since, advice.Announced = last[n].Since, last[n].Announced
		}
		all = append(all, advice)
	}
	slices.SortFunc(all, func(a, b v1beta1.ClusterAdvisory) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// next says under which clause, by whom and how a flaw goes. Nodes come first: their
// owners must know (H2).
func next(hits []Hit, steps string) (clauseID, turn, words string) {
	var said, turns []string
	clauseID = string(hits[0].Clause)
	for _, hit := range hits {
		if hit.Clause == node {
			clauseID = string(node)
		}
		whose, step := vulnerability.Service, "The service brings a patched version of "+strings.TrimPrefix(hit.Part, "component ")+"."
		switch {
		case hit.Cure != "":
			whose, step = vulnerability.Customer, cureStep(hit)
		case hit.SelfPatched:
			whose = vulnerability.Customer
			step = fmt.Sprintf("The nodes of %s patch their operating system themselves, daily from 06:00 UTC on: see that they have the fix, and reboot what uses it.", strings.TrimPrefix(hit.Part, "node "))
		case hit.Patched != "":
			step = fmt.Sprintf("The service has %s %s without it, and brings it to the clusters in waves.", strings.TrimPrefix(hit.Part, "component "), hit.Patched)
		case hit.Clause == node:
			step = "The service builds a node image without it; upgrade to it when it is there."
		}
		if !slices.Contains(said, step) {
			said = append(said, step)
		}
		if !slices.Contains(turns, string(whose)) {
			turns = append(turns, string(whose))
		}
	}
	if steps != "" {
		said = append(said, steps)
	}
	slices.Sort(turns)
	return clauseID, strings.Join(turns, ", "), strings.Join(said, " ")
}

func cureStep(hit Hit) string {
	switch {
	case strings.HasPrefix(hit.Has, "Kubernetes ") && hit.Clause == component:
		return fmt.Sprintf("Upgrade the cluster to %s: `berth cluster upgrade -k %s`.", hit.Cure, hit.Cure)
	case strings.HasPrefix(hit.Has, "Kubernetes "):
		return fmt.Sprintf("Upgrade %s to %s: `berth nodepool upgrade -k %s`.", hit.Part, hit.Cure, hit.Cure)
	default:
		return fmt.Sprintf("Upgrade %s to node image %s: `berth nodepool upgrade --node-image-only`.", hit.Part, hit.Cure)
	}
}

// Known are the advisories by the names of their flaws, for triage of scanners' reports.
func Known(advisories []v1beta1.Advisory) map[string]vulnerability.Known {
	known := map[string]vulnerability.Known{}
	for i := range advisories {
		one := &advisories[i]
		for _, name := range one.Spec.Vulnerabilities {
			entry := vulnerability.Known{Advisory: one.Name}
			if one.Spec.FixDate != nil {
				entry.FixDate = one.Spec.FixDate.UTC()
			}
			known[name] = entry
		}
	}
	return known
}
