package machine

import (
	"context"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/tenant"
)

// TenantRequest names a certificate signing request of a tenant's cluster.
type TenantRequest struct {
	ClusterID string
	Name      string
}

// Approver rules on the certificate signing requests of tenant clusters.
type Approver struct {
	client client.Client
	reader client.Reader
	Config
}

// NewApprover returns an Approver that looks machines up with c and, before it
// denies, with reader, which must not be a cache.
func NewApprover(c client.Client, reader client.Reader, config Config) *Approver {
	return &Approver{client: c, reader: reader, Config: config.withDefaults()}
}

// Reconcile rules on one request.
func (a *Approver) Reconcile(ctx context.Context, name TenantRequest) (ctrl.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	tenantClient, err := a.Tenants.Client(ctx, name.ClusterID)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("rule on request %s: %w", name.Name, err)
	}
	request := &certificatesv1.CertificateSigningRequest{}
	if err := tenantClient.Get(ctx, client.ObjectKey{Name: name.Name}, request); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	ruling, err := a.rule(ctx, name.ClusterID, request)
	if err != nil {
		return ctrl.Result{}, err
	}
	switch ruling.Verdict {
	case Ignore:
		return ctrl.Result{}, nil
	case Defer:
		return ctrl.Result{RequeueAfter: noTenantAgain}, nil
	}
	record(request, ruling, metav1.NewTime(a.Now()))
	err = tenantClient.SubResource("approval").Update(ctx, request)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		// Somebody else touched it; its change is an event of its own.
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("rule on request %s: %w", name.Name, err)
	}
	log.FromContext(ctx).Info("certificate signing request", "verdict", ruling.Verdict, "requester", request.Spec.Username, "reason", ruling.Message)
	return ctrl.Result{}, nil
}

// rule denies only on what is surely current: a denial is final, and the cache
// may not have seen a machine that exists.
func (a *Approver) rule(ctx context.Context, clusterID string, request *certificatesv1.CertificateSigningRequest) (Ruling, error) {
	if ruling := Rule(request, nil); ruling.Verdict == Ignore {
		return ruling, nil
	}
	var ruling Ruling
	for _, reader := range []client.Reader{a.client, a.reader} {
		joiners, err := a.joiners(ctx, reader, clusterID, request.Spec.SignerName == certificatesv1.KubeletServingSignerName)
		if err != nil {
			return Ruling{}, err
		}
		if ruling = Rule(request, joiners); ruling.Verdict != Deny {
			return ruling, nil
		}
	}
	return ruling, nil
}

func (a *Approver) joiners(ctx context.Context, reader client.Reader, clusterID string, addresses bool) ([]Joiner, error) {
	machines, err := machinesOf(ctx, reader, clusterID)
	if err != nil {
		return nil, err
	}
	joiners := make([]Joiner, 0, len(machines))
	for _, object := range machines {
		joiner := Joiner{
			NodeName: object.Spec.NodeName,
			TokenID:  object.Status.BootstrapTokenID,
			Leaving:  !object.DeletionTimestamp.IsZero(),
			Address:  object.Status.Address,
		}
		if addresses && joiner.Address == "" {
			seen, err := a.Provider.Observe(ctx, machine.Ref{ClusterID: clusterID, Name: object.Spec.NodeName})
			if err != nil {
				return nil, err
			}
			joiner.Address = seen.Address
		}
		joiners = append(joiners, joiner)
	}
	return joiners, nil
}

// machinesOf lists the Machines of a cluster. The label that finds them is not
// trusted to be right.
func machinesOf(ctx context.Context, reader client.Reader, clusterID string) ([]v1beta1.Machine, error) {
	var list v1beta1.MachineList
	if err := reader.List(ctx, &list, client.MatchingLabels{v1beta1.LabelClusterID: clusterID}); err != nil {
		return nil, fmt.Errorf("list machines of cluster %s: %w", clusterID, err)
	}
	var machines []v1beta1.Machine
	for _, object := range list.Items {
		if object.Spec.ClusterID == clusterID {
			machines = append(machines, object)
		}
	}
	return machines, nil
}

func record(request *certificatesv1.CertificateSigningRequest, ruling Ruling, now metav1.Time) {
	kind := certificatesv1.CertificateApproved
	if ruling.Verdict == Deny {
		kind = certificatesv1.CertificateDenied
	}
	request.Status.Conditions = append(request.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: kind, Status: corev1.ConditionTrue, Reason: ruling.Reason, Message: ruling.Message, LastUpdateTime: now,
	})
}

// Keeper watches the tenant cluster of every ManagedCluster while its API server
// can answer.
type Keeper struct {
	client  client.Client
	watches *tenant.Watches
}

// NewKeeper returns a Keeper.
func NewKeeper(c client.Client, watches *tenant.Watches) *Keeper {
	return &Keeper{client: c, watches: watches}
}

// Reconcile starts or stops the watch of one cluster.
func (k *Keeper) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	cluster := &v1beta1.ManagedCluster{}
	if err := k.client.Get(ctx, request.NamespacedName, cluster); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	switch {
	case cluster.Spec.ID == "":
	case !cluster.DeletionTimestamp.IsZero(), cluster.Status.APIServerReady == nil && poweredOff(cluster):
		k.watches.Stop(cluster.Spec.ID)
	case cluster.Status.APIServerReady != nil:
		k.watches.Keep(cluster.Spec.ID)
	}
	return ctrl.Result{}, nil
}
