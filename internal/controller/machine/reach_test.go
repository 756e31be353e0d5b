package machine

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Only pods that can change the node's image keep its evidence from counting (G2, G5).
func TestReaches(t *testing.T) {
	yes := true
	hostPath := func(path string, readOnly bool) corev1.PodSpec {
		return corev1.PodSpec{
			Volumes:    []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path}}}},
			Containers: []corev1.Container{{VolumeMounts: []corev1.VolumeMount{{Name: "v", MountPath: "/v", ReadOnly: readOnly}}}},
		}
	}
	with := func(context corev1.SecurityContext) corev1.PodSpec {
		return corev1.PodSpec{Containers: []corev1.Container{{SecurityContext: &context}}}
	}
	adds := func(names ...corev1.Capability) corev1.PodSpec {
		return with(corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: names}})
	}
	initially := corev1.PodSpec{InitContainers: with(corev1.SecurityContext{Privileged: &yes}).Containers}
	for _, c := range []struct {
		why  string
		spec corev1.PodSpec
		want bool
	}{
		{"an ordinary pod", corev1.PodSpec{Containers: []corev1.Container{{}}}, false},
		{"an ingress controller", adds("NET_BIND_SERVICE"), false},
		{"one that reads logs", hostPath("/var/log", true), false},
		{"one that writes logs", hostPath("/var/log/app", false), false},
		{"one that reads the image", hostPath("/etc", true), false},
		{"one that writes to the image", hostPath("/etc/cron.d", false), true},
		{"one that climbs out", hostPath("/var/log/../../etc", false), true},
		{"one that has all of the node", hostPath("/", false), true},
		{"one that reads all of it, sockets too", hostPath("/", true), true},
		{"one that talks to the container runtime", hostPath("/run/containerd/containerd.sock", true), true},
		{"one that talks to the kubelet", hostPath("/var/lib/kubelet/device-plugins", true), true},
		{"one that makes devices", adds("MKNOD"), true},
		{"a volume that nobody mounts", corev1.PodSpec{Volumes: hostPath("/etc", false).Volumes, Containers: []corev1.Container{{}}}, false},
		{"mighty", adds("CAP_SYS_ADMIN"), true},
		{"privileged", with(corev1.SecurityContext{Privileged: &yes}), true},
		{"privileged at first", initially, true},
		{"with the node's processes", corev1.PodSpec{HostPID: true}, true},
	} {
		if got := reaches(&c.spec); got != c.want {
			t.Errorf("%s: %v", c.why, got)
		}
	}
}
