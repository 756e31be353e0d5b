package pod_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/machine/conformance"
	"berth.dev/berth/internal/machine/pod"
	"berth.dev/berth/internal/testenv"
)

// kubelet plays the management cluster's kubelets.
type kubelet struct{ client client.Client }

func TestConformance(t *testing.T) {
	env := testenv.New(t, testenv.Options{})
	c, err := env.Client()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mc-conformance00", "mc-conformance01"} {
		if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	k := kubelet{c}
	conformance.Run(t, conformance.Fixture{
		Provider: pod.New(c, c, pod.Options{}),
		Boot:     k.boot, Fail: k.fail, Reboot: k.reboot, Halt: k.halt, Files: k.files,
	})
}

func (k kubelet) pod(t *testing.T, ref machine.Ref) *corev1.Pod {
	t.Helper()
	found := &corev1.Pod{}
	key := client.ObjectKey{Namespace: v1beta1.MachineNamespace(ref.ClusterID), Name: ref.Name}
	if err := k.client.Get(t.Context(), key, found); err != nil {
		t.Fatal(err)
	}
	return found
}

func (k kubelet) boot(t *testing.T, ref machine.Ref) string {
	t.Helper()
	found := k.pod(t, ref)
	binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "management"}}
	if err := k.client.SubResource("binding").Create(t.Context(), found, binding); err != nil {
		t.Fatal(err)
	}
	found = k.pod(t, ref)
	address := fmt.Sprintf("100.64.0.%d", len(ref.Name))
	found.Status.Phase, found.Status.PodIP = corev1.PodRunning, address
	found.Status.PodIPs = []corev1.PodIP{{IP: address}}
	found.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: pod.ContainerName, Image: found.Spec.Containers[0].Image, ImageID: imageID, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
	}}
	if err := k.client.Status().Update(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	return address
}

// imageID is the node image's name by digest, as a container runtime tells it.
const imageID = "registry.berth.internal/berth/node@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// reboot starts a container again whose image has another name, as a kubelet does.
func (k kubelet) reboot(t *testing.T, ref machine.Ref) {
	t.Helper()
	found := k.pod(t, ref)
	status := &found.Status.ContainerStatuses[0]
	if status.Image == found.Spec.Containers[0].Image {
		t.Fatalf("nobody asked for a reboot: the image is still %s", status.Image)
	}
	status.Image = found.Spec.Containers[0].Image
	status.RestartCount++
	if err := k.client.Status().Update(t.Context(), found); err != nil {
		t.Fatal(err)
	}
}

func (k kubelet) fail(t *testing.T, ref machine.Ref) {
	t.Helper()
	found := k.pod(t, ref)
	found.Status.Phase, found.Status.Reason, found.Status.Message = corev1.PodFailed, "Evicted", "the node was low on memory"
	if err := k.client.Status().Update(t.Context(), found); err != nil {
		t.Fatal(err)
	}
}

// halt confirms a removal; a pod that never ran is gone without.
func (k kubelet) halt(t *testing.T, ref machine.Ref) {
	t.Helper()
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.MachineNamespace(ref.ClusterID), Name: ref.Name}}
	if err := client.IgnoreNotFound(k.client.Delete(t.Context(), object, client.GracePeriodSeconds(0))); err != nil {
		t.Fatal(err)
	}
}

func (k kubelet) files(t *testing.T, ref machine.Ref) map[string][]byte {
	t.Helper()
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: v1beta1.MachineNamespace(ref.ClusterID), Name: ref.Name}
	err := k.client.Get(t.Context(), key, secret)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return secret.Data
}
