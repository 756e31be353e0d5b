package admission

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy/notice"
)

// advisoryRules and issueRules check what the operator publishes (H1, H2, M2).
type (
	advisoryRules struct{ Rules }
	issueRules    struct{ Rules }
)

// Default dates an advisory.
func (r *advisoryRules) Default(_ context.Context, advisory *v1beta1.Advisory) error {
	if advisory.Spec.Published == nil {
		now := metav1.NewTime(r.Now().UTC().Truncate(time.Second))
		advisory.Spec.Published = &now
	}
	return nil
}

// ValidateCreate refuses an advisory that could match nothing.
func (r *advisoryRules) ValidateCreate(_ context.Context, advisory *v1beta1.Advisory) (admission.Warnings, error) {
	return nil, refusal("Advisory", advisory.Name, notice.ValidateAdvisory(&advisory.Spec, r.Catalogue))
}

// ValidateUpdate refuses what ValidateCreate does.
func (r *advisoryRules) ValidateUpdate(ctx context.Context, _, advisory *v1beta1.Advisory) (admission.Warnings, error) {
	return r.ValidateCreate(ctx, advisory)
}

// ValidateDelete allows every delete.
func (r *advisoryRules) ValidateDelete(context.Context, *v1beta1.Advisory) (admission.Warnings, error) {
	return nil, nil
}

// ValidateCreate refuses a known issue that could match nothing.
func (r *issueRules) ValidateCreate(_ context.Context, issue *v1beta1.KnownIssue) (admission.Warnings, error) {
	return nil, refusal("KnownIssue", issue.Name, notice.ValidateKnownIssue(&issue.Spec, r.Catalogue))
}

// ValidateUpdate refuses what ValidateCreate does.
func (r *issueRules) ValidateUpdate(ctx context.Context, _, issue *v1beta1.KnownIssue) (admission.Warnings, error) {
	return r.ValidateCreate(ctx, issue)
}

// ValidateDelete allows every delete.
func (r *issueRules) ValidateDelete(context.Context, *v1beta1.KnownIssue) (admission.Warnings, error) {
	return nil, nil
}
