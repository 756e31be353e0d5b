package controlplane

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The names of the pods that save and restore what etcd holds.
const (
	SnapshotPod = componentEtcdSnapshot
	RestorePod  = componentEtcdRestore
)

// AnnotationSnapshot names the snapshot that such a pod is about.
const AnnotationSnapshot = "berth.dev/snapshot"

const dirSnapshots = dirEtcd + "/snapshots"

// EtcdSnapshotPod renders a pod that saves what etcd holds under the given name
// in etcd's own volume, and ends. It runs where etcd does, since the volume may
// belong to one node.
func EtcdSnapshotPod(in Input, name string) *corev1.Pod {
	var f flags
	f.set("endpoint", fmt.Sprintf("https://%s:%d", in.EtcdAddress, EtcdPort))
	f.set("cacert", dirPKI+"/etcd-ca.crt")
	f.set("cert", dirPKI+"/apiserver-etcd-client.crt")
	f.set("key", dirPKI+"/apiserver-etcd-client.key")
	f.set("to", dirSnapshots+"/"+name)
	pki := corev1.Volume{Name: "pki", VolumeSource: projected(
		secretItems(RootsSecret, corev1.KeyToPath{Key: keyEtcdCACert, Path: "etcd-ca.crt"}),
		secretItems(KubeSecret,
			corev1.KeyToPath{Key: "apiserver-etcd-client.crt", Path: "apiserver-etcd-client.crt"},
			corev1.KeyToPath{Key: "apiserver-etcd-client.key", Path: "apiserver-etcd-client.key"}),
	)}
	pod := etcdTool(in, SnapshotPod, append([]string{"save"}, f...), pki)
	pod.Annotations[AnnotationSnapshot] = name
	pod.Spec.Affinity = whereEtcdIs()
	return pod
}

// EtcdRestorePod renders a pod that puts a snapshot in the place of etcd's data,
// and ends. It has no network, and etcd must not run beside it.
func EtcdRestorePod(in Input, name string) *corev1.Pod {
	var f flags
	f.set("from", dirSnapshots+"/"+name)
	f.set("data-dir", etcdData)
	f.set("name", etcdMember)
	f.set("peer", in.peer(0))
	f.set("token", in.ID)
	pod := etcdTool(in, RestorePod, append([]string{"restore"}, f...))
	pod.Annotations[AnnotationSnapshot] = name
	return pod
}

// etcdTool is a pod beside etcd's volume that runs once. What it says last is in
// its status.
func etcdTool(in Input, name string, args []string, volumes ...corev1.Volume) *corev1.Pod {
	container := runsOnce(in, name, args)
	container.VolumeMounts = []corev1.VolumeMount{{Name: dataClaim, MountPath: dirEtcd}}
	for _, volume := range volumes {
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: volume.Name, MountPath: dirPKI, ReadOnly: true})
	}
	return in.podThatRunsOnce(container, append(volumes, corev1.Volume{Name: dataClaim, VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: MemberClaim(0)},
	}})...)
}

// runsOnce is the container of such a pod, without its volumes.
func runsOnce(in Input, name string, args []string) corev1.Container {
	return corev1.Container{
		Name: name, Image: in.Images.EtcdSnapshot, ImagePullPolicy: corev1.PullIfNotPresent, Args: args,
		Resources: resources("25m", "64Mi", "2Gi"), SecurityContext: locked(),
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
}

// podThatRunsOnce has the name of its container.
func (in Input) podThatRunsOnce(container corev1.Container, volumes ...corev1.Volume) *corev1.Pod {
	pod := in.pod(container.Name, in.podSpec(volumes, container))
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	return pod
}

// pod renders a pod that stands for itself.
func (in Input) pod(component string, spec corev1.PodSpec) *corev1.Pod {
	meta := in.meta(component)
	meta.Labels = in.componentLabels(component)
	return &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: meta, Spec: spec}
}
