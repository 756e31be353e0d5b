package install

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

func write() []string {
	return []string{"get", "list", "watch", "create", "update", "patch", "delete"}
}

// clusterRules are what Berth may do in every namespace: it makes namespaces for
// subscriptions, control planes and machines, and everything in them.
func clusterRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{v1beta1.GroupVersion.Group}, Resources: []string{"*"}, Verbs: write()},
		{APIGroups: []string{""}, Resources: []string{"namespaces", "services", "secrets", "configmaps", "pods"}, Verbs: write()},
		// Evidence of a machine before it is made anew (X8).
		{APIGroups: []string{""}, Resources: []string{"pods/log"}, Verbs: []string{"get"}},
		// Scripts that a customer runs in a machine through the IaaS view (G1).
		{APIGroups: []string{""}, Resources: []string{"pods/exec"}, Verbs: []string{"get", "create"}},
		// A deleted cluster takes its volumes along; Berth waits until the provisioner has removed them.
		{APIGroups: []string{""}, Resources: []string{"persistentvolumeclaims"}, Verbs: []string{"get", "list", "delete"}},
		// What a member of etcd held that is made anew outlives its claim (A3).
		{APIGroups: []string{""}, Resources: []string{"persistentvolumes"}, Verbs: []string{"get", "list", "patch"}},
		{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
		{APIGroups: []string{"apps"}, Resources: []string{"deployments", "statefulsets"}, Verbs: write()},
		// A deleted cluster's pods end at once, and not in their own time, if these are deleted first.
		{APIGroups: []string{"apps"}, Resources: []string{"replicasets"}, Verbs: []string{"get", "list", "delete"}},
		{APIGroups: []string{"policy"}, Resources: []string{"poddisruptionbudgets"}, Verbs: write()},
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"networkpolicies"}, Verbs: write()},
	}
}

// namespaceRules are what Berth may do in its own namespace only.
func namespaceRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: write()},
	}
}

func rights() []client.Object {
	subject := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: Name, Namespace: Namespace}}
	kind := func(name string) metav1.TypeMeta {
		return metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: name}
	}
	wide := metav1.ObjectMeta{Name: Name, Labels: map[string]string{labelName: Name}}
	return []client.Object{
		&corev1.ServiceAccount{TypeMeta: core("ServiceAccount"), ObjectMeta: meta(Name)},
		&rbacv1.ClusterRole{TypeMeta: kind("ClusterRole"), ObjectMeta: wide, Rules: clusterRules()},
		&rbacv1.ClusterRoleBinding{TypeMeta: kind("ClusterRoleBinding"), ObjectMeta: wide, Subjects: subject,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: Name}},
		&rbacv1.Role{TypeMeta: kind("Role"), ObjectMeta: meta(Name), Rules: namespaceRules()},
		&rbacv1.RoleBinding{TypeMeta: kind("RoleBinding"), ObjectMeta: meta(Name), Subjects: subject,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: Name}},
	}
}
