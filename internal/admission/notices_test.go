package admission

import (
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

// What could match nothing is not published: it would tell nobody. An advisory is dated.
func TestNoticesThatMatchNothing(t *testing.T) {
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	rules := Rules{Catalogue: &release.Catalogue{Images: map[string]string{"coredns": "r/coredns:v1.15.0"}}, Now: func() time.Time { return noon }}
	of := func(component string) v1beta1.Affected {
		return v1beta1.Affected{Components: []v1beta1.AffectedPart{{Name: component}}}
	}
	for component, good := range map[string]bool{"coredns": true, "corends": false} {
		advisory := &v1beta1.Advisory{Spec: v1beta1.AdvisorySpec{Affected: of(component)}}
		if err := (&advisoryRules{rules}).Default(t.Context(), advisory); err != nil || !advisory.Spec.Published.Time.Equal(noon) {
			t.Errorf("published %v, %v", advisory.Spec.Published, err)
		}
		issue := &v1beta1.KnownIssue{Spec: v1beta1.KnownIssueSpec{Affected: of(component)}}
		_, created := (&advisoryRules{rules}).ValidateCreate(t.Context(), advisory)
		_, updated := (&advisoryRules{rules}).ValidateUpdate(t.Context(), advisory, advisory)
		_, known := (&issueRules{rules}).ValidateCreate(t.Context(), issue)
		_, changed := (&issueRules{rules}).ValidateUpdate(t.Context(), issue, issue)
		for _, err := range []error{created, updated, known, changed} {
			if (err == nil) != good || !good && !apierrors.IsInvalid(err) {
				t.Errorf("%s: %v", component, err)
			}
		}
	}
}
