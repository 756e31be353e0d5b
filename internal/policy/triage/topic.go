package triage

import "slices"

// Topic is what a ticket is about: the name of a problem classification.
type Topic string

// The topics. Their order here is that of Topics.
const (
	APIServer         Topic = "api-server-connectivity"
	ControlPlane      Topic = "control-plane"
	ClusterOperations Topic = "cluster-operations"
	EtcdBackup        Topic = "etcd-backup"
	EtcdRestore       Topic = "etcd-restore"
	LoadBalancer      Topic = "load-balancer"
	Volumes           Topic = "persistent-volumes"
	Customising       Topic = "control-plane-customization"
	ManagedComponents Topic = "managed-components"
	DNS               Topic = "cluster-dns"
	PodNetwork        Topic = "pod-networking"
	Egress            Topic = "egress"
	NetworkPolicy     Topic = "network-policy"
	Ingress           Topic = "ingress"
	OwnCNI            Topic = "own-cni"
	Appliance         Topic = "network-appliance"
	PlatformFirewall  Topic = "platform-firewall"
	NodeNotReady      Topic = "node-not-ready"
	NodeImage         Topic = "node-image"
	NodeDiagnosis     Topic = "node-diagnosis"
	NodeTuning        Topic = "node-customization"
	NodeAccess        Topic = "node-access"
	NodeBaseImage     Topic = "node-base-image"
	NodeExtensions    Topic = "node-extensions"
	NodeResources     Topic = "node-resource-group"
	NodeIaaS          Topic = "node-iaas-changes"
	SystemMetadata    Topic = "system-metadata"
	SupportAccess     Topic = "support-access"
	HowTo             Topic = "kubernetes-how-to"
	Advice            Topic = "service-advice"
	OpenSource        Topic = "third-party-open-source"
	ClosedSource      Topic = "third-party-closed"
	Application       Topic = "application"
	Certificates      Topic = "application-certificates"
	Proactive         Topic = "proactive-help"
	Vulnerability     Topic = "vulnerability"
	Bespoke           Topic = "bespoke-code"
	Preview           Topic = "preview-feature"
	Alpha             Topic = "alpha-feature"
)

// Classification is a topic as customers choose it.
type Classification struct {
	Topic Topic
	// Title is for people.
	Title string
	// OfCluster says that it can only be answered of a certain cluster.
	OfCluster bool
}

// Topics are all classifications.
func Topics() []Classification { return slices.Clone(topics) }

var topics = []Classification{
	{APIServer, "Connectivity / Cannot reach the API server or another component of the service", true},
	{ControlPlane, "Control plane / It is down, slow or answers with errors", true},
	{ClusterOperations, "Cluster / Create, update, upgrade, scale, start, stop or delete fails", true},
	{EtcdBackup, "Data / Backups of etcd and disaster recovery", true},
	{EtcdRestore, "Data / Restore or roll back etcd at my request", true},
	{LoadBalancer, "Integration / Load balancers and Services", true},
	{Volumes, "Integration / Persistent volumes", true},
	{Customising, "Control plane / Customise the API server, etcd or CoreDNS", true},
	{ManagedComponents, "Cluster / An add-on or a component in kube-system", true},
	{DNS, "Networking / Name resolution in the cluster", true},
	{PodNetwork, "Networking / Packet loss, routing or latency between pods and Services", true},
	{Egress, "Networking / Connections out of the cluster", true},
	{NetworkPolicy, "Networking / Network policies", true},
	{Ingress, "Networking / Ingress", true},
	{OwnCNI, "Networking / My own CNI plugin", true},
	{Appliance, "Networking / VPN, firewall appliance or other customisation", true},
	{PlatformFirewall, "Networking / The platform's own firewall", true},
	{NodeNotReady, "Nodes / A node is NotReady or ill", true},
	{NodeImage, "Nodes / Security patches and node image upgrades", true},
	{NodeDiagnosis, "Nodes / Have support look into a node", true},
	{NodeTuning, "Nodes / My DaemonSet or script that customises nodes", true},
	{NodeAccess, "Nodes / Something that I changed while logged in to a node", true},
	{NodeBaseImage, "Nodes / Change the base image", true},
	{NodeExtensions, "Nodes / Change or add node extensions", true},
	{NodeResources, "Nodes / What is in the node resource group", true},
	{NodeIaaS, "Nodes / Change scale sets or machines through the IaaS APIs", true},
	{SystemMetadata, "Nodes / Change labels, tags or annotations that the system made", true},
	{SupportAccess, "Support / Access of support to my cluster", false},
	{HowTo, "Advice / How to use Kubernetes", false},
	{Advice, "Advice / Features of the service and how to tune them", false},
	{OpenSource, "Third party / Open source software", false},
	{ClosedSource, "Third party / Closed software, scanners and appliances", false},
	{Application, "Application / My application fails or cannot be deployed", true},
	{Certificates, "Application / Certificates of my applications", false},
	{Proactive, "Support / Have an engineer stand by", false},
	{Vulnerability, "Security / A scanner reports vulnerabilities", true},
	{Bespoke, "Support / Have code or scripts written", false},
	{Preview, "Features / A preview feature", true},
	{Alpha, "Features / An alpha feature of Kubernetes", false},
}

// Find returns the classification of a topic.
func Find(topic Topic) (Classification, bool) {
	i := slices.IndexFunc(topics, func(c Classification) bool { return c.Topic == topic })
	if i < 0 {
		return Classification{}, false
	}
	return topics[i], true
}

// Groups of topics that rows share.
var (
	// networking is what C6 covers, and what is the customer's with a CNI of their own.
	networking = []Topic{DNS, PodNetwork, Egress, NetworkPolicy, Ingress}
	// running is what can only be looked at while a cluster runs.
	running = []Topic{
		APIServer, ControlPlane, LoadBalancer, Volumes, ManagedComponents, DNS, PodNetwork, Egress, NetworkPolicy, Ingress,
		NodeNotReady, NodeDiagnosis, Application,
	}
	// kubernetes is what platform support leaves out: Kubernetes itself, and not the
	// platform below it.
	kubernetes = []Topic{APIServer, ControlPlane, Customising, ManagedComponents, DNS, PodNetwork, NetworkPolicy, Ingress, NodeNotReady, Advice, Application}
	// hooked is what an admission webhook that does not answer can break.
	hooked = []Topic{APIServer, ControlPlane, ClusterOperations, ManagedComponents, DNS, NodeNotReady, Application}
)
