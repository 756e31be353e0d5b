// Package admission holds what is written to the management cluster by kubectl to
// the same rules as what comes through ARM: it defaults and validates
// ManagedClusters, AgentPools and MaintenanceConfigurations with package policy, lets
// nobody delete what is locked, and nobody publish an advisory or a known issue that could
// match nothing.
package admission

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/support"
	"berth.dev/berth/internal/release"
)

// Rules knows what a request is checked against.
type Rules struct {
	Reader    client.Reader
	Catalogue *release.Catalogue
	// Preflight reads what may hold an upgrade up; nil looks at nothing.
	Preflight Preflight
	// StopWebhooks finds the webhooks in a cluster that a stop must ask; nil finds none.
	StopWebhooks func(context.Context, *v1beta1.ManagedCluster) ([]support.Webhook, error)
	// Now is the system's clock when nil.
	Now func() time.Time
}

// Preflight reads in managed clusters what may hold an upgrade up; package preflight
// does.
type Preflight interface {
	Budgets(ctx context.Context, cluster *v1beta1.ManagedCluster, pools []string) ([]policy.Budget, error)
	Uses(ctx context.Context, cluster *v1beta1.ManagedCluster) ([]policy.APIUse, error)
	Window(ctx context.Context) (time.Duration, error)
}

// Setup registers the webhooks with the manager.
func Setup(mgr ctrl.Manager, rules Rules) error {
	if rules.Now == nil {
		rules.Now = time.Now
	}
	clusters := &clusterRules{rules}
	if err := ctrl.NewWebhookManagedBy(mgr, &v1beta1.ManagedCluster{}).WithDefaulter(clusters).WithValidator(clusters).Complete(); err != nil {
		return fmt.Errorf("register webhook of ManagedCluster: %w", err)
	}
	pools := &poolRules{rules}
	if err := ctrl.NewWebhookManagedBy(mgr, &v1beta1.AgentPool{}).WithDefaulter(pools).WithValidator(pools).Complete(); err != nil {
		return fmt.Errorf("register webhook of AgentPool: %w", err)
	}
	windows := &maintenanceRules{rules}
	if err := ctrl.NewWebhookManagedBy(mgr, &v1beta1.MaintenanceConfiguration{}).WithDefaulter(windows).WithValidator(windows).Complete(); err != nil {
		return fmt.Errorf("register webhook of MaintenanceConfiguration: %w", err)
	}
	if err := ctrl.NewWebhookManagedBy(mgr, &v1beta1.ResourceGroup{}).WithValidator(&groupRules{rules}).Complete(); err != nil {
		return fmt.Errorf("register webhook of ResourceGroup: %w", err)
	}
	if err := ctrl.NewWebhookManagedBy(mgr, &v1beta1.Snapshot{}).WithValidator(&snapshotRules{rules}).Complete(); err != nil {
		return fmt.Errorf("register webhook of Snapshot: %w", err)
	}
	if err := ctrl.NewWebhookManagedBy(mgr, &v1beta1.Advisory{}).WithDefaulter(&advisoryRules{rules}).WithValidator(&advisoryRules{rules}).Complete(); err != nil {
		return fmt.Errorf("register webhook of Advisory: %w", err)
	}
	if err := ctrl.NewWebhookManagedBy(mgr, &v1beta1.KnownIssue{}).WithValidator(&issueRules{rules}).Complete(); err != nil {
		return fmt.Errorf("register webhook of KnownIssue: %w", err)
	}
	return nil
}

// locations returns where clusters may be created.
func (r Rules) locations(ctx context.Context) ([]string, error) {
	var service v1beta1.ServicePolicy
	err := r.Reader.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read ServicePolicy: %w", err)
	}
	return service.Spec.Locations, nil
}

// pools returns the pools of a cluster, without the one named except.
func (r Rules) pools(ctx context.Context, namespace, cluster, except string) ([]v1beta1.AgentPoolProfile, error) {
	var list v1beta1.AgentPoolList
	selector := client.MatchingLabels{v1beta1.LabelCluster: operation.LabelValue(cluster)}
	if err := r.Reader.List(ctx, &list, client.InNamespace(namespace), selector); err != nil {
		return nil, fmt.Errorf("list agent pools of %s: %w", cluster, err)
	}
	var profiles []v1beta1.AgentPoolProfile
	for _, pool := range list.Items {
		if pool.Name != except && pool.DeletionTimestamp.IsZero() {
			profiles = append(profiles, pool.Spec.AgentPoolProfile)
		}
	}
	return profiles, nil
}

// refusal turns violations into the answer that kubectl shows.
func refusal(kind, name string, found []policy.Violation) error {
	if len(found) == 0 {
		return nil
	}
	var list field.ErrorList
	for _, v := range found {
		list = append(list, &field.Error{
			Type: field.ErrorTypeForbidden, Field: "spec." + v.Target, Detail: v.Code + ": " + v.Message,
		})
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: v1beta1.GroupVersion.Group, Kind: kind}, name, list)
}

var (
	_ admission.Validator[*v1beta1.ManagedCluster]           = &clusterRules{}
	_ admission.Validator[*v1beta1.AgentPool]                = &poolRules{}
	_ admission.Validator[*v1beta1.MaintenanceConfiguration] = &maintenanceRules{}
	_ admission.Validator[*v1beta1.ResourceGroup]            = &groupRules{}
	_ admission.Validator[*v1beta1.Snapshot]                 = &snapshotRules{}
	_ admission.Validator[*v1beta1.Advisory]                 = &advisoryRules{}
	_ admission.Validator[*v1beta1.KnownIssue]               = &issueRules{}
)
