package controlplane

import (
	"fmt"
	"net/netip"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1beta1"
)

// The ports of a hosted control plane.
const (
	APIServerPort    = 6443
	KonnectivityPort = 8132
	EtcdPort         = 2379

	etcdMetricsPort        = 2381
	etcdLivezPort          = 2382
	konnectivityHealthPort = 8134
)

// The names of the objects in a control plane's namespace.
const (
	APIServerService   = "kube-apiserver"
	EtcdService        = "etcd"
	EtcdStatefulSet    = "etcd"
	KubeDeployment     = "kube"
	KubeConfigMap      = "kube"
	RootsSecret        = "ca"
	EtcdSecret         = "etcd"
	KubeSecret         = "kube"
	KonnectivitySecret = "konnectivity-server"
	// MetricsSecret holds server.crt and server.key of the metrics-server inside the cluster.
	MetricsSecret = "metrics-server"

	// ControllerKubeconfig is for Berth's own controllers: it dials the ClusterIP.
	ControllerKubeconfig = "controller-kubeconfig"
	// AdminKubeconfig and UserKubeconfig are what customers get: they dial the gateway.
	AdminKubeconfig = "admin-kubeconfig"
	UserKubeconfig  = "user-kubeconfig"
	// KubeconfigKey is the key of the file in the three Secrets above.
	KubeconfigKey = "kubeconfig"
)

// AnnotationOwner carries the namespace and name of the ManagedCluster that an
// object was made for. Owner references cannot cross namespaces.
const AnnotationOwner = "berth.dev/managed-cluster"

// LabelComponent tells the pods of a control plane apart: ComponentKube and
// ComponentEtcd run as long as the cluster does.
const LabelComponent = "berth.dev/component"

// The identities that a control plane's certificates carry.
const (
	// PlatformUser is Berth itself inside a customer's cluster (AKS: monitor-aks).
	PlatformUser = "aksService"
	// SupportGroup is that of support's engineers inside a customer's cluster (C7). It has no
	// rights: it is there for the audit log.
	SupportGroup = "aks-service"
	// KubeletClientUser is the API server when it calls a kubelet.
	KubeletClientUser = "kube-apiserver-kubelet-client"
	// KonnectivityUser is the tunnel server when it checks an agent's token.
	KonnectivityUser = "system:konnectivity-server"
	// KonnectivityAudience is what an agent's token must be made for.
	KonnectivityAudience = "system:konnectivity-server"

	mastersGroup = "system:masters"
	adminUser    = "masterclient"
)

// Images are the images of a control plane's containers.
type Images struct {
	Kube, Etcd, KonnectivityServer string
	// EtcdSnapshot is of the program that saves and restores what etcd holds.
	EtcdSnapshot string
}

// Input is all that a control plane depends on.
type Input struct {
	// ID is ManagedCluster.spec.id, ResourceGroup and ClusterName the ARM names.
	ID, ResourceGroup, ClusterName string
	// Owner is the ManagedCluster. Every object carries it in AnnotationOwner.
	Owner  types.NamespacedName
	Images Images
	// FQDN is the name that customers know the API server by.
	FQDN string
	// GatewayURL is what customers' kubeconfigs dial.
	GatewayURL string
	// APIServerAddress and EtcdAddress are the ClusterIPs of the Services; empty
	// only for Foundation.
	APIServerAddress, EtcdAddress string
	PodCIDR, ServiceCIDR          string
	// Members is how many pods run etcd if it is highly available, each as a member with
	// an address of its own in MemberAddresses, which has Replicas of them; zero for the
	// one member of the tier Free.
	Members         int32
	MemberAddresses []string
	// MemberRevision is SecretRevision for what the members mount.
	MemberRevision string
	// Joining are the ordinals of etcd's members while one of them has no data yet. An
	// etcd without data joins only then.
	Joining []int32
	// Replicated: API servers, controller-managers and schedulers run in Replicas
	// replicas and dial every member. Recreate: their pods end before others start.
	Replicated, Recreate bool
	// PrivateRanges are the addresses of the management side, which machines may
	// not reach (CIDRs).
	PrivateRanges []string
	// NoEgress: machines reach nothing outside the cluster but what nodes need (I3).
	NoEgress bool
	// Stopped leaves nothing running: everything that a start needs is kept (J1).
	Stopped bool
	// EtcdLast keeps etcd in spite of Stopped: an API server that ends still writes.
	EtcdLast bool
	// KubeStays keeps the API servers in spite of Stopped: they wait for their etcd.
	KubeStays bool
	// Trial is the image of an API server that runs beside the control plane while it
	// is replaced by another version; empty for none.
	Trial string
	// TrialServes sends clients to that API server.
	TrialServes bool
	// Initialized: etcd has had data, so that it must not start without.
	Initialized bool
	// BackupAddress is where Berth gives backups back inside the management cluster, and
	// BackupCA the authority of its certificate, PEM.
	BackupAddress, BackupCA string
	// SecretRevision changes when a Secret that the pods mount does, and so rolls them.
	SecretRevision string
}

// DefaultPrivateRanges are the ranges of the embedded management cluster and the
// link-local range, where clouds keep their metadata service.
func DefaultPrivateRanges() []string { return []string{"100.64.0.0/10", "169.254.0.0/16"} }

// FQDN is the name of a cluster's API server:
// <dnsPrefix>-<first 8 of id>.hcp.<location>.berth.internal.
func FQDN(spec *v1beta1.ManagedClusterSpec) string {
	short := spec.ID
	if len(short) > 8 {
		short = short[:8]
	}
	location := strings.ToLower(strings.ReplaceAll(spec.Location, " ", ""))
	return fmt.Sprintf("%s-%s.hcp.%s.berth.internal", strings.ToLower(spec.DNSPrefix), short, location)
}

func (in Input) namespace() string        { return v1beta1.ControlPlaneNamespace(in.ID) }
func (in Input) machineNamespace() string { return v1beta1.MachineNamespace(in.ID) }

// replicas is how many pods there are of something that is to be there so many times.
func replicas(stopped bool, wanted int32) *int32 {
	if stopped {
		return ptr(int32(0))
	}
	return ptr(max(wanted, 1))
}

func (in Input) kubeReplicas() int32 {
	if in.Replicated {
		return Replicas
	}
	return 1
}

func (in Input) labels() map[string]string {
	return map[string]string{v1beta1.LabelClusterID: in.ID}
}

func (in Input) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: in.namespace(), Name: name, Labels: in.labels(),
		Annotations: map[string]string{AnnotationOwner: in.Owner.String()},
	}
}

// OwnerOf reads AnnotationOwner back. The boolean is false when an object carries none.
func OwnerOf(object metav1.Object) (types.NamespacedName, bool) {
	namespace, name, ok := strings.Cut(object.GetAnnotations()[AnnotationOwner], string(types.Separator))
	return types.NamespacedName{Namespace: namespace, Name: name}, ok
}

func (in Input) componentLabels(component string) map[string]string {
	labels := in.labels()
	labels[LabelComponent] = component
	return labels
}

// firstServiceIP is the address of the Service kubernetes inside the cluster.
func (in Input) firstServiceIP() (string, error) {
	prefix, err := netip.ParsePrefix(in.ServiceCIDR)
	if err != nil {
		return "", fmt.Errorf("service CIDR: %w", err)
	}
	return prefix.Masked().Addr().Next().String(), nil
}
