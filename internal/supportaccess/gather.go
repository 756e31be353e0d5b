package supportaccess

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy/access"
)

// Gather reads what an access is decided by.
func Gather(ctx context.Context, reader client.Reader, of *v1beta1.SupportAccess) (access.Evidence, error) {
	e := access.Evidence{Access: of.Spec}
	if of.Status.Ended == nil {
		e.Passed = of.Status.Elapsed.Duration
	}
	var ticket v1beta1.SupportTicket
	switch err := reader.Get(ctx, client.ObjectKey{Namespace: of.Namespace, Name: v1beta1.ObjectName(of.Spec.Ticket)}, &ticket); {
	case err == nil:
		e.Ticket = &ticket
	case !apierrors.IsNotFound(err):
		return e, fmt.Errorf("read ticket %s: %w", of.Spec.Ticket, err)
	}
	var cluster v1beta1.ManagedCluster
	switch err := reader.Get(ctx, client.ObjectKey{Namespace: of.Namespace, Name: of.Spec.Cluster}, &cluster); {
	case err == nil:
		e.Cluster = &cluster
	case !apierrors.IsNotFound(err):
		return e, fmt.Errorf("read cluster %s: %w", of.Spec.Cluster, err)
	}
	return e, nil
}

// Plan reads ServicePolicy.
func Plan(ctx context.Context, reader client.Reader) (access.Plan, error) {
	var service v1beta1.ServicePolicy
	err := reader.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service)
	if client.IgnoreNotFound(err) != nil {
		return access.Plan{}, fmt.Errorf("read service policy: %w", err)
	}
	return access.Plans(service.Spec), nil
}
