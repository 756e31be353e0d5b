package addon

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// Kind is a kind of managed objects.
type Kind struct {
	schema.GroupVersionKind
	// Namespace is where they are; empty for a kind without namespaces.
	Namespace string
}

// Kinds are those of all managed objects. Whoever keeps them up watches these, by the
// label that Selector asks for.
func Kinds() []Kind {
	namespaced := func(gv schema.GroupVersion, kind string) Kind { return Kind{gv.WithKind(kind), systemNamespace} }
	global := func(gv schema.GroupVersion, kind string) Kind { return Kind{gv.WithKind(kind), ""} }
	return []Kind{
		global(corev1.SchemeGroupVersion, "Namespace"),
		namespaced(corev1.SchemeGroupVersion, "ConfigMap"),
		namespaced(corev1.SchemeGroupVersion, "Secret"),
		namespaced(corev1.SchemeGroupVersion, "Service"),
		namespaced(corev1.SchemeGroupVersion, "ServiceAccount"),
		namespaced(appsv1.SchemeGroupVersion, "DaemonSet"),
		namespaced(appsv1.SchemeGroupVersion, "Deployment"),
		namespaced(policyv1.SchemeGroupVersion, "PodDisruptionBudget"),
		global(rbacv1.SchemeGroupVersion, "ClusterRole"),
		global(rbacv1.SchemeGroupVersion, "ClusterRoleBinding"),
		namespaced(rbacv1.SchemeGroupVersion, "RoleBinding"),
		global(admissionregistrationv1.SchemeGroupVersion, "ValidatingAdmissionPolicy"),
		global(admissionregistrationv1.SchemeGroupVersion, "ValidatingAdmissionPolicyBinding"),
		global(apiregistrationv1.SchemeGroupVersion, "APIService"),
	}
}

// Selector is the label that every managed object has.
func Selector() map[string]string { return map[string]string{labelManagedBy: managedByAKS} }
