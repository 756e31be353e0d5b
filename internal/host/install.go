package host

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/crd"
	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/install"
	"berth.dev/berth/internal/network"
	"berth.dev/berth/internal/registry"
)

// fillRegistry begins to put the images that machines pull where Berth's
// registry has its content, beside its server. On one file system they are linked, not copied.
func (u *upper) fillRegistry(ctx context.Context) error {
	store, err := registry.New(registry.Config{Dir: u.paths.machine("registry")})
	if err != nil {
		return err
	}
	u.images.Go(func() error {
		_, err := store.Seed(ctx, u.artifacts.images())
		return err
	})
	return nil
}

// installCluster applies what makes the machine a usable cluster.
func (u *upper) installCluster(ctx context.Context) error {
	catalogue := u.artifacts.Catalogue
	objects := kubeProxyObjects(catalogue.DefaultRelease().KubeImage)
	agent, err := agentObjects(catalogue.Images["berth-node"])
	if err != nil {
		return err
	}
	objects = append(objects, agent...)
	objects = append(objects, nodeRenewal())
	if err := u.applyPatiently(ctx, objects); err != nil {
		return u.explain(err)
	}
	if err := u.applyKinds(ctx); err != nil {
		return err
	}
	if err := await(ctx, "the node", nodePatience, u.cluster.nodeReady); err != nil {
		return u.explain(err)
	}
	u.step("its node is ready")
	return nil
}

// applyPatiently applies objects, again while the new API server does not yet
// know its own groups, priorities and roles.
func (u *upper) applyPatiently(ctx context.Context, objects []client.Object) error {
	return await(ctx, "the first objects", nodePatience, func(ctx context.Context) (string, error) {
		return "", u.cluster.apply(ctx, objects...)
	})
}

// nodeRenewal lets the machine's kubelet renew its own certificate.
func nodeRenewal() client.Object {
	return &rbacv1.ClusterRoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: "berth:node-certificate-renewal"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole",
			Name: "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "system:nodes"}},
	}
}

// applyKinds applies the CRDs and waits until they are served.
func (u *upper) applyKinds(ctx context.Context) error {
	manifests, err := crd.Manifests()
	if err != nil {
		return err
	}
	var names []string
	for _, manifest := range manifests {
		if err := u.cluster.apply(ctx, manifest); err != nil {
			return err
		}
		names = append(names, manifest.Name)
	}
	return await(ctx, "Berth's kinds", nodePatience, u.cluster.established(names))
}

// installBerth applies Berth itself and waits until it answers.
func (u *upper) installBerth(ctx context.Context) error {
	config, err := u.installConfig()
	if err != nil {
		return err
	}
	if err := u.images.Wait(); err != nil {
		return err
	}
	if err := u.cluster.apply(ctx, install.Objects(config)...); err != nil {
		return err
	}
	if err := await(ctx, "the network agent", rolloutPatience, u.cluster.rolledOut(metav1.NamespaceSystem, network.Name)); err != nil {
		return u.explain(err)
	}
	if err := await(ctx, "Berth", rolloutPatience, u.cluster.deployed(install.Namespace, install.Name)); err != nil {
		return u.explain(err)
	}
	if err := u.cluster.apply(ctx, install.Webhooks(config)...); err != nil {
		return err
	}
	if err := await(ctx, "https://"+ARMAddress, rolloutPatience, u.armAnswers); err != nil {
		return u.explain(err)
	}
	u.step("Berth answers at https://%s", ARMAddress)
	return nil
}

func (u *upper) installConfig() (install.Config, error) {
	catalogue, err := os.ReadFile(filepath.Join(u.artifacts.Dir, "catalogue.json"))
	if err != nil {
		return install.Config{}, fmt.Errorf("read release catalogue: %w", err)
	}
	management, err := managementBackup(u.paths, u.publicKey)
	if err != nil {
		return install.Config{}, err
	}
	config := install.Config{
		Image:             u.artifacts.Catalogue.Images["berth"],
		PublicURL:         "https://" + ARMAddress,
		GatewayAddress:    GatewayAddress,
		ProxyProtocolFrom: []string{HostAddress + "/32"},
		Catalogue:         catalogue,
		CA:                u.keys.CA, Cert: u.keys.Cert, Key: u.keys.Key,
		Identity: install.Identity{
			TenantID: u.instance.TenantID, ClientID: u.instance.ClientID,
			ClientSecretHash: u.keys.ClientSecretHash, SigningKey: u.keys.SigningKey,
			UserName: UserName, UserPasswordHash: u.keys.UserPasswordHash, Engineers: u.keys.Engineers,
		},
		Registry: install.Registry{HostPath: registryInMachine, ClusterIP: registrySvcIP},

		BackupHostPath: backupsInMachine,
		Management:     management,
		NoClusterDNS:   true,
	}
	return config, config.Validate()
}

// armAnswers asks for a document that needs no login.
func (u *upper) armAnswers(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+ARMAddress+"/metadata/endpoints?api-version=2022-09-01", nil)
	if err != nil {
		return "", fatalError{err}
	}
	response, err := httpClient(u.keys.CA).Do(request)
	if err != nil {
		return "", err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "it answers " + response.Status, nil
	}
	return "", nil
}

// seed writes the operator's settings: the service policy and the subscription.
func (u *upper) seed(ctx context.Context) error {
	policy := &v1beta1.ServicePolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1beta1.GroupVersion.String(), Kind: "ServicePolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: v1beta1.ServicePolicyName},
		Spec:       v1beta1.ServicePolicySpec{Locations: u.instance.Locations},
	}
	subscription := &v1beta1.Subscription{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1beta1.GroupVersion.String(), Kind: "Subscription"},
		ObjectMeta: metav1.ObjectMeta{Name: u.instance.SubscriptionID},
		Spec: v1beta1.SubscriptionSpec{
			DisplayName: "Berth", TenantID: u.instance.TenantID, State: v1beta1.SubscriptionEnabled,
		},
	}
	namespace := &corev1.Namespace{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{
			Name:   v1beta1.SubscriptionNamespace(u.instance.SubscriptionID),
			Labels: map[string]string{v1beta1.LabelSubscription: u.instance.SubscriptionID},
		},
	}
	if err := u.cluster.apply(ctx, policy); err != nil {
		return err
	}
	// State is the operator's to change later, so an existing subscription stays as it is.
	var existing v1beta1.Subscription
	err := u.cluster.Get(ctx, client.ObjectKeyFromObject(subscription), &existing)
	if absent(err) {
		err = u.cluster.apply(ctx, subscription)
	}
	if err != nil {
		return fmt.Errorf("make subscription %s: %w", subscription.Name, err)
	}
	return u.cluster.apply(ctx, namespace)
}
