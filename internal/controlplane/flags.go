package controlplane

import "fmt"

// Where the kube container finds its files.
const (
	dirPKI             = "/etc/berth/pki"
	dirConfig          = "/etc/berth/config"
	dirAudit           = "/var/log/kubernetes"
	dirKonnectivity    = "/run/konnectivity"
	konnectivitySocket = dirKonnectivity + "/server.sock"
)

// The free tier's share of requests in flight (AKS: limits). Other tiers get
// Kubernetes' own.
const (
	freeMutatingInflight = 50
	freeReadInflight     = 100
)

// flags keep the order that they are written in, which makes the rendered
// command line readable and stable.
type flags []string

func (f *flags) set(name, value string) { *f = append(*f, "--"+name+"="+value) }

// kubeCommand is the command line of the three programs in one process.
func kubeCommand(in Input) []string {
	command := []string{"control-plane"}
	command = append(command, apiServerFlags(in)...)
	command = append(command, "--")
	command = append(command, controllerManagerFlags(in)...)
	command = append(command, "--")
	return append(command, schedulerFlags(in)...)
}

func apiServerFlags(in Input) flags {
	var f flags
	f.set("advertise-address", in.APIServerAddress)
	f.set("secure-port", fmt.Sprint(APIServerPort))
	f.set("tls-cert-file", dirPKI+"/apiserver.crt")
	f.set("tls-private-key-file", dirPKI+"/apiserver.key")
	f.set("service-cluster-ip-range", in.ServiceCIDR)
	f.set("profiling", "false")
	f.set("event-ttl", "1h")
	f.set("allow-privileged", "true")
	// Without it an API server that is told to end waits a minute for watches that nobody tells to end.
	f.set("shutdown-watch-termination-grace-period", "2s")
	f.storage(in)
	f.access(in)
	f.reachNodes()
	f.audit()
	if !in.Replicated {
		f.set("max-mutating-requests-inflight", fmt.Sprint(freeMutatingInflight))
		f.set("max-requests-inflight", fmt.Sprint(freeReadInflight))
	}
	return f
}

func (f *flags) storage(in Input) {
	f.set("etcd-servers", in.etcdServers())
	f.set("etcd-cafile", dirPKI+"/etcd-ca.crt")
	f.set("etcd-certfile", dirPKI+"/apiserver-etcd-client.crt")
	f.set("etcd-keyfile", dirPKI+"/apiserver-etcd-client.key")
	f.set("encryption-provider-config", dirPKI+"/"+keyEncryption)
}

func (f *flags) access(in Input) {
	f.set("client-ca-file", dirPKI+"/ca.crt")
	f.set("authentication-config", dirConfig+"/"+fileAuthentication)
	f.set("authorization-mode", "Node,RBAC")
	f.set("enable-admission-plugins", "NodeRestriction")
	f.set("enable-bootstrap-token-auth", "true")
	f.set("service-account-issuer", "https://"+in.FQDN)
	f.set("service-account-key-file", dirPKI+"/"+keySAPublic)
	f.set("service-account-signing-key-file", dirPKI+"/"+keySAKey)
	f.set("requestheader-client-ca-file", dirPKI+"/"+keyFrontProxyCACert)
	f.set("requestheader-allowed-names", frontProxyUser)
	f.set("requestheader-username-headers", "X-Remote-User")
	f.set("requestheader-group-headers", "X-Remote-Group")
	f.set("requestheader-extra-headers-prefix", "X-Remote-Extra-")
	f.set("proxy-client-cert-file", dirPKI+"/front-proxy-client.crt")
	f.set("proxy-client-key-file", dirPKI+"/front-proxy-client.key")
}

// reachNodes: extension API servers are dialled at their pods' addresses, so that
// they answer even where a customer's own CNI does without kube-proxy.
func (f *flags) reachNodes() {
	f.set("egress-selector-config-file", dirConfig+"/"+fileEgress)
	f.set("enable-aggregator-routing", "true")
	f.set("kubelet-client-certificate", dirPKI+"/kubelet-client.crt")
	f.set("kubelet-client-key", dirPKI+"/kubelet-client.key")
	f.set("kubelet-certificate-authority", dirPKI+"/ca.crt")
	f.set("kubelet-preferred-address-types", "InternalIP")
}

func (f *flags) audit() {
	f.set("audit-policy-file", dirConfig+"/"+fileAudit)
	f.set("audit-log-path", dirAudit+"/audit.log")
	f.set("audit-log-mode", "batch")
	f.set("audit-log-maxsize", "25")
	f.set("audit-log-maxbackup", "2")
}

// controllerManagerFlags: kubelets' requests for certificates are approved by
// Berth, for machines that exist, and only signed here. A single replica needs no
// leader election, and nobody scrapes a port of its own. Each of its forty controllers
// asks for an account and a token at the start: at the default rate of 20 requests a second
// that alone takes four seconds, in which no node can join.
func controllerManagerFlags(in Input) flags {
	var f flags
	f.set("kubeconfig", dirPKI+"/controller-manager.kubeconfig")
	f.set("secure-port", "0")
	f.set("leader-elect", fmt.Sprint(in.Replicated))
	f.set("profiling", "false")
	f.set("use-service-account-credentials", "true")
	f.set("kube-api-qps", "100")
	f.set("kube-api-burst", "200")
	f.set("service-account-private-key-file", dirPKI+"/"+keySAKey)
	f.set("root-ca-file", dirPKI+"/ca.crt")
	f.set("cluster-signing-cert-file", dirPKI+"/ca.crt")
	f.set("cluster-signing-key-file", dirPKI+"/ca.key")
	f.set("controllers", "*,token-cleaner-controller,-certificatesigningrequest-approving-controller")
	f.set("allocate-node-cidrs", "true")
	f.set("cluster-cidr", in.PodCIDR)
	f.set("service-cluster-ip-range", in.ServiceCIDR)
	f.set("node-cidr-mask-size", "24")
	f.set("configure-cloud-routes", "false")
	return f
}

// schedulerFlags: the two further kubeconfigs are what the multi-call binary
// waits for the API server with.
func schedulerFlags(in Input) flags {
	var f flags
	kubeconfig := dirPKI + "/scheduler.kubeconfig"
	f.set("kubeconfig", kubeconfig)
	f.set("authentication-kubeconfig", kubeconfig)
	f.set("authorization-kubeconfig", kubeconfig)
	f.set("secure-port", "0")
	f.set("leader-elect", fmt.Sprint(in.Replicated))
	f.set("profiling", "false")
	return f
}
