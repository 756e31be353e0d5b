package pod

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	klabels "k8s.io/apimachinery/pkg/labels"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
)

// observe reads a machine's state from its pod. Whether the node inside works is
// for its own API server to tell, so the pod's readiness does not count.
func observe(pod *corev1.Pod) machine.Observation {
	seen := machine.Observation{State: machine.Starting, Address: pod.Status.PodIP, Incarnation: string(pod.UID), Host: pod.Spec.NodeName}
	var container corev1.ContainerStatus
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == ContainerName {
			container = status
		}
	}
	seen.Boots = container.RestartCount
	if container.State.Running != nil || container.State.Terminated != nil {
		seen.Boots++
	}
	switch {
	case pod.DeletionTimestamp != nil:
		seen.State = machine.Stopping
	case pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded:
		seen.State = machine.Failed
	case container.State.Running != nil && pod.Status.PodIP != "":
		seen.State = machine.Running
	}
	if seen.State != machine.Running {
		seen.Message = reason(pod, container)
	}
	return seen
}

// reason is the most telling of the messages that a pod carries.
func reason(pod *corev1.Pod, container corev1.ContainerStatus) string {
	if pod.Status.Message != "" || pod.Status.Reason != "" {
		return join(pod.Status.Reason, pod.Status.Message)
	}
	if waiting := container.State.Waiting; waiting != nil && waiting.Reason != "ContainerCreating" {
		return join(waiting.Reason, waiting.Message)
	}
	if ended := container.State.Terminated; ended != nil {
		return join(ended.Reason, ended.Message)
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return join(condition.Reason, condition.Message)
		}
	}
	return ""
}

func join(reason, message string) string {
	if reason == "" || message == "" {
		return reason + message
	}
	return reason + ": " + message
}

func machineSelector() klabels.Selector {
	selector, err := metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: v1beta1.LabelMachine, Operator: metav1.LabelSelectorOpExists},
	}})
	if err != nil {
		return klabels.Nothing()
	}
	return selector
}
