package node

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Where the kubelet's files are in a machine.
const (
	kubeletConfigPath     = "/etc/berth/kubelet.yaml"
	kubeletKubeconfigPath = "/var/lib/kubelet/kubeconfig"
	kubeletHealthz        = "http://127.0.0.1:10248/healthz"
	containerdSocket      = "/run/containerd/containerd.sock"
)

// facts is what a boot learns about the machine that it runs in.
type facts struct {
	// CgroupV2 is true where the only hierarchy is version 2.
	CgroupV2 bool
	// MayRaisePriority is true with CAP_SYS_RESOURCE: OOM scores may be lowered then.
	MayRaisePriority bool
	// NodeIP is the machine's own address; empty lets the kubelet look for it.
	NodeIP string
	// CPUs and MemoryMiB are the capacity that the node reports.
	CPUs      int
	MemoryMiB int64
}

type taint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
}

// parseTaint reads key=value:effect or key:effect.
func parseTaint(text string) (taint, error) {
	pair, effect, found := strings.Cut(text, ":")
	key, value, _ := strings.Cut(pair, "=")
	if !found || key == "" || !slices.Contains([]string{"NoSchedule", "PreferNoSchedule", "NoExecute"}, effect) {
		return taint{}, fmt.Errorf("taint is %q, want key=value:effect with NoSchedule, PreferNoSchedule or NoExecute", text)
	}
	return taint{Key: key, Value: value, Effect: effect}, nil
}

// renderKubeletConfig is the KubeletConfiguration of a machine.
func renderKubeletConfig(c Config, f facts) ([]byte, error) {
	document := map[string]any{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"cgroupDriver":             "cgroupfs",
		"cgroupRoot":               "/",
		"failSwapOn":               false,
		"containerRuntimeEndpoint": "unix://" + containerdSocket,
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
			"x509":      map[string]any{"clientCAFile": c.ClientCAFile},
		},
		"authorization":         map[string]any{"mode": "Webhook"},
		"clusterDomain":         c.ClusterDomain,
		"maxPods":               c.MaxPods,
		"resolvConf":            "/etc/resolv.conf",
		"serializeImagePulls":   false,
		"maxParallelImagePulls": 3,
		"containerLogMaxSize":   "50Mi",
		"containerLogMaxFiles":  5,
		// The images of a node image lie in its read-only part: collecting them frees nothing.
		"imageGCHighThresholdPercent": 100,
		// A machine shares its disk with its host, where a percentage would evict pods for somebody else's files.
		"evictionHard": map[string]string{"memory.available": "100Mi", "pid.available": "2000",
			"nodefs.available": "1Gi", "nodefs.inodesFree": "1%", "imagefs.available": "1Gi", "imagefs.inodesFree": "1%"},
		"enforceNodeAllocatable": []string{"pods"},
		// kube-proxy works with nftables and needs nothing of the kubelet's chains.
		"makeIPTablesUtilChains": false,
		"volumeStatsAggPeriod":   "5m0s",
	}
	if err := addRoleSettings(document, c, f); err != nil {
		return nil, err
	}
	return yaml.Marshal(document)
}

func addRoleSettings(document map[string]any, c Config, f facts) error {
	if !f.CgroupV2 {
		document["failCgroupV1"] = false
	}
	if !f.MayRaisePriority {
		document["oomScoreAdj"] = 0
	}
	if c.ClusterDNS != "" {
		document["clusterDNS"] = []string{c.ClusterDNS}
	}
	if c.ProviderID != "" {
		document["providerID"] = c.ProviderID
	}
	if c.StaticPodDir != "" {
		document["staticPodPath"] = c.StaticPodDir
	}
	if c.KubeconfigFile == "" {
		document["rotateCertificates"] = true
		document["serverTLSBootstrap"] = true
	}
	switch c.Role {
	case RoleAgent:
		document["kubeReserved"] = reservedFor(f.CPUs, f.MemoryMiB, c.MaxPods)
	case RoleManagement:
		// What runs here are control planes: one that failed some times, as for want of
		// disk, is not to wait for five minutes when it could start (KEP-4603).
		document["crashLoopBackOff"] = map[string]any{"maxContainerRestartPeriod": "10s"}
	}
	var taints []taint
	for _, text := range c.Taints {
		t, err := parseTaint(text)
		if err != nil {
			return err
		}
		taints = append(taints, t)
	}
	if len(taints) > 0 {
		document["registerWithTaints"] = taints
	}
	return nil
}

// kubeconfig is where the kubelet's kubeconfig is, once it has one.
func (c Config) kubeconfig() string {
	if c.KubeconfigFile != "" {
		return c.KubeconfigFile
	}
	return kubeletKubeconfigPath
}

// kubeletFlags are the settings that exist only as flags.
func kubeletFlags(c Config, f facts) []string {
	flags := []string{"--config=" + kubeletConfigPath, "--hostname-override=" + c.NodeName, "--kubeconfig=" + c.kubeconfig()}
	if c.KubeconfigFile == "" {
		flags = append(flags, "--bootstrap-kubeconfig="+c.BootstrapKubeconfigFile)
	}
	if f.NodeIP != "" {
		flags = append(flags, "--node-ip="+f.NodeIP)
	}
	if labels := registrationLabels(c.Labels); labels != "" {
		flags = append(flags, "--node-labels="+labels)
	}
	return flags
}

// registrationLabels are those of the labels that the NodeRestriction admission lets a kubelet set, as a flag's value.
// The others are the controllers' to set.
func registrationLabels(labels map[string]string) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if kubeletMaySet(key) {
			pairs = append(pairs, key+"="+labels[key])
		}
	}
	return strings.Join(pairs, ",")
}

func kubeletMaySet(label string) bool {
	domain, _, prefixed := strings.Cut(label, "/")
	if !prefixed || !within(domain, "kubernetes.io") && !within(domain, "k8s.io") {
		return true
	}
	if within(domain, "kubelet.kubernetes.io") || within(domain, "node.kubernetes.io") {
		return true
	}
	return slices.Contains([]string{"kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os",
		"topology.kubernetes.io/zone", "topology.kubernetes.io/region",
		"failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
		"beta.kubernetes.io/instance-type", "beta.kubernetes.io/os", "beta.kubernetes.io/arch"}, label)
}

func within(domain, parent string) bool {
	return domain == parent || strings.HasSuffix(domain, "."+parent)
}
