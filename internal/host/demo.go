package host

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// The first cluster and what runs in it.
const (
	demoGroup    = "demo"
	demoCluster  = "demo"
	demoPool     = "nodepool1"
	demoVMSize   = "Standard_D2s_v5"
	demoWorkload = "demo"
	demoPort     = 8080

	demoPatience     = 10 * time.Minute
	workloadPatience = 5 * time.Minute
)

// demo makes the cluster "demo" as any customer would, over ARM, and shows that a
// workload in it answers.
func (u *upper) demo(ctx context.Context) error {
	clients, err := newARMClients(u.paths, u.instance)
	if err != nil {
		return err
	}
	if err := u.demoCluster(ctx, clients); err != nil {
		return fmt.Errorf("cluster %s: %w", demoCluster, err)
	}
	tenant, err := demoTenant(ctx, clients)
	if err != nil {
		return fmt.Errorf("cluster %s: %w", demoCluster, err)
	}
	answer, err := u.demoWorkload(ctx, tenant)
	if err != nil {
		return fmt.Errorf("workload %s: %w", demoWorkload, err)
	}
	u.step("its workload answers: %s", answer)
	return nil
}

// demoCluster asks for the cluster unless it is there, and waits until it is done.
func (u *upper) demoCluster(ctx context.Context, clients *armClients) error {
	location := u.instance.Locations[0]
	_, err := clients.clusters.Get(ctx, demoGroup, demoCluster, nil)
	if notFound(err) {
		u.step("creating cluster %q in resource group %q", demoCluster, demoGroup)
		if _, err := clients.groups.CreateOrUpdate(ctx, demoGroup, armresources.ResourceGroup{Location: &location}, nil); err != nil {
			return fmt.Errorf("create resource group %s: %w", demoGroup, err)
		}
		_, err = clients.clusters.BeginCreateOrUpdate(ctx, demoGroup, demoCluster, demoDefinition(location), nil)
	}
	if err != nil {
		return err
	}
	err = await(ctx, "its creation", demoPatience, func(ctx context.Context) (string, error) {
		got, err := clients.clusters.Get(ctx, demoGroup, demoCluster, nil)
		if err != nil || got.Properties == nil || got.Properties.ProvisioningState == nil {
			return "it has no provisioning state", err
		}
		switch state := v1beta1.ProvisioningState(*got.Properties.ProvisioningState); state {
		case v1beta1.StateSucceeded:
			return "", nil
		case v1beta1.StateFailed, v1beta1.StateCanceled:
			return "", fatalError{fmt.Errorf("it is %s: \"berth cluster show -g %s -n %s\" says why", state, demoGroup, demoCluster)}
		default:
			return "it is " + string(state), nil
		}
	})
	if err != nil {
		return err
	}
	u.step("cluster %q is ready", demoCluster)
	return nil
}

func demoDefinition(location string) armcontainerservice.ManagedCluster {
	pool, size, prefix := demoPool, demoVMSize, demoCluster
	one := int32(1)
	mode, identity := armcontainerservice.AgentPoolModeSystem, armcontainerservice.ResourceIdentityTypeSystemAssigned
	return armcontainerservice.ManagedCluster{
		Location: &location,
		Identity: &armcontainerservice.ManagedClusterIdentity{Type: &identity},
		Properties: &armcontainerservice.ManagedClusterProperties{
			DNSPrefix: &prefix,
			AgentPoolProfiles: []*armcontainerservice.ManagedClusterAgentPoolProfile{
				{Name: &pool, Count: &one, VMSize: &size, Mode: &mode},
			},
		},
	}
}

// demoTenant is a client of the demo cluster, by the credentials that ARM gives and the gateway.
func demoTenant(ctx context.Context, clients *armClients) (*cluster, error) {
	credentials, err := clients.clusters.ListClusterAdminCredentials(ctx, demoGroup, demoCluster, nil)
	if err != nil {
		return nil, fmt.Errorf("list credentials: %w", err)
	}
	if len(credentials.Kubeconfigs) == 0 {
		return nil, errors.New("list credentials: there are none")
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(credentials.Kubeconfigs[0].Value)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register kinds: %w", err)
	}
	made, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", config.Host, err)
	}
	return &cluster{Client: made, config: config}, nil
}

// demoWorkload runs the demo's web server and returns the first line that it
// answers through the API server's proxy.
func (u *upper) demoWorkload(ctx context.Context, tenant *cluster) (string, error) {
	if err := tenant.apply(ctx, demoObjects(u.artifacts.Catalogue.Images["demo"])...); err != nil {
		return "", err
	}
	if err := await(ctx, "its pods", workloadPatience, tenant.deployed(metav1.NamespaceDefault, demoWorkload)); err != nil {
		return "", err
	}
	typed, err := kubernetes.NewForConfig(tenant.config)
	if err != nil {
		return "", fmt.Errorf("client for %s: %w", tenant.config.Host, err)
	}
	var answer string
	err = await(ctx, "its answer", workloadPatience, func(ctx context.Context) (string, error) {
		raw, err := typed.CoreV1().Services(metav1.NamespaceDefault).ProxyGet("http", demoWorkload, "http", "/", nil).DoRaw(ctx)
		answer, _, _ = strings.Cut(strings.TrimSpace(string(raw)), "\n")
		return "", err
	})
	return answer, err
}

func demoObjects(image string) []client.Object {
	labels := map[string]string{"app": demoWorkload}
	meta := metav1.ObjectMeta{Name: demoWorkload, Namespace: metav1.NamespaceDefault, Labels: labels}
	one := int32(1)
	return []client.Object{
		&appsv1.Deployment{
			TypeMeta:   metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "Deployment"},
			ObjectMeta: meta,
			Spec: appsv1.DeploymentSpec{
				Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels},
					Spec: corev1.PodSpec{Containers: []corev1.Container{{
						Name: demoWorkload, Image: image, Args: []string{"serve"},
						Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: demoPort}},
					}}},
				},
			},
		},
		&corev1.Service{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
			ObjectMeta: meta,
			Spec: corev1.ServiceSpec{
				Selector: labels,
				Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}},
			},
		},
	}
}

func notFound(err error) bool {
	var response *azcore.ResponseError
	return errors.As(err, &response) && response.StatusCode == http.StatusNotFound
}

// next prints what to type now: lines that work as they stand on a machine that
// has neither kubectl nor az yet.
func (u *upper) next() {
	stateDir := ""
	if u.paths.State != DefaultStateDir {
		stateDir = " --state-dir " + u.paths.State
	}
	u.say("\nBerth is up. What to type next:\n")
	if filepath.Base(u.artifacts.Dir) == "build" {
		u.say("    export PATH=%s:$PATH", filepath.Join(u.artifacts.Dir, "bin"))
	}
	u.say("    eval \"$(berth env%s)\"", stateDir)
	if _, err := exec.LookPath("az"); err != nil {
		u.say("    apt-get install azure-cli")
	}
	u.say("    berth login az")
	u.say("    az aks list -o table")
	if u.Demo {
		u.say("    az aks get-credentials -g %s -n %s --admin", demoGroup, demoCluster)
		u.say("    kubectl get nodes")
	} else {
		u.say("    az group create -n my -l %s", u.instance.Locations[0])
		u.say("    az aks create -g my -n first --node-count 1 --no-ssh-key")
	}
	u.say("\n    berth status%s", stateDir)
	if u.keyDrawn {
		u.say("\nKeep a copy of %s on another machine: without it nobody\ncan restore Berth and its clusters when this one is lost.", u.paths.recoveryKey())
	}
	u.say("    berth down%s\n", stateDir)
}
