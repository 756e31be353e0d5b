package controlplane

import (
	corev1 "k8s.io/api/core/v1"
)

// TrialPod is the name of the pod that KubeTrialPod renders.
const TrialPod = componentTrial

// trialLinger is how long, in seconds, an API server that is not alone still answers those
// who have not yet heard that clients are sent elsewhere.
const trialLinger = 2

func linger() *corev1.Lifecycle {
	return &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: trialLinger}}}
}

// KubeTrialPod renders an API server of the version in.Trial that shares etcd with
// the control plane, as the servers of one highly available control plane do. It
// shows whether the version comes up before the control plane is touched, and
// answers while that is replaced. There is no controller-manager and no scheduler
// in it: they must run once.
func KubeTrialPod(in Input) *corev1.Pod {
	kube := kubeContainer(in)
	kube.Image = in.Trial
	kube.Args = append([]string{"kube-apiserver"}, apiServerFlags(in)...)
	kube.Lifecycle = linger()
	kube.ReadinessProbe.PeriodSeconds = 1
	konnectivity := konnectivityContainer(in)
	pod := in.pod(TrialPod, in.podSpec(kubeVolumes(), kube, konnectivity))
	pod.Annotations[annotationSecretRevision] = in.SecretRevision
	return pod
}
