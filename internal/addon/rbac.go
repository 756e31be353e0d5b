package addon

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The clauses of an RBAC subject, as rbac.authorization.k8s.io spells them.
const rbacGroup = rbacv1.GroupName

// bootstrap renders what a cluster has before its first node: kubelets may ask
// for a certificate with a bootstrap token, which Berth approves for machines
// that exist; the API server may call kubelets; the tunnel server may check its
// agents' tokens.
func bootstrap(Input) []client.Object {
	return []client.Object{
		systemNamespaceLabels(),
		binding("berth:node-bootstrappers", "system:node-bootstrapper", group("system:bootstrappers")),
		binding("berth:kube-apiserver-to-kubelet", "system:kubelet-api-admin", user(kubeletClientUser)),
		binding("berth:konnectivity-server", "system:auth-delegator", user(konnectivityUser)),
	}
}

func systemNamespaceLabels() client.Object {
	return &corev1.Namespace{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: systemNamespace, Labels: map[string]string{
			LabelMode: ModeReconcile, labelManagedBy: managedByAKS, "control-plane": "true",
		}},
	}
}

func binding(name, role string, subjects ...rbacv1.Subject) client.Object {
	return &rbacv1.ClusterRoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacGroup + "/v1", Kind: "ClusterRoleBinding"},
		ObjectMeta: clusterMeta(name, ""),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacGroup, Kind: "ClusterRole", Name: role},
		Subjects:   subjects,
	}
}

func clusterRole(name, app string, rules ...rbacv1.PolicyRule) client.Object {
	return &rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacGroup + "/v1", Kind: "ClusterRole"},
		ObjectMeta: clusterMeta(name, app),
		Rules:      rules,
	}
}

func rule(apiGroup, resources string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{apiGroup}, Resources: split(resources), Verbs: verbs}
}

func user(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacGroup, Kind: rbacv1.UserKind, Name: name}
}

func group(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacGroup, Kind: rbacv1.GroupKind, Name: name}
}

func account(name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: systemNamespace, Name: name}
}

func serviceAccount(name, app string) client.Object {
	return &corev1.ServiceAccount{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: meta(name, app),
	}
}
