package controlplane

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"berth.dev/berth/api/v1beta1"
)

// RecoverPod is the name of the pod that EtcdRecoverPod renders.
const RecoverPod = "etcd-recover"

// BackupService is the Service in Berth's namespace that gives backups back.
const BackupService = "berth-backup"

// backupHost is a name in the certificate of that service, which a management cluster
// without DNS does not resolve.
const backupHost = "berth." + v1beta1.SystemNamespace + ".svc"

// EtcdRecoverPod renders a pod that examines etcd's data, puts what backups hold in
// their place if they are lost, and ends; its last message is a report. Etcd must not
// run beside it, unless it waits for data (BesideEtcd). ID tells recoveries apart: each is done once.
//
// Of a highly available etcd it looks at the data of the member with this ordinal, which
// is alone afterwards. Complete says that this one has all that was acknowledged: it goes on with
// that where no backup can be asked for.
func EtcdRecoverPod(in Input, id string, ordinal int32, complete bool) *corev1.Pod {
	f := backupFlags(in)
	f.set("data-dir", etcdData)
	f.set("name", MemberName(ordinal))
	f.set("peer", in.peer(ordinal))
	f.set("token", in.ID)
	f.set("id", id)
	if in.highlyAvailable() {
		f.set("alone", "true")
		if complete {
			f.set("complete", "true")
		}
	}
	pod := etcdTool(in, RecoverPod, append([]string{"recover"}, f...), backupPKI())
	pod.Spec.Volumes[len(pod.Spec.Volumes)-1].PersistentVolumeClaim.ClaimName = MemberClaim(ordinal)
	asksForBackups(in, pod, id)
	return pod
}

// annotationBeside says beside what a pod runs.
const (
	annotationBeside = "berth.dev/beside"
	besideEtcd       = "etcd"
)

// BesideEtcd has a pod of EtcdRecoverPod run while etcd's own waits for data, on the node
// where that one is, since the volume may belong to one node.
func BesideEtcd(pod *corev1.Pod) *corev1.Pod {
	pod.Annotations[annotationBeside] = besideEtcd
	pod.Spec.Affinity = whereEtcdIs()
	return pod
}

// RunsBesideEtcd says whether a pod is one that BesideEtcd made.
func RunsBesideEtcd(pod *corev1.Pod) bool { return pod.Annotations[annotationBeside] == besideEtcd }

// whereEtcdIs keeps a pod to the node of etcd.
func whereEtcdIs() *corev1.Affinity {
	return &corev1.Affinity{PodAffinity: &corev1.PodAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			LabelSelector: podsOf(ComponentEtcd), TopologyKey: corev1.LabelHostname,
		}},
	}}
}

// EtcdLookPod renders a pod that says how far the data of a member reach, and changes
// nothing. It has the name of the pod that recovers, since etcd may run beside neither.
func EtcdLookPod(in Input, id string, ordinal int32) *corev1.Pod {
	var f flags
	f.set("data-dir", etcdData)
	f.set("report", corev1.TerminationMessagePathDefault)
	pod := etcdTool(in, RecoverPod, append([]string{"look"}, f...))
	pod.Spec.Volumes[len(pod.Spec.Volumes)-1].PersistentVolumeClaim.ClaimName = MemberClaim(ordinal)
	pod.Annotations[AnnotationSnapshot] = id
	return pod
}

// backupFlags say where the cluster's backups are, and who asks for them.
func backupFlags(in Input) flags {
	var f flags
	f.set("source", fmt.Sprintf("https://%s:%d/backups/%s", backupHost, backupPort, in.ID))
	f.set("cacert", dirPKI+"/ca.crt")
	f.set("cert", dirPKI+"/client.crt")
	f.set("key", dirPKI+"/client.key")
	f.set("report", corev1.TerminationMessagePathDefault)
	return f
}

// backupPKI holds the files that backupFlags name, and more.
func backupPKI(more ...corev1.VolumeProjection) corev1.Volume {
	return corev1.Volume{Name: "pki", VolumeSource: projected(append([]corev1.VolumeProjection{
		secretItems(BackupSecret),
		{ConfigMap: &corev1.ConfigMapProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: EtcdConfigMap}, Items: []corev1.KeyToPath{{Key: keyBackupCA, Path: "ca.crt"}},
		}},
	}, more...)...)}
}

// asksForBackups lets a pod find who gives backups back.
func asksForBackups(in Input, pod *corev1.Pod, id string) {
	pod.Annotations[AnnotationSnapshot] = id
	pod.Spec.HostAliases = []corev1.HostAlias{{IP: in.BackupAddress, Hostnames: []string{backupHost}}}
}
