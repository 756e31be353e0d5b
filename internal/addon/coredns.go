package addon

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	dnsApp     = "kube-dns"
	dnsName    = "coredns"
	dnsCustom  = "coredns-custom"
	dnsConfig  = "/etc/coredns"
	dnsMetrics = 9153
)

// corefile lets the customer's ConfigMap coredns-custom add to the default zone
// (*.override) and add zones (*.server), as AKS does. In its lameduck CoreDNS answers
// on until every node has forgotten it; see dnsReadiness.
const corefile = `.:53 {
    errors
    ready
    health {
        lameduck 8s
    }
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf
    cache 30
    loop
    reload
    loadbalance
    import custom/*.override
}
import custom/*.server
`

// coreDNS renders the cluster's DNS (A4).
func coreDNS(in Input) []client.Object {
	custom := configMap(dnsCustom, dnsApp, nil)
	custom.Labels[LabelMode] = ModeEnsureExists
	return []client.Object{
		serviceAccount(dnsName, dnsApp),
		clusterRole("system:coredns", dnsApp,
			rule("", "endpoints,services,pods,namespaces", "list", "watch"),
			rule("discovery.k8s.io", "endpointslices", "list", "watch")),
		binding("system:coredns", "system:coredns", account(dnsName)),
		configMap(dnsName, dnsApp, map[string]string{"Corefile": corefile}),
		custom,
		dnsService(in),
		deployment(dnsName, dnsApp, in.replicas(), dnsPod(in)),
		disruption("coredns-pdb", dnsApp),
	}
}

func dnsService(in Input) client.Object {
	object := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: meta("kube-dns", dnsApp),
		Spec: corev1.ServiceSpec{
			ClusterIP: in.DNSServiceIP,
			Selector:  map[string]string{labelApp: dnsApp},
			Ports: []corev1.ServicePort{
				{Name: "dns", Port: 53, TargetPort: intstr.FromInt32(53), Protocol: corev1.ProtocolUDP},
				{Name: "dns-tcp", Port: 53, TargetPort: intstr.FromInt32(53), Protocol: corev1.ProtocolTCP},
			},
		},
	}
	object.Labels["kubernetes.io/name"] = "CoreDNS"
	return object
}

func dnsPod(in Input) corev1.PodSpec {
	return corev1.PodSpec{
		ServiceAccountName: dnsName,
		DNSPolicy:          corev1.DNSDefault,
		Containers: []corev1.Container{{
			Name:            dnsName,
			Image:           in.Images.CoreDNS,
			ImagePullPolicy: corev1.PullIfNotPresent,
			Args:            []string{"-conf", dnsConfig + "/Corefile"},
			Ports: []corev1.ContainerPort{
				{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP},
				{Name: "dns-tcp", ContainerPort: 53, Protocol: corev1.ProtocolTCP},
				{Name: "metrics", ContainerPort: dnsMetrics, Protocol: corev1.ProtocolTCP},
			},
			Resources:       resources("50m", "32Mi", "256Mi"),
			SecurityContext: locked("NET_BIND_SERVICE"),
			ReadinessProbe:  dnsReadiness(),
			LivenessProbe:   httpProbe("/health", 8080, 10),
			VolumeMounts: []corev1.VolumeMount{
				{Name: "config", MountPath: dnsConfig, ReadOnly: true},
				{Name: "custom", MountPath: dnsConfig + "/custom", ReadOnly: true},
			},
		}},
		Volumes: []corev1.Volume{configVolume("config", dnsName, false), configVolume("custom", dnsCustom, true)},
	}
}

// dnsReadiness has CoreDNS counted as not serving early in its lameduck, in which it
// refuses the question. Only then does kube-proxy forget the UDP flows that it tracks
// to it, and a query from a port that was used within the last half minute goes
// where the one before went: after CoreDNS's end it would be lost.
func dnsReadiness() *corev1.Probe {
	probe := httpProbe("/ready", 8181, 1)
	probe.FailureThreshold = 3
	return probe
}
