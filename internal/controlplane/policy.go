package controlplane

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// registryPort is where Berth's registry listens (Service berth-registry).
const registryPort = 5000

// backupPort is where Berth gives backups back (Service berth-backup).
const backupPort = 8445

// namespaceName is the label that every namespace carries its own name in.
const namespaceName = "kubernetes.io/metadata.name"

// policies render the tenant boundary. Each namespace first denies everything;
// the rest opens one path each.
func policies(in Input) []client.Object {
	cp, mc := in.namespace(), in.machineNamespace()
	kube, etcd, saver := podsOf(ComponentKube, componentTrial), podsOf(ComponentEtcd), podsOf(componentEtcdSnapshot)
	prover := podsOf(ProvePod)
	toEtcd := []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{PodSelector: etcd}}, Ports: ports(EtcdPort)}}
	fromPeers, toPeers := betweenMembers(in, etcd)
	toBackups := []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: namespaceNamed(v1beta1.SystemNamespace)}}, Ports: ports(backupPort)}}
	return []client.Object{
		policy(in, cp, "default-deny", denyAll()),
		policy(in, cp, "kube", networkingv1.NetworkPolicySpec{
			PodSelector: *kube,
			PolicyTypes: bothWays(),
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From:  []networkingv1.NetworkPolicyPeer{{NamespaceSelector: namespaceNamed(v1beta1.SystemNamespace)}, {NamespaceSelector: namespaceNamed(mc)}},
				Ports: ports(APIServerPort, KonnectivityPort),
			}},
			Egress: toEtcd,
		}),
		policy(in, cp, "etcd", networkingv1.NetworkPolicySpec{
			PodSelector: *etcd,
			PolicyTypes: bothWays(),
			Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{
				{PodSelector: kube}, {PodSelector: saver}, {PodSelector: prover}, {NamespaceSelector: namespaceNamed(v1beta1.SystemNamespace)}, // which backs it up (C3)
			}, Ports: ports(EtcdPort)}},
			Egress: toPeers,
		}, fromPeers...),
		policy(in, cp, "etcd-snapshot", networkingv1.NetworkPolicySpec{PodSelector: *saver, PolicyTypes: bothWays(), Egress: toEtcd}),
		policy(in, cp, "etcd-recover", networkingv1.NetworkPolicySpec{PodSelector: *podsOf(RecoverPod), PolicyTypes: bothWays(), Egress: toBackups}),
		policy(in, cp, "etcd-prove", networkingv1.NetworkPolicySpec{PodSelector: *prover, PolicyTypes: bothWays(), Egress: append(toBackups, toEtcd...)}),
		policy(in, mc, "default-deny", denyAll()),
		policy(in, mc, "machines", networkingv1.NetworkPolicySpec{
			PolicyTypes: bothWays(),
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}}},
			Egress:      fromMachines(in, kube),
		}),
	}
}

// fromMachines opens the ways to what nodes need (I3), and out unless that is closed.
func fromMachines(in Input, kube *metav1.LabelSelector) []networkingv1.NetworkPolicyEgressRule {
	rules := []networkingv1.NetworkPolicyEgressRule{
		{To: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}},
		{To: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: namespaceNamed(in.namespace()), PodSelector: kube}}, Ports: ports(APIServerPort, KonnectivityPort)},
		{To: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: namespaceNamed(v1beta1.SystemNamespace)}}, Ports: ports(registryPort)},
	}
	if in.NoEgress {
		return rules
	}
	return append(rules, networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: in.PrivateRanges}}}})
}

// betweenMembers opens the way from one member of etcd to another if there are several.
func betweenMembers(in Input, etcd *metav1.LabelSelector) ([]networkingv1.NetworkPolicyIngressRule, []networkingv1.NetworkPolicyEgressRule) {
	if !in.highlyAvailable() {
		return nil, nil
	}
	members := []networkingv1.NetworkPolicyPeer{{PodSelector: etcd}}
	return []networkingv1.NetworkPolicyIngressRule{{From: members, Ports: ports(etcdPeerPort)}},
		[]networkingv1.NetworkPolicyEgressRule{{To: members, Ports: ports(etcdPeerPort)}}
}

func policy(in Input, namespace, name string, spec networkingv1.NetworkPolicySpec, ingress ...networkingv1.NetworkPolicyIngressRule) client.Object {
	spec.Ingress = append(spec.Ingress, ingress...)
	meta := in.meta(name)
	meta.Namespace = namespace
	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: meta,
		Spec:       spec,
	}
}

func denyAll() networkingv1.NetworkPolicySpec {
	return networkingv1.NetworkPolicySpec{PolicyTypes: bothWays()}
}

func bothWays() []networkingv1.PolicyType {
	return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
}

func podsOf(components ...string) *metav1.LabelSelector {
	if len(components) == 1 {
		return &metav1.LabelSelector{MatchLabels: map[string]string{LabelComponent: components[0]}}
	}
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: LabelComponent, Operator: metav1.LabelSelectorOpIn, Values: components,
	}}}
}

func namespaceNamed(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{namespaceName: name}}
}

func ports(numbers ...int32) []networkingv1.NetworkPolicyPort {
	out := make([]networkingv1.NetworkPolicyPort, 0, len(numbers))
	for _, number := range numbers {
		protocol, value := corev1.ProtocolTCP, intstr.FromInt32(number)
		out = append(out, networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &value})
	}
	return out
}
