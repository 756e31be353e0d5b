package controlplane

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Replicas is how many members of etcd, and how many API servers, a highly available
// control plane has (A3: tiers Standard and Premium).
const Replicas = 3

// MembersSecret holds the certificates of the members of such an etcd: server.crt and
// peer.crt with their keys.
const MembersSecret = "etcd-members"

const (
	etcdPeerPort = 2380
	// peerUser is the name in the certificate that members know each other by.
	peerUser = "etcd-peer"

	keyInitialCluster = "initial-cluster"
	// nobody is an initial cluster that no member is part of: an etcd without data ends.
	nobody = "nobody=https://nobody." + EtcdService + ":2380"

	labelPodName = "statefulset.kubernetes.io/pod-name"
)

// MemberName is the name of a member, of its pod and of its Service.
func MemberName(ordinal int32) string { return fmt.Sprintf("%s-%d", EtcdStatefulSet, ordinal) }

// MemberOf is the ordinal of the member that has this peer URL. The boolean is false for
// one that is not a member of a highly available etcd.
func MemberOf(peer string) (int32, bool) {
	for ordinal := range int32(Replicas) {
		if peer == MemberPeer(ordinal) {
			return ordinal, true
		}
	}
	return 0, false
}

// MemberPeer is how the other members reach one. Its pods know the name by their hosts
// file: a management cluster may be without DNS.
func MemberPeer(ordinal int32) string { return "https://" + memberHost(ordinal) + ":2380" }

// SinglePeer is the peer URL of a member that is alone (tier Free).
const SinglePeer = etcdPeer

// MemberClaim is the name of the claim for a member's volume.
func MemberClaim(ordinal int32) string { return dataClaim + "-" + MemberName(ordinal) }

func memberHost(ordinal int32) string { return MemberName(ordinal) + "." + EtcdService }

// highlyAvailable: etcd is made of members with addresses of their own.
func (in Input) highlyAvailable() bool { return in.Members > 0 }

func (in Input) peer(ordinal int32) string {
	if in.highlyAvailable() {
		return MemberPeer(ordinal)
	}
	return etcdPeer
}

// memberServices give the members addresses that stay. They lead to pods that are not
// ready too: a member becomes so by hearing from the others.
func memberServices(in Input) []client.Object {
	var objects []client.Object
	for ordinal := range int32(Replicas) {
		object := service(in, MemberName(ordinal), ComponentEtcd, port("client", EtcdPort), port("peer", etcdPeerPort))
		object.Spec.Selector[labelPodName] = MemberName(ordinal)
		objects = append(objects, object)
	}
	return objects
}

// memberAliases are the hosts file of the members' pods.
func memberAliases(in Input) []corev1.HostAlias {
	var aliases []corev1.HostAlias
	for ordinal, address := range in.MemberAddresses {
		aliases = append(aliases, corev1.HostAlias{IP: address, Hostnames: []string{memberHost(int32(ordinal))}})
	}
	return aliases
}

// initialCluster is what an etcd without data starts with: all members of a new control
// plane, or those that etcd has while one of them joins.
func (in Input) initialCluster() string {
	joining := in.Joining
	if !in.Initialized {
		joining = nil
		for ordinal := range in.Members {
			joining = append(joining, ordinal)
		}
	}
	if len(joining) == 0 {
		return nobody
	}
	members := make([]string, 0, len(joining))
	for _, ordinal := range joining {
		members = append(members, MemberName(ordinal)+"="+MemberPeer(ordinal))
	}
	return strings.Join(members, ",")
}

// JoiningIn is the Input.Joining that EtcdConfigMap was rendered of. A control plane that had not
// come up had none.
func JoiningIn(config *corev1.ConfigMap) []int32 {
	var ordinals []int32
	if config.Data[keyClusterState] != stateExisting {
		return nil
	}
	for member := range strings.SplitSeq(config.Data[keyInitialCluster], ",") {
		if _, peer, ok := strings.Cut(member, "="); ok {
			if ordinal, ok := MemberOf(peer); ok {
				ordinals = append(ordinals, ordinal)
			}
		}
	}
	return ordinals
}

// memberFlags make one of several members, named as its pod. Who shows another name
// than a member's, with a certificate of the same authority, is no peer.
func memberFlags(in Input) flags {
	name := "$(POD_NAME)"
	host := name + "." + EtcdService
	var f flags
	f.set("name", name)
	f.set("data-dir", etcdData)
	f.set("listen-client-urls", fmt.Sprintf("https://0.0.0.0:%d", EtcdPort))
	f.set("advertise-client-urls", fmt.Sprintf("https://%s:%d", host, EtcdPort))
	f.set("listen-peer-urls", fmt.Sprintf("https://0.0.0.0:%d", etcdPeerPort))
	f.set("initial-advertise-peer-urls", fmt.Sprintf("https://%s:%d", host, etcdPeerPort))
	f.set("peer-client-cert-auth", "true")
	f.set("peer-trusted-ca-file", dirEtcdPKI+"/ca.crt")
	f.set("peer-cert-file", dirEtcdPKI+"/peer.crt")
	f.set("peer-key-file", dirEtcdPKI+"/peer.key")
	f.set("peer-cert-allowed-cn", peerUser)
	// A member's packets come from its pod's address, which no certificate can name.
	f.set("peer-skip-client-san-verification", "true")
	// The leader compares what members hold with each compaction, and raises the alarm CORRUPT.
	f.set("feature-gates", "CompactHashCheck=true")
	f.shared(in)
	return f
}

// etcdServers are the members that an API server dials.
func (in Input) etcdServers() string {
	if !in.Replicated {
		return fmt.Sprintf("https://%s:%d", in.EtcdAddress, EtcdPort)
	}
	servers := make([]string, 0, len(in.MemberAddresses))
	for _, address := range in.MemberAddresses {
		servers = append(servers, fmt.Sprintf("https://%s:%d", address, EtcdPort))
	}
	return strings.Join(servers, ",")
}

// spread puts replicas on different nodes where there are some.
func spread(component string) []corev1.TopologySpreadConstraint {
	return []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: podsOf(component),
	}}
}

// budget lets a management cluster's drains take one replica at a time.
func budget(in Input, component string) client.Object {
	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: in.meta(component),
		Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: ptr(intstr.FromInt32(1)), Selector: podsOf(component)},
	}
}

// Leftovers are what a control plane that is not highly available any more has too much.
func Leftovers(in Input) []client.Object {
	objects := []client.Object{
		budget(in, ComponentKube), budget(in, ComponentEtcd),
		&corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: in.meta(MembersSecret)},
	}
	return append(objects, memberServices(in)...)
}
