package addon

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const proxyName = "kube-proxy"

// proxyConfig: connection tracking belongs to the host's kernel, which a machine
// must not tune.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: %s
detectLocalMode: ClusterCIDR
metricsBindAddress: 127.0.0.1:10249
healthzBindAddress: 0.0.0.0:10256
conntrack:
  maxPerCore: 0
  min: 0
  tcpEstablishedTimeout: 0s
  tcpCloseWaitTimeout: 0s
`

// ProxyKey names the DaemonSet of kube-proxy.
func ProxyKey() client.ObjectKey {
	return client.ObjectKey{Namespace: systemNamespace, Name: proxyName}
}

// kubeProxy renders the Services' data path (A5). It runs on every node and
// finds the API server by its address, since Services are its own work.
func kubeProxy(in Input) []client.Object {
	return []client.Object{
		serviceAccount(proxyName, proxyName),
		binding("berth:kube-proxy", "system:node-proxier", account(proxyName)),
		configMap(proxyName, proxyName, map[string]string{"config.yaml": fmt.Sprintf(proxyConfig, in.PodCIDR)}),
		daemonSet(proxyName, proxyPod(in)),
	}
}

func daemonSet(name string, pod corev1.PodSpec) client.Object {
	pod.PriorityClassName = nodeCritical
	pod.EnableServiceLinks = ptr(false)
	pod.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	pod.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: onNodes().RequiredDuringSchedulingIgnoredDuringExecution,
	}}
	return &appsv1.DaemonSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "DaemonSet"},
		ObjectMeta: meta(name, name),
		Spec: appsv1.DaemonSetSpec{
			RevisionHistoryLimit: ptr(int32(2)),
			Selector:             selector(name),
			UpdateStrategy: appsv1.DaemonSetUpdateStrategy{
				Type:          appsv1.RollingUpdateDaemonSetStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: ptr(intstr.FromString("10%"))},
			},
			Template: corev1.PodTemplateSpec{ObjectMeta: podMeta(name), Spec: pod},
		},
	}
}

func proxyPod(in Input) corev1.PodSpec {
	return corev1.PodSpec{
		ServiceAccountName: proxyName,
		HostNetwork:        true,
		DNSPolicy:          corev1.DNSDefault,
		Containers: []corev1.Container{{
			Name:            proxyName,
			Image:           in.Images.Kube,
			ImagePullPolicy: corev1.PullIfNotPresent,
			Args:            []string{"kube-proxy", "--config=/etc/kube-proxy/config.yaml", "--hostname-override=$(NODE_NAME)"},
			Env: append(apiServerEnv(in),
				corev1.EnvVar{Name: "NODE_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "spec.nodeName"}}}),
			Resources:       resources("20m", "40Mi", "256Mi"),
			SecurityContext: &corev1.SecurityContext{Privileged: ptr(true)},
			LivenessProbe:   httpProbe("/livez", 10256, 10),
			VolumeMounts:    []corev1.VolumeMount{{Name: "config", MountPath: "/etc/kube-proxy", ReadOnly: true}},
		}},
		Volumes: []corev1.Volume{configVolume("config", proxyName, false)},
	}
}

// apiServerEnv points an in-cluster client at the control plane itself.
func apiServerEnv(in Input) []corev1.EnvVar {
	return []corev1.EnvVar{
		{Name: "KUBERNETES_SERVICE_HOST", Value: in.ControlPlaneAddress},
		{Name: "KUBERNETES_SERVICE_PORT", Value: fmt.Sprint(apiServerPort)},
		{Name: "GOGC", Value: "50"},
	}
}
