package pod

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
)

const (
	// annotationRebooted is the number of boots that the machine had when it was last
	// asked to boot again.
	annotationRebooted = "berth.dev/rebooted-after"
	// annotationImage is the image's name that the pod was made with.
	annotationImage = "berth.dev/image"
)

// Reboot implements machine.Provider. A pod's image is the one thing whose change has
// a kubelet end a container, by force if need be, and start it again in the same pod,
// with its volumes. So the image gets another name: the one by digest, or the id, that
// its host tells, and the next time the name that it had. Request and name are one write.
func (p *Provider) Reboot(ctx context.Context, ref machine.Ref, seen machine.Observation) error {
	pod := &corev1.Pod{}
	key := client.ObjectKey{Namespace: v1beta1.MachineNamespace(ref.ClusterID), Name: ref.Name}
	if err := p.reader.Get(ctx, key, pod); err != nil {
		return fmt.Errorf("read pod of machine %s: %w", ref.Name, err)
	}
	boots := strconv.Itoa(int(seen.Boots))
	now := observe(pod)
	if now.Incarnation != seen.Incarnation || now.Boots != seen.Boots || now.State == machine.Stopping || pod.Annotations[annotationRebooted] == boots {
		return nil
	}
	name, err := otherName(pod)
	if err != nil {
		return fmt.Errorf("reboot machine %s: %w", ref.Name, err)
	}
	if pod.Annotations[annotationImage] == "" {
		pod.Annotations[annotationImage] = machineContainer(pod).Image
	}
	pod.Annotations[annotationRebooted] = boots
	machineContainer(pod).Image = name
	if err := p.client.Update(ctx, pod); err != nil {
		return fmt.Errorf("reboot machine %s: %w", ref.Name, err)
	}
	return nil
}

// otherName is another name of the image that the pod runs.
func otherName(pod *corev1.Pod) (string, error) {
	container := machineContainer(pod)
	if container == nil {
		return "", fmt.Errorf("its pod has no container %s", ContainerName)
	}
	if original := pod.Annotations[annotationImage]; original != "" && original != container.Image {
		return original, nil
	}
	for _, status := range pod.Status.ContainerStatuses {
		// An image that was not pulled but loaded has an id and no digest.
		if status.Name == ContainerName && (strings.Contains(status.ImageID, "@sha256:") || strings.HasPrefix(status.ImageID, "sha256:")) {
			return status.ImageID, nil
		}
	}
	return "", fmt.Errorf("its host names its image in no other way than %s", container.Image)
}

func machineContainer(pod *corev1.Pod) *corev1.Container {
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Name == ContainerName {
			return &pod.Spec.Containers[i]
		}
	}
	return nil
}
