package pod

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
)

const (
	// AnnotationOwner on a Pod is the namespace and name of its Machine object,
	// which does not always fit into a label.
	AnnotationOwner = "berth.dev/machine-object"
	// ContainerName is the name of a machine's only container.
	ContainerName = "machine"

	graceSeconds = 30
	filesVolume  = "files"
)

// What a machine asks of the scheduler is little: machines are overcommitted, as
// tenants seldom use what their nodes report.
const (
	requestedCPU    = "50m"
	requestedMemory = "256Mi"
)

// disks are the directories of a machine that must not lie on an overlay.
var disks = []string{"/var/lib/containerd", "/var/lib/kubelet", "/var/log"}

func labels(ref machine.Ref) map[string]string {
	return map[string]string{v1beta1.LabelClusterID: ref.ClusterID, v1beta1.LabelMachine: ref.Name}
}

func objectMeta(m machine.Machine) metav1.ObjectMeta {
	all := labels(m.Ref)
	all[v1beta1.LabelAgentPool] = m.Pool
	return metav1.ObjectMeta{
		Namespace:   v1beta1.MachineNamespace(m.ClusterID),
		Name:        m.Name,
		Labels:      all,
		Annotations: map[string]string{AnnotationOwner: m.Owner.String()},
	}
}

func renderSecret(m machine.Machine) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: objectMeta(m), Type: corev1.SecretTypeOpaque, Data: m.Files}
}

func renderPod(m machine.Machine, options Options) *corev1.Pod {
	container := corev1.Container{
		Name:            ContainerName,
		Image:           m.Image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		SecurityContext: &corev1.SecurityContext{Privileged: new(true)},
		Resources:       resources(m),
	}
	volumes := volumes(m)
	for _, volume := range volumes {
		container.VolumeMounts = append(container.VolumeMounts, volume.mount)
	}
	pod := &corev1.Pod{ObjectMeta: objectMeta(m), Spec: corev1.PodSpec{
		Hostname:                      m.Name,
		Containers:                    []corev1.Container{container},
		RestartPolicy:                 corev1.RestartPolicyAlways,
		TerminationGracePeriodSeconds: new(int64(graceSeconds)),
		DNSPolicy:                     corev1.DNSDefault,
		AutomountServiceAccountToken:  new(false),
		EnableServiceLinks:            new(false),
		PriorityClassName:             options.PriorityClassName,
		Affinity:                      spread(m),
	}}
	for _, volume := range volumes {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: volume.mount.Name, VolumeSource: volume.source})
	}
	return pod
}

func resources(m machine.Machine) corev1.ResourceRequirements {
	limits := corev1.ResourceList{}
	if m.CPUs > 0 {
		limits[corev1.ResourceCPU] = *resource.NewQuantity(int64(m.CPUs), resource.DecimalSI)
	}
	if m.MemoryMiB > 0 {
		limits[corev1.ResourceMemory] = *resource.NewQuantity(m.MemoryMiB<<20, resource.BinarySI)
	}
	return corev1.ResourceRequirements{
		Limits: limits,
		Requests: corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse(requestedCPU),
			corev1.ResourceMemory: resource.MustParse(requestedMemory),
		},
	}
}

type mountedVolume struct {
	mount  corev1.VolumeMount
	source corev1.VolumeSource
}

func volumes(m machine.Machine) []mountedVolume {
	all := []mountedVolume{
		{
			corev1.VolumeMount{Name: filesVolume, MountPath: machine.FilesDir, ReadOnly: true},
			corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: m.Name, DefaultMode: new(int32(0o400))}},
		},
		{
			corev1.VolumeMount{Name: "run", MountPath: "/run"},
			corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}},
		},
	}
	for _, path := range disks {
		disk := &corev1.EmptyDirVolumeSource{}
		if m.DiskGiB > 0 {
			disk.SizeLimit = resource.NewQuantity(int64(m.DiskGiB)<<30, resource.BinarySI)
		}
		all = append(all, mountedVolume{
			corev1.VolumeMount{Name: volumeName(path), MountPath: path},
			corev1.VolumeSource{EmptyDir: disk},
		})
	}
	return all
}

// volumeName is the last part of a path.
func volumeName(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[i+1:]
		}
	}
	return path
}

// spread keeps machines of a pool on different management nodes where it can.
// It asks for a host that the machine shall rather be on or not be on before all.
func spread(m machine.Machine) *corev1.Affinity {
	term := func(weight int32, labels map[string]string) corev1.WeightedPodAffinityTerm {
		return corev1.WeightedPodAffinityTerm{Weight: weight, PodAffinityTerm: corev1.PodAffinityTerm{
			LabelSelector: &metav1.LabelSelector{MatchLabels: labels},
			TopologyKey:   corev1.LabelHostname,
		}}
	}
	cluster := map[string]string{v1beta1.LabelClusterID: m.ClusterID}
	pool := map[string]string{v1beta1.LabelClusterID: m.ClusterID, v1beta1.LabelAgentPool: m.Pool}
	affinity := &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{term(100, pool), term(50, cluster)},
	}}
	host := func(operator corev1.NodeSelectorOperator, name string) {
		affinity.NodeAffinity = &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{
			Weight: 100, Preference: corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{
				{Key: metav1.ObjectNameField, Operator: operator, Values: []string{name}},
			}},
		}}}
	}
	switch {
	case m.Near != "":
		host(corev1.NodeSelectorOpIn, m.Near)
	case m.Avoid != "":
		host(corev1.NodeSelectorOpNotIn, m.Avoid)
	}
	return affinity
}
