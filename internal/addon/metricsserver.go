package addon

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	metricsName = "metrics-server"
	metricsTLS  = "metrics-server-tls"
	metricsDir  = "/etc/metrics-server"
	metricsPort = 4443
)

// metricsServer renders what `kubectl top` and autoscaling ask (A6). The cluster's
// authority vouches for it in both directions: it checks the kubelets, and the
// aggregation layer checks it.
func metricsServer(in Input) []client.Object {
	if len(in.MetricsCert) == 0 {
		return nil
	}
	return []client.Object{
		serviceAccount(metricsName, metricsName),
		clusterRole("system:metrics-server", metricsName,
			rule("", "nodes/metrics", "get"),
			rule("", "pods,nodes", "get", "list", "watch")),
		aggregatedReader(),
		binding("system:metrics-server", "system:metrics-server", account(metricsName)),
		binding("metrics-server:system:auth-delegator", "system:auth-delegator", account(metricsName)),
		authReader(),
		metricsSecret(in),
		metricsService(),
		deployment(metricsName, metricsName, 1, metricsPod(in)),
		disruption("metrics-server-pdb", metricsName),
		metricsAPI(in),
	}
}

func aggregatedReader() client.Object {
	role := clusterRole("system:aggregated-metrics-reader", metricsName, rule("metrics.k8s.io", "pods,nodes", "get", "list", "watch"))
	labels := role.GetLabels()
	for _, to := range []string{"admin", "edit", "view"} {
		labels["rbac.authorization.k8s.io/aggregate-to-"+to] = "true"
	}
	return role
}

func authReader() client.Object {
	return &rbacv1.RoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacGroup + "/v1", Kind: "RoleBinding"},
		ObjectMeta: meta("metrics-server-auth-reader", metricsName),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacGroup, Kind: "Role", Name: "extension-apiserver-authentication-reader"},
		Subjects:   []rbacv1.Subject{account(metricsName)},
	}
}

func metricsSecret(in Input) client.Object {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: meta(metricsTLS, metricsName),
		Type:       corev1.SecretTypeTLS,
		Data:       map[string][]byte{corev1.TLSCertKey: in.MetricsCert, corev1.TLSPrivateKeyKey: in.MetricsKey},
	}
}

func metricsService() client.Object {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: meta(metricsName, metricsName),
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{labelApp: metricsName},
			Ports:    []corev1.ServicePort{{Name: "https", Port: 443, TargetPort: intstr.FromInt32(metricsPort), Protocol: corev1.ProtocolTCP}},
		},
	}
}

func metricsAPI(in Input) client.Object {
	return &apiregistrationv1.APIService{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apiregistration.k8s.io/v1", Kind: "APIService"},
		ObjectMeta: clusterMeta("v1beta1.metrics.k8s.io", metricsName),
		Spec: apiregistrationv1.APIServiceSpec{
			Group: "metrics.k8s.io", Version: "v1beta1", GroupPriorityMinimum: 100, VersionPriority: 100,
			CABundle: in.CA,
			Service:  &apiregistrationv1.ServiceReference{Namespace: systemNamespace, Name: metricsName, Port: ptr(int32(443))},
		},
	}
}

func metricsPod(in Input) corev1.PodSpec {
	return corev1.PodSpec{
		ServiceAccountName: metricsName,
		SecurityContext:    &corev1.PodSecurityContext{RunAsNonRoot: ptr(true), RunAsUser: ptr(int64(65532)), FSGroup: ptr(int64(65532))},
		Containers: []corev1.Container{{
			Name:            metricsName,
			Image:           in.Images.MetricsServer,
			ImagePullPolicy: corev1.PullIfNotPresent,
			Args: []string{
				fmt.Sprintf("--secure-port=%d", metricsPort),
				"--tls-cert-file=" + metricsDir + "/tls.crt",
				"--tls-private-key-file=" + metricsDir + "/tls.key",
				"--kubelet-preferred-address-types=InternalIP",
				"--kubelet-use-node-status-port",
				"--kubelet-certificate-authority=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
				"--metric-resolution=15s",
			},
			Env:             []corev1.EnvVar{{Name: "GOGC", Value: "50"}},
			Ports:           []corev1.ContainerPort{{Name: "https", ContainerPort: metricsPort, Protocol: corev1.ProtocolTCP}},
			Resources:       resources("20m", "40Mi", "512Mi"),
			SecurityContext: locked(),
			ReadinessProbe:  httpsProbe("/readyz", 5),
			LivenessProbe:   httpsProbe("/livez", 10),
			VolumeMounts:    []corev1.VolumeMount{{Name: "tls", MountPath: metricsDir, ReadOnly: true}},
		}},
		Volumes: []corev1.Volume{{Name: "tls", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: metricsTLS, DefaultMode: ptr(int32(0o440)),
		}}}},
	}
}

func httpsProbe(path string, periodSeconds int32) *corev1.Probe {
	probe := httpProbe(path, metricsPort, periodSeconds)
	probe.HTTPGet.Scheme = corev1.URISchemeHTTPS
	return probe
}
