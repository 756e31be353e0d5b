package network

import (
	"fmt"
	"maps"
	"net"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Name is the name of the agent's objects.
const Name = "berth-network"

// Where the agent answers the kubelet's probes, on the node's loopback.
const (
	healthPort = 10270
	healthPath = "/healthz"
	livePath   = "/livez"
)

// Object is any API object: the same methods as controller-runtime's client.Object, which every node would pay for in
// memory if this package imported it.
type Object interface {
	metav1.Object
	runtime.Object
}

// Config says how to install the agent into a cluster.
type Config struct {
	Image     string            // of berth-node
	Namespace string            // default kube-system
	Labels    map[string]string // added to every object and to the pods

	APIServer   string   // host:port, since the agent must run before kube-proxy does; empty: the kubernetes Service
	ClusterCIDR string   // the cluster's pod range
	Unmasked    []string // further ranges that pods reach with their own addresses
	Policy      bool     // enforce NetworkPolicy
	NoMasks     bool     // do not masquerade at all
	Uplink      string   // device of the overlay; empty: the one with the node's address
	MTU         int      // of pods, bytes; 0: from the uplink
	Livez       bool     // the image has GET /livez, which those of earlier builds lack: a hung agent is started again
}

// Objects renders what runs the agent on every node of a cluster: ServiceAccount, ClusterRole, ClusterRoleBinding and
// DaemonSet. They carry their TypeMeta, for server-side apply.
func Objects(config Config) ([]Object, error) {
	if config.Namespace == "" {
		config.Namespace = metav1.NamespaceSystem
	}
	set, err := daemonSet(&config)
	if err != nil {
		return nil, err
	}
	return []Object{
		&corev1.ServiceAccount{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
			ObjectMeta: config.meta(config.Namespace),
		},
		&rbacv1.ClusterRole{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
			ObjectMeta: config.meta(""),
			Rules:      rules(),
		},
		&rbacv1.ClusterRoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
			ObjectMeta: config.meta(""),
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: Name},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: config.Namespace, Name: Name}},
		},
		set,
	}, nil
}

func rules() []rbacv1.PolicyRule {
	read := []string{"get", "list", "watch"}
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"nodes", "pods", "namespaces"}, Verbs: read},
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"networkpolicies"}, Verbs: read},
	}
}

func (c *Config) meta(namespace string) metav1.ObjectMeta {
	labels := maps.Clone(c.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels["app.kubernetes.io/name"] = Name
	return metav1.ObjectMeta{Name: Name, Namespace: namespace, Labels: labels}
}

func daemonSet(config *Config) (*appsv1.DaemonSet, error) {
	pod, err := podSpec(config)
	if err != nil {
		return nil, err
	}
	meta := config.meta(config.Namespace)
	// A pod that is being replaced leaves the node's network as it is, so that many may be replaced at once.
	tenth := intstr.FromString("10%")
	return &appsv1.DaemonSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "DaemonSet"},
		ObjectMeta: meta,
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": Name}},
			UpdateStrategy: appsv1.DaemonSetUpdateStrategy{
				Type:          appsv1.RollingUpdateDaemonSetStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &tenth},
			},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: meta.Labels},
				Spec:       *pod,
			},
		},
	}, nil
}

func podSpec(config *Config) (*corev1.PodSpec, error) {
	env := []corev1.EnvVar{
		{Name: "NODE_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}},
		{Name: "PATH", Value: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		// The runtime collects more eagerly near this; it is no limit.
		{Name: "GOMEMLIMIT", Value: "20MiB"},
	}
	if config.APIServer != "" {
		host, port, err := net.SplitHostPort(config.APIServer)
		if err != nil {
			return nil, fmt.Errorf("render network agent: API server %q: %w", config.APIServer, err)
		}
		env = append(env,
			corev1.EnvVar{Name: "KUBERNETES_SERVICE_HOST", Value: host},
			corev1.EnvVar{Name: "KUBERNETES_SERVICE_PORT", Value: port})
	}
	privileged, grace := true, int64(5)
	return &corev1.PodSpec{
		ServiceAccountName:            Name,
		HostNetwork:                   true,
		DNSPolicy:                     corev1.DNSDefault,
		PriorityClassName:             "system-node-critical",
		NodeSelector:                  map[string]string{"kubernetes.io/os": "linux"},
		Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		TerminationGracePeriodSeconds: &grace,
		Containers: []corev1.Container{{
			Name:  "network",
			Image: config.Image,
			Args:  config.args(),
			Env:   env,
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("20Mi"),
				},
				Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
			},
			SecurityContext: &corev1.SecurityContext{Privileged: &privileged},
			ReadinessProbe:  readiness(),
			LivenessProbe:   config.liveness(),
			VolumeMounts: []corev1.VolumeMount{
				{Name: "cni-config", MountPath: "/etc/cni/net.d"},
				{Name: "cni-results", MountPath: "/var/lib/cni/results"},
			},
		}},
		Volumes: []corev1.Volume{
			hostDirectory("cni-config", "/etc/cni/net.d"),
			hostDirectory("cni-results", "/var/lib/cni/results"),
		},
	}, nil
}

func (c *Config) args() []string {
	args := []string{
		"network",
		"--node-name=$(NODE_NAME)",
		fmt.Sprintf("--policy=%t", c.Policy),
		fmt.Sprintf("--masquerade=%t", !c.NoMasks),
		fmt.Sprintf("--health=127.0.0.1:%d", healthPort),
	}
	if c.ClusterCIDR != "" {
		args = append(args, "--cluster-cidr="+c.ClusterCIDR)
	}
	if len(c.Unmasked) > 0 {
		args = append(args, "--unmasqueraded="+strings.Join(c.Unmasked, ","))
	}
	if c.Uplink != "" {
		args = append(args, "--uplink="+c.Uplink)
	}
	if c.MTU != 0 {
		args = append(args, fmt.Sprintf("--mtu=%d", c.MTU))
	}
	return args
}

func probe(path string) corev1.ProbeHandler {
	return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Host: "127.0.0.1", Path: path, Port: intstr.FromInt32(healthPort)}}
}

func readiness() *corev1.Probe {
	return &corev1.Probe{ProbeHandler: probe(healthPath), PeriodSeconds: 10, FailureThreshold: 3}
}

// liveness has a hung agent started again (E3): after a minute in which it does not answer at all, or two in which its
// loop does not turn. What is merely slow has done both long before.
func (c *Config) liveness() *corev1.Probe {
	if !c.Livez {
		return nil
	}
	return &corev1.Probe{ProbeHandler: probe(livePath), PeriodSeconds: 10, TimeoutSeconds: 10, FailureThreshold: 6}
}

func hostDirectory(name, path string) corev1.Volume {
	kind := corev1.HostPathDirectoryOrCreate
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		HostPath: &corev1.HostPathVolumeSource{Path: path, Type: &kind},
	}}
}
