package addon

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LabelMode says how a managed object is kept (AKS: add-on manager).
const LabelMode = "addonmanager.kubernetes.io/mode"

// The values of LabelMode.
const (
	ModeReconcile    = "Reconcile"
	ModeEnsureExists = "EnsureExists"
)

const (
	labelManagedBy = "kubernetes.azure.com/managedby"
	managedByAKS   = "aks"
	labelCluster   = "kubernetes.azure.com/cluster"
	labelPoolMode  = "kubernetes.azure.com/mode"
	labelApp       = "k8s-app"
)

// meta is the metadata of a managed object of the component app.
func meta(name, app string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: systemNamespace, Name: name, Labels: labels(app)}
}

func clusterMeta(name, app string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Labels: labels(app)}
}

func labels(app string) map[string]string {
	out := map[string]string{
		LabelMode:                       ModeReconcile,
		labelManagedBy:                  managedByAKS,
		"kubernetes.io/cluster-service": "true",
	}
	if app != "" {
		out[labelApp] = app
	}
	return out
}

func selector(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{labelApp: app}}
}

func podMeta(app string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Labels: map[string]string{labelApp: app, labelManagedBy: managedByAKS}}
}

// Managed says whether a pod belongs to a managed component (A6). Only the system
// namespace counts: elsewhere the label is the customer's to set.
func Managed(pod *corev1.Pod) bool {
	return pod.Namespace == systemNamespace && pod.Labels[labelManagedBy] == managedByAKS
}

// onNodes places a component on Berth's own nodes, best on a system pool (A6).
func onNodes() *corev1.NodeAffinity {
	return &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: labelCluster, Operator: corev1.NodeSelectorOpExists},
				{Key: corev1.LabelOSStable, Operator: corev1.NodeSelectorOpIn, Values: []string{"linux"}},
			},
		}}},
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{
			Weight: 100,
			Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: labelPoolMode, Operator: corev1.NodeSelectorOpIn, Values: []string{"system"}},
			}},
		}},
	}
}

// apart prefers another node than the component's other replicas.
func apart(app string) *corev1.PodAntiAffinity {
	return &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
		Weight:          100,
		PodAffinityTerm: corev1.PodAffinityTerm{LabelSelector: selector(app), TopologyKey: corev1.LabelHostname},
	}}}
}

func criticalAddonsOnly() corev1.Toleration {
	return corev1.Toleration{Key: "CriticalAddonsOnly", Operator: corev1.TolerationOpExists}
}

// notReady lets a component start before the node's network does.
func notReady() corev1.Toleration {
	return corev1.Toleration{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}
}

func resources(cpu, memory, limit string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(limit)},
	}
}

func locked(add ...corev1.Capability) *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr(false),
		ReadOnlyRootFilesystem:   ptr(true),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: add},
	}
}

func ptr[T any](value T) *T { return &value }
