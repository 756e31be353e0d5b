package admission

import (
	"context"
	"encoding/json"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/maintenance"
)

type maintenanceRules struct{ Rules }

// Default fills what was left out of a configuration, notes when it was changed
// and makes it its cluster's.
func (r *maintenanceRules) Default(ctx context.Context, config *v1beta1.MaintenanceConfiguration) error {
	maintenance.Default(&config.Spec)
	before, err := before(ctx)
	if err != nil {
		return err
	}
	if before != nil && equality.Semantic.DeepEqual(before.Spec, config.Spec) {
		operation.MarkSaved(config, operation.Saved(before))
	} else {
		operation.MarkSaved(config, r.Now())
	}
	var cluster v1beta1.ManagedCluster
	if err := r.Reader.Get(ctx, clusterOf(config), &cluster); err != nil {
		return client.IgnoreNotFound(err)
	}
	operation.Attach(config, &cluster)
	return nil
}

// before is what an update replaces, nil for a new object.
func before(ctx context.Context) (*v1beta1.MaintenanceConfiguration, error) {
	request, err := admission.RequestFromContext(ctx)
	if err != nil || request.Operation != admissionv1.Update {
		return nil, err
	}
	var config v1beta1.MaintenanceConfiguration
	if err := json.Unmarshal(request.OldObject.Raw, &config); err != nil {
		return nil, fmt.Errorf("read the object before the update: %w", err)
	}
	return &config, nil
}

func clusterOf(config *v1beta1.MaintenanceConfiguration) client.ObjectKey {
	return client.ObjectKey{Namespace: config.Namespace, Name: v1beta1.ObjectName(config.Spec.ResourceGroup, config.Spec.ClusterName)}
}

// ValidateCreate refuses what a PUT through ARM would be refused for.
func (r *maintenanceRules) ValidateCreate(ctx context.Context, config *v1beta1.MaintenanceConfiguration) (admission.Warnings, error) {
	if want := v1beta1.ObjectName(config.Spec.ResourceGroup, config.Spec.ClusterName, config.Spec.Name); config.Name != want {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("metadata.name is %q; the configuration %s of cluster %s is named %q", config.Name, config.Spec.Name, config.Spec.ClusterName, want))
	}
	var cluster v1beta1.ManagedCluster
	if err := r.Reader.Get(ctx, clusterOf(config), &cluster); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("cluster %q does not exist in namespace %s; create it first", clusterOf(config).Name, config.Namespace))
		}
		return nil, fmt.Errorf("read cluster %s: %w", clusterOf(config), err)
	}
	return nil, refusal("MaintenanceConfiguration", config.Name, append(r.power(&cluster), maintenance.Validate(&config.Spec)...))
}

// power is why a cluster that does not run keeps its windows (AKS: start-stop-cluster).
func (r *maintenanceRules) power(cluster *v1beta1.ManagedCluster) []policy.Violation {
	// Its windows go with it, and come back with one that is recovered before it is anything.
	if !cluster.DeletionTimestamp.IsZero() || !cluster.Status.Initialized {
		return nil
	}
	return policy.ValidatePower(policy.ActionConfigure, policy.PowerOf(cluster, r.Now()))
}

// powerOf is power for a configuration whose cluster may be gone.
func (r *maintenanceRules) powerOf(ctx context.Context, config *v1beta1.MaintenanceConfiguration) ([]policy.Violation, error) {
	var cluster v1beta1.ManagedCluster
	if err := r.Reader.Get(ctx, clusterOf(config), &cluster); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return r.power(&cluster), nil
}

// ValidateUpdate refuses what a PUT through ARM would be refused for, and another
// name or cluster than the object's.
func (r *maintenanceRules) ValidateUpdate(ctx context.Context, old, config *v1beta1.MaintenanceConfiguration) (admission.Warnings, error) {
	if !config.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	if v1beta1.ObjectName(config.Spec.ResourceGroup, config.Spec.ClusterName, config.Spec.Name) != config.Name {
		return nil, apierrors.NewBadRequest("spec.resourceGroup, spec.clusterName and spec.name cannot change")
	}
	found := maintenance.Validate(&config.Spec)
	if !equality.Semantic.DeepEqual(old.Spec, config.Spec) {
		held, err := r.powerOf(ctx, config)
		if err != nil {
			return nil, err
		}
		found = append(held, found...)
	}
	return nil, refusal("MaintenanceConfiguration", config.Name, found)
}

// ValidateDelete allows every delete: Terraform removes the windows of a cluster, stopped or
// not, before the cluster.
func (r *maintenanceRules) ValidateDelete(context.Context, *v1beta1.MaintenanceConfiguration) (admission.Warnings, error) {
	return nil, nil
}
