package cluster

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
)

// secrets stores the cluster's roots of trust, once, and the certificates below
// them, whenever what is stored no longer fits.
func (r *reconciler) secrets(ctx context.Context, p *pass) (bool, error) {
	stored, err := r.storedSecrets(ctx, p.cluster)
	if err != nil {
		return false, err
	}
	roots, err := r.roots(ctx, p, stored[controlplane.RootsSecret])
	if errors.Is(err, errRootsLost) {
		r.events.Event(p.cluster, corev1.EventTypeWarning, "RootsOfTrustLost", "Change", err.Error())
	}
	if err != nil {
		return false, err
	}
	plans, err := controlplane.Plans(p.input, roots)
	if err != nil {
		return false, err
	}
	for _, plan := range plans {
		if plan.Current(stored[plan.Name], p.now) {
			continue
		}
		made, err := r.issue(ctx, plan, stored[plan.Name], p)
		if err != nil {
			return false, err
		}
		stored[plan.Name] = made
		if plan.Name == controlplane.ControllerKubeconfig {
			// Whoever has a client has one with the certificate from before.
			r.Tenants.Drop(p.cluster.Spec.ID)
		}
	}
	p.input.SecretRevision = controlplane.Revision(roots,
		stored[controlplane.EtcdSecret], stored[controlplane.KubeSecret], stored[controlplane.KonnectivitySecret])
	if members := stored[controlplane.MembersSecret]; members != nil && p.input.Members > 0 {
		p.input.MemberRevision = controlplane.Revision(roots, members)
	}
	return true, nil
}

func (r *reconciler) storedSecrets(ctx context.Context, cluster *v1beta1.ManagedCluster) (map[string]*corev1.Secret, error) {
	var list corev1.SecretList
	if err := r.reader.List(ctx, &list, client.InNamespace(namespaceOf(cluster))); err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	stored := make(map[string]*corev1.Secret, len(list.Items))
	for i := range list.Items {
		stored[list.Items[i].Name] = &list.Items[i]
	}
	return stored, nil
}

// errRootsLost says that the roots are gone of a cluster that has come up: its nodes and its
// users trust them, and Secrets in its etcd are encrypted with their key. New ones would
// end all of that, and what was lost could not be put back beside them.
var errRootsLost = fmt.Errorf("the roots of trust of a cluster that has come up are gone: nothing of it is changed until the operator has put back the secret %s", controlplane.RootsSecret)

// roots makes the roots if there are none, before the control plane has come up. Create
// never overwrites: if another process was first, its roots are read in the next pass.
func (r *reconciler) roots(ctx context.Context, p *pass, stored *corev1.Secret) (*controlplane.Roots, error) {
	if stored != nil {
		stored, err := r.rotateKeys(ctx, p, stored)
		if err != nil {
			return nil, err
		}
		return controlplane.LoadRoots(stored)
	}
	if p.cluster.Status.Initialized {
		return nil, errRootsLost
	}
	roots, err := controlplane.NewRoots(p.input.ID, p.now)
	if err != nil {
		return nil, err
	}
	if err := r.client.Create(ctx, roots.Secret(p.input)); err != nil {
		return nil, fmt.Errorf("store roots of trust: %w", err)
	}
	return roots, nil
}

func (r *reconciler) issue(ctx context.Context, plan controlplane.Plan, stored *corev1.Secret, p *pass) (*corev1.Secret, error) {
	secret, err := plan.Issue(p.now)
	if err != nil {
		return nil, err
	}
	if stored == nil {
		err = r.client.Create(ctx, secret)
	} else {
		secret.ResourceVersion = stored.ResourceVersion
		err = r.client.Update(ctx, secret)
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("store secret %s: %w", plan.Name, err)
	}
	return secret, err
}
