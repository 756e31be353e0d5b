package pod

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestOtherName(t *testing.T) {
	const digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	pulled, loaded := "registry/node@sha256:"+digest, "sha256:"+digest
	for _, c := range []struct {
		why, image, original, id, want string
	}{
		{"a pulled image is named by its digest", "registry/node:1", "", pulled, pulled},
		{"a loaded one by its id", "registry/node:1", "", loaded, loaded},
		{"the second time it has its own name", pulled, "registry/node:1", pulled, "registry/node:1"},
		{"the third time again the digest", "registry/node:1", "registry/node:1", pulled, pulled},
		{"a machine that never ran has one name alone", "registry/node:1", "", "", ""},
		{"an id of another kind is no name", "registry/node:1", "", "node:1", ""},
	} {
		pod := renderPod(someMachine(), Options{})
		pod.Spec.Containers[0].Image = c.image
		if c.original != "" {
			pod.Annotations[annotationImage] = c.original
		}
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "other", ImageID: "sha256:other"}, {Name: ContainerName, ImageID: c.id}}
		if got, err := otherName(pod); got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: %q, %v, want %q", c.why, got, err, c.want)
		}
	}
}
