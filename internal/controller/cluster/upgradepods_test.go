package cluster

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// What a pod was made for is done when its processes have ended, before its phase says so.
func TestAllDone(t *testing.T) {
	ended := func(code int32) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}
	}
	runs := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	for _, c := range []struct {
		name   string
		policy corev1.RestartPolicy
		states []corev1.ContainerState
		want   bool
	}{
		{"all ended well, whatever the phase", corev1.RestartPolicyNever, []corev1.ContainerState{ended(0), ended(0)}, true},
		{"one ended badly", corev1.RestartPolicyNever, []corev1.ContainerState{ended(0), ended(1)}, false},
		{"one runs", corev1.RestartPolicyNever, []corev1.ContainerState{ended(0), runs}, false},
		{"one is not known yet", corev1.RestartPolicyNever, []corev1.ContainerState{ended(0)}, false},
		{"nothing is known yet", corev1.RestartPolicyNever, nil, false},
		{"it starts again", corev1.RestartPolicyAlways, []corev1.ContainerState{ended(0), ended(0)}, false},
	} {
		pod := &corev1.Pod{Spec: corev1.PodSpec{RestartPolicy: c.policy, Containers: make([]corev1.Container, 2)}}
		pod.Status.Phase = corev1.PodRunning
		for _, state := range c.states {
			pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{State: state})
		}
		if got := allDone(pod); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
