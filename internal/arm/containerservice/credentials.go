package containerservice

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/controlplane"
)

// credential is one of the kubeconfigs that a cluster gives out.
type credential struct{ role, secret string }

var (
	adminRole = credential{"clusterAdmin", controlplane.AdminKubeconfig}
	userRole  = credential{"clusterUser", controlplane.UserKubeconfig}
)

func (p provider) adminCredential(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	return p.credentials(ctx, r, adminRole)
}

func (p provider) userCredential(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	if format := r.Query("format"); format != "" && !strings.EqualFold(format, "azure") && !strings.EqualFold(format, "exec") {
		return nil, arm.InvalidParameter("format", "The value of query parameter format is invalid. It must be azure or exec; both give the same kubeconfig, since this cluster logs in by certificate.")
	}
	return p.credentials(ctx, r, userRole)
}

func (p provider) credentials(ctx context.Context, r *arm.Request, of credential) (*arm.Response, error) {
	found, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	if fqdn := r.Query("server-fqdn"); fqdn != "" && !strings.EqualFold(fqdn, "public") && !strings.EqualFold(fqdn, found.cluster.Status.FQDN) {
		return nil, arm.InvalidParameter("server-fqdn", "The value of query parameter server-fqdn is invalid: the cluster has only its public name.")
	}
	kubeconfig, err := p.kubeconfig(ctx, found.cluster, of)
	if err != nil {
		return nil, err
	}
	return arm.OK(map[string]any{"kubeconfigs": []any{map[string]any{"name": of.role, "value": kubeconfig}}})
}

// kubeconfig reads what the control plane's controller wrote and points it to the
// gateway. Every credential is a client certificate, so a cluster without local
// accounts gives none.
func (p provider) kubeconfig(ctx context.Context, cluster *v1beta1.ManagedCluster, of credential) ([]byte, error) {
	if cluster.Spec.DisableLocalAccounts {
		return nil, arm.Errorf(http.StatusBadRequest, "BadRequest",
			"Getting static credential is not allowed because this cluster is set to disable local accounts.")
	}
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(cluster.Spec.ID), Name: of.secret}
	err := p.APIReader.Get(ctx, key, &secret)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read kubeconfig %s: %w", key, err)
	}
	if raw := secret.Data[controlplane.KubeconfigKey]; err == nil && len(raw) > 0 {
		return p.throughGateway(raw)
	}
	if !apierrors.IsNotFound(err) {
		p.Log.Warn("kubeconfig Secret is empty", "secret", key.String())
	}
	return nil, arm.Errorf(http.StatusConflict, "OperationNotAllowed",
		"Operation is not allowed: the credentials of cluster '%s' do not exist yet, its control plane is still being made.", cluster.Spec.Name)
}

func (p provider) throughGateway(raw []byte) ([]byte, error) {
	if p.GatewayAddress == "" {
		return raw, nil
	}
	config, err := clientcmd.Load(raw)
	if err != nil {
		return nil, fmt.Errorf("parse kubeconfig: %w", err)
	}
	for _, cluster := range config.Clusters {
		cluster.Server = "https://" + p.GatewayAddress
	}
	out, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("write kubeconfig: %w", err)
	}
	return out, nil
}

// accessProfile is the older way to a kubeconfig.
func (p provider) accessProfile(ctx context.Context, r *arm.Request) (*arm.Response, error) {
	found, err := p.require(ctx, r)
	if err != nil {
		return nil, err
	}
	for _, of := range []credential{adminRole, userRole} {
		if !strings.EqualFold(of.role, r.Parameter("role")) {
			continue
		}
		properties := map[string]any{}
		if r.Method == http.MethodPost {
			kubeconfig, err := p.kubeconfig(ctx, found.cluster, of)
			if err != nil {
				return nil, err
			}
			properties["kubeConfig"] = kubeconfig
		}
		return arm.OK(map[string]any{
			"id": clusterID(r, &found.cluster.Spec) + "/accessProfiles/" + of.role, "name": of.role, "type": clusterType + "/accessProfiles",
			"location": arm.NormalLocation(found.cluster.Spec.Location), "properties": properties,
		})
	}
	return nil, arm.ResourceNotFound(clusterType+"/accessProfiles", r.Parameter("role"), found.cluster.Spec.ResourceGroup)
}
