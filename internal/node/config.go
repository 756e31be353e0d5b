package node

// DefaultConfigPath is where a machine finds its Config.
const DefaultConfigPath = "/etc/berth/machine/machine.json"

// The roles a machine can have.
const (
	// RoleManagement is the one machine of the embedded management cluster; its namespaces are made by its starter.
	RoleManagement = "management"
	// RoleAgent is a node of a managed cluster, running in a privileged pod.
	RoleAgent = "agent"
)

// Config is everything a machine is told. It is read once at boot from DefaultConfigPath; a change needs a new machine.
type Config struct {
	// Role is RoleManagement or RoleAgent.
	Role string `json:"role"`
	// NodeName is the name of the Node object, and the machine's host name.
	NodeName string `json:"nodeName"`
	// KubernetesVersion is the version of the kubelet in the root file system, without a leading v: 1.37.2.
	KubernetesVersion string `json:"kubernetesVersion"`
	// ClusterDomain is the DNS suffix of Services; empty means cluster.local.
	ClusterDomain string `json:"clusterDomain,omitempty"`
	// ClusterDNS is the address of the cluster's DNS service; empty where the cluster has none.
	ClusterDNS string `json:"clusterDNS,omitempty"`
	// MaxPods is the number of pods the node accepts; 0 means 110.
	MaxPods int32 `json:"maxPods,omitempty"`
	// Labels are put on the Node at registration. Those that NodeRestriction forbids a kubelet to set are left to the
	// controllers and are not passed on.
	Labels map[string]string `json:"labels,omitempty"`
	// Taints are put on the Node at registration, each as key=value:effect or key:effect.
	Taints []string `json:"taints,omitempty"`
	// CPUs is the number of processors the node reports; 0 means what the host has.
	CPUs int `json:"cpus,omitempty"`
	// MemoryMiB is the memory the node reports, in MiB; 0 means what the host has.
	MemoryMiB int64 `json:"memoryMiB,omitempty"`
	// KubeconfigFile is a ready-made kubeconfig of the kubelet; empty means TLS bootstrap.
	KubeconfigFile string `json:"kubeconfigFile,omitempty"`
	// BootstrapKubeconfigFile is the kubeconfig with the bootstrap token; needed where KubeconfigFile is empty.
	BootstrapKubeconfigFile string `json:"bootstrapKubeconfigFile,omitempty"`
	// ClientCAFile holds the CA of those who may call the kubelet.
	ClientCAFile string `json:"clientCAFile"`
	// StaticPodDir is where the kubelet finds static pods; for the management machine only.
	StaticPodDir string `json:"staticPodDir,omitempty"`
	// Registry says where images named registry.berth.internal/… come from.
	Registry Registry `json:"registry"`
	// AdminUsername is the account that SSHAuthorizedKeys open.
	AdminUsername string `json:"adminUsername,omitempty"`
	// SSHAuthorizedKeys are OpenSSH public keys; without any there is no SSH server.
	SSHAuthorizedKeys []string `json:"sshAuthorizedKeys,omitempty"`
	// PatchesItself has an agent install the patches of its operating system once a day (AKS:
	// nodeOSUpgradeChannel Unmanaged).
	PatchesItself bool `json:"patchesItself,omitempty"`
	// ProviderID is the Node's spec.providerID.
	ProviderID string `json:"providerID,omitempty"`
}

// Registry says where the images named registry.berth.internal are served.
type Registry struct {
	// Address is the URL of the registry, e.g. https://100.65.3.7:5000; empty where every image is baked in.
	Address string `json:"address,omitempty"`
	// CAFile holds the CA of the registry's certificate; empty means the system's.
	CAFile string `json:"caFile,omitempty"`
}
