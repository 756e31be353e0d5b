package containerservice

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy/maintenance"
)

func (p provider) maintenanceRoutes() []arm.Route {
	const kind = "managedClusters/maintenanceConfigurations"
	return []arm.Route{
		{Method: http.MethodGet, Path: clusterPath + "/maintenanceConfigurations", Type: kind, Handle: p.listMaintenance},
		{Method: http.MethodGet, Path: maintenancePath, Type: kind, Handle: p.getMaintenance},
		{Method: http.MethodPut, Path: maintenancePath, Type: kind, Handle: p.putMaintenance},
		{Method: http.MethodDelete, Path: maintenancePath, Type: kind, Handle: p.deleteMaintenance},
	}
}

func (p provider) listMaintenance(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.requireParent(ctx, r)
	if err != nil {
		return nil, err
	}
	var list v1beta1.MaintenanceConfigurationList
	selector := client.MatchingLabels{v1beta1.LabelCluster: operation.LabelValue(found.cluster.Name)}
	if err := p.APIReader.List(ctx, &list, client.InNamespace(r.Namespace()), selector); err != nil {
		return nil, fmt.Errorf("list maintenance configurations of %s: %w", found.cluster.Name, err)
	}
	items := make([]arm.Item, 0, len(list.Items))
	for i := range list.Items {
		if metav1.IsControlledBy(&list.Items[i], found.cluster) {
			items = append(items, arm.Item{Key: list.Items[i].Spec.Name, Body: renderMaintenance(r, found, &list.Items[i], p.Now())})
		}
	}
	return p.Page(r, items)
}

// findMaintenance reads the configuration that the path names, nil if there is none.
func (p provider) findMaintenance(ctx context.Context, r *arm.Request, cluster *v1beta1.ManagedCluster) (*v1beta1.MaintenanceConfiguration, error) {
	var config v1beta1.MaintenanceConfiguration
	name := v1beta1.ObjectName(cluster.Spec.ResourceGroup, cluster.Spec.Name, r.Parameter("maintenance"))
	err := p.APIReader.Get(ctx, client.ObjectKey{Namespace: r.Namespace(), Name: name}, &config)
	if apierrors.IsNotFound(err) || err == nil && !metav1.IsControlledBy(&config, cluster) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read maintenance configuration %s: %w", name, err)
	}
	return &config, nil
}

func (p provider) getMaintenance(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.requireParent(ctx, r)
	if err != nil {
		return nil, err
	}
	config, err := p.findMaintenance(ctx, r, found.cluster)
	if err != nil {
		return nil, err
	}
	if config == nil {
		return nil, arm.ResourceNotFound(maintenanceType, found.cluster.Spec.Name+"/"+r.Parameter("maintenance"), found.cluster.Spec.ResourceGroup)
	}
	return arm.OK(renderMaintenance(r, found, config, p.Now()))
}

// putMaintenance replaces a configuration as a whole, at once.
func (p provider) putMaintenance(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.requireParent(ctx, r)
	if err != nil {
		return nil, err
	}
	var body maintenanceBody
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if err := found.refuseConfigure(p.Now()); err != nil {
		return nil, err
	}
	spec, err := maintenanceSpec(&found.cluster.Spec, r.Parameter("maintenance"), &body.Properties)
	if err != nil {
		return nil, err
	}
	if violations := maintenance.Validate(spec); len(violations) > 0 {
		return nil, arm.Refusal(violations)
	}
	config, err := p.findMaintenance(ctx, r, found.cluster)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if config == nil {
		status = http.StatusCreated
		config, err = p.createMaintenance(ctx, r, found.cluster, spec)
	} else if !equality.Semantic.DeepEqual(config.Spec, *spec) {
		config.Spec = *spec
		operation.MarkSaved(config, p.Now())
		err = p.Client.Update(ctx, config)
	}
	if err != nil {
		return nil, fmt.Errorf("write maintenance configuration %s: %w", spec.Name, err)
	}
	return &arm.Response{Status: status, Body: renderMaintenance(r, found, config, p.Now())}, nil
}

func (p provider) createMaintenance(ctx context.Context, r *arm.Request, cluster *v1beta1.ManagedCluster, spec *v1beta1.MaintenanceConfigurationSpec) (*v1beta1.MaintenanceConfiguration, error) {
	config := &v1beta1.MaintenanceConfiguration{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace(), Name: v1beta1.ObjectName(spec.ResourceGroup, spec.ClusterName, spec.Name)},
		Spec:       *spec,
	}
	operation.Attach(config, cluster)
	operation.MarkSaved(config, p.Now())
	return config, p.Client.Create(ctx, config)
}

func (p provider) deleteMaintenance(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.requireParent(ctx, r)
	if err != nil {
		return nil, err
	}
	config, err := p.findMaintenance(ctx, r, found.cluster)
	if err != nil {
		return nil, err
	}
	if config == nil {
		return arm.NoContent()
	}
	if err := p.Client.Delete(ctx, config); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("delete maintenance configuration %s: %w", config.Name, err)
	}
	return &arm.Response{Status: http.StatusOK}, nil
}

// maintenanceName is the name as AKS writes it.
func maintenanceName(asked string) string {
	at := slices.IndexFunc(maintenance.Names, func(name string) bool { return strings.EqualFold(name, asked) })
	if at < 0 {
		return asked
	}
	return maintenance.Names[at]
}
