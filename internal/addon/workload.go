package addon

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// nodeCritical is the priority class of AKS's own components, the highest that there is:
// where a node is full, the scheduler has pods of any lower one give way, those of
// system-cluster-critical too, which customers may use. The successor of a lone replica
// finds room thereby in a cluster of one node.
const nodeCritical = "system-node-critical"

// deployment fills in what every managed Deployment has.
func deployment(name, app string, replicas int32, pod corev1.PodSpec) client.Object {
	pod.PriorityClassName = nodeCritical
	pod.EnableServiceLinks = ptr(false)
	pod.Tolerations = append(pod.Tolerations, criticalAddonsOnly())
	pod.Affinity = &corev1.Affinity{NodeAffinity: onNodes(), PodAntiAffinity: apart(app)}
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: meta(name, app),
		Spec: appsv1.DeploymentSpec{
			Replicas:             &replicas,
			RevisionHistoryLimit: ptr(int32(2)),
			Selector:             selector(app),
			Strategy:             rolling(replicas, pod.HostNetwork),
			Template:             corev1.PodTemplateSpec{ObjectMeta: podMeta(app), Spec: pod},
		},
	}
}

// rolling has one replica go for another one. A lone one stays until the next one serves,
// which may never be (H1), unless both would need the same ports of the same node.
func rolling(replicas int32, onHost bool) appsv1.DeploymentStrategy {
	away := int32(1)
	if replicas == 1 && !onHost {
		away = 0
	}
	return appsv1.DeploymentStrategy{
		Type:          appsv1.RollingUpdateDeploymentStrategyType,
		RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: ptr(intstr.FromInt32(away)), MaxSurge: ptr(intstr.FromInt32(1))},
	}
}

// disruption allows one replica at a time to go. It never blocks a drain, not
// even with a single replica.
func disruption(name, app string) client.Object {
	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: meta(name, app),
		Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: ptr(intstr.FromInt32(1)), Selector: selector(app)},
	}
}

func configMap(name, app string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: meta(name, app),
		Data:       data,
	}
}

func configVolume(volume, name string, optional bool) corev1.Volume {
	return corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: name}, Optional: &optional,
	}}}
}

func httpProbe(path string, port, periodSeconds int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(port), Scheme: corev1.URISchemeHTTP}},
		PeriodSeconds: periodSeconds, TimeoutSeconds: 5, FailureThreshold: 5,
	}
}

func split(list string) []string { return strings.Split(list, ",") }
