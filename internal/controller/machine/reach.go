package machine

import (
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// mighty are the capabilities by which a container gets at the files of its node.
var mighty = []corev1.Capability{"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "SYS_PTRACE", "DAC_READ_SEARCH", "MKNOD", "BPF"}

// harmless are directories of a node that hold nothing of its image, nor a way to it.
var harmless = []string{"/var/log", "/var/cache", "/mnt", "/media", "/data", "/srv", "/home", "/tmp"}

// talkative are those with sockets, devices and mounts of their own, which also a read-only
// mount lets use.
var talkative = []string{"/run", "/var/run", "/dev", "/var/lib/kubelet", "/var/lib/containerd"}

// reaches says whether a pod can change files of its node's image: it is privileged, sees
// the node's processes, or has a directory by which it gets there.
func reaches(spec *corev1.PodSpec) bool {
	if spec.HostPID {
		return true
	}
	paths := map[string]string{}
	for _, volume := range spec.Volumes {
		if volume.HostPath != nil {
			paths[volume.Name] = filepath.Clean(volume.HostPath.Path)
		}
	}
	return slices.ContainsFunc(containersOf(spec), func(one corev1.Container) bool {
		return powerful(one.SecurityContext) || slices.ContainsFunc(one.VolumeMounts, func(mount corev1.VolumeMount) bool {
			path, ofHost := paths[mount.Name]
			return ofHost && opens(path, mount.ReadOnly)
		})
	})
}

// opens says whether a directory of the node lets a pod at the image's files.
func opens(path string, readOnly bool) bool {
	if slices.ContainsFunc(talkative, func(dir string) bool { return below(path, dir) || below(dir, path) }) {
		return true
	}
	return !readOnly && !slices.ContainsFunc(harmless, func(dir string) bool { return below(path, dir) })
}

// below says whether a path is a directory or lies in it.
func below(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// containersOf are all of a pod's, whenever they run.
func containersOf(spec *corev1.PodSpec) []corev1.Container {
	all := slices.Concat(spec.InitContainers, spec.Containers)
	for i := range spec.EphemeralContainers {
		all = append(all, corev1.Container(spec.EphemeralContainers[i].EphemeralContainerCommon))
	}
	return all
}

func powerful(context *corev1.SecurityContext) bool {
	if context == nil {
		return false
	}
	if context.Privileged != nil && *context.Privileged {
		return true
	}
	return context.Capabilities != nil && slices.ContainsFunc(context.Capabilities.Add, func(added corev1.Capability) bool {
		return slices.Contains(mighty, corev1.Capability(strings.TrimPrefix(strings.ToUpper(string(added)), "CAP_")))
	})
}
