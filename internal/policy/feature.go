package policy

import (
	"fmt"
	"strings"

	"berth.dev/berth/internal/release"
)

// Feature is a preview that a subscription registers before it can use it (L1). Previews
// are not for production (L2) and supported as best effort in business hours (L3).
type Feature struct {
	// Namespace is the provider's and Name the feature's, as in
	// Microsoft.ContainerService/KubernetesVersionPreview.
	Namespace, Name string
	// Guards says what cannot be had without it.
	Guards string
	// Since is the day from which there is the preview.
	Since string
	// Plan says when it ends, in general availability or otherwise (N2).
	Plan string
}

// FullName is the name that errors and lists have.
func (f Feature) FullName() string { return f.Namespace + "/" + f.Name }

// KubernetesVersionPreview guards minors of Kubernetes before their general availability.
const KubernetesVersionPreview = "KubernetesVersionPreview"

// features are the previews of this Berth.
var features = []Feature{{
	Namespace: "Microsoft.ContainerService", Name: KubernetesVersionPreview,
	Guards: "Kubernetes minors that are not generally available yet, for control planes and node pools",
	Since:  "2026-11-26",
	Plan:   "Stays: each minor leaves it at its general availability, and the next one enters.",
}}

// Features are the previews of this Berth.
func Features() []Feature { return append([]Feature(nil), features...) }

// FindFeature finds a preview; names are compared without case.
func FindFeature(namespace, name string) (Feature, bool) {
	for _, feature := range features {
		if strings.EqualFold(feature.Namespace, namespace) && strings.EqualFold(feature.Name, name) {
			return feature, true
		}
	}
	return Feature{}, false
}

// VersionMove is a version that a request asks for.
type VersionMove struct {
	// Target is the field that asks, From what runs, empty for what is new, and To what is
	// to run.
	Target, From, To string
}

// Preview is the first of some moves to a preview that does not run yet, and the feature
// that must be registered for it. What runs already may stay as it is.
func (v Versions) Preview(moves []VersionMove) (VersionMove, Feature, bool) {
	feature, _ := FindFeature("Microsoft.ContainerService", KubernetesVersionPreview)
	for _, move := range moves {
		found, ok := v.Catalogue.Release(move.To)
		if ok && move.To != move.From && v.Catalogue.StateAt(found, v.Plan, v.Now) == release.Preview {
			return move, feature, true
		}
	}
	return VersionMove{}, Feature{}, false
}

// NotRegistered refuses what a preview guards, in AKS's words and with what to do.
func NotRegistered(feature Feature, target, what string) Violation {
	return Violation{Code: CodeBadRequest, Target: target, Message: fmt.Sprintf(
		"Preview feature %s not registered. %s is a preview. To use it, not in production, register the feature: az feature register --namespace %s --name %s",
		feature.FullName(), what, feature.Namespace, feature.Name)}
}
