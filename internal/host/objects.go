package host

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const kubeProxy = "kube-proxy"

// kubeProxyObjects install kube-proxy in nftables mode on the management machine.
func kubeProxyObjects(image string) []client.Object {
	labels := map[string]string{"k8s-app": kubeProxy}
	meta := metav1.ObjectMeta{Name: kubeProxy, Namespace: metav1.NamespaceSystem, Labels: labels}
	yes := true
	return []client.Object{
		&corev1.ServiceAccount{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: meta},
		&rbacv1.ClusterRoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
			ObjectMeta: metav1.ObjectMeta{Name: "berth:" + kubeProxy},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:node-proxier"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: kubeProxy, Namespace: metav1.NamespaceSystem}},
		},
		&appsv1.DaemonSet{
			TypeMeta:   metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "DaemonSet"},
			ObjectMeta: meta,
			Spec: appsv1.DaemonSetSpec{
				Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels},
					Spec: corev1.PodSpec{
						HostNetwork:        true,
						ServiceAccountName: kubeProxy,
						PriorityClassName:  "system-node-critical",
						Tolerations:        []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
						Containers: []corev1.Container{{
							Name: kubeProxy, Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
							Args: append([]string{"kube-proxy"}, kubeProxyFlags()...),
							Env: append(directAPIServer(), corev1.EnvVar{Name: "GOGC", Value: "50"},
								corev1.EnvVar{Name: "NODE_NAME", ValueFrom: &corev1.EnvVarSource{
									FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"},
								}}),
							Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
								corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("40Mi"),
							}},
							SecurityContext: &corev1.SecurityContext{Privileged: &yes},
						}},
					},
				},
			},
		},
	}
}

func kubeProxyFlags() []string {
	return []string{
		"--proxy-mode=nftables",
		"--cluster-cidr=" + PodCIDR,
		"--hostname-override=$(NODE_NAME)",
		"--metrics-bind-address=127.0.0.1:10249",
		// For nftables too, whatever its name says. A new control plane waits for a route to its etcd, and would for a second.
		"--iptables-min-sync-period=100ms",
		// The limits of connection tracking belong to the host and cannot be set from here.
		"--conntrack-max-per-core=0",
		"--conntrack-tcp-timeout-established=0s",
		"--conntrack-tcp-timeout-close-wait=0s",
	}
}

// directAPIServer points a client inside the cluster at the API server's own
// address, for those that must run before Services do.
func directAPIServer() []corev1.EnvVar {
	return []corev1.EnvVar{
		{Name: "KUBERNETES_SERVICE_HOST", Value: MachineAddress},
		{Name: "KUBERNETES_SERVICE_PORT", Value: "6443"},
	}
}
