package controlplane

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// ProvePod is the name of the pod that EtcdProvePod renders.
const ProvePod = "etcd-prove"

const (
	scratch    = "scratch"
	dirScratch = "/scratch"
)

// EtcdProvePod renders a pod that restores the cluster's newest backups into a scratch
// etcd, compares that with the running one and ends (X2); its last message is a report.
// It touches nothing of the cluster's. ID tells proofs apart: each is made once.
func EtcdProvePod(in Input, id string) *corev1.Pod {
	f := backupFlags(in)
	f.set("live", fmt.Sprintf("https://%s:%d", in.EtcdAddress, EtcdPort))
	f.set("live-cacert", dirPKI+"/etcd-ca.crt")
	f.set("scratch", dirScratch)
	pki := backupPKI(secretItems(RootsSecret, corev1.KeyToPath{Key: keyEtcdCACert, Path: "etcd-ca.crt"}))
	room := resource.MustParse(etcdVolume)
	container := runsOnce(in, ProvePod, append([]string{"prove"}, f...))
	container.VolumeMounts = []corev1.VolumeMount{{Name: scratch, MountPath: dirScratch}, {Name: pki.Name, MountPath: dirPKI, ReadOnly: true}}
	pod := in.podThatRunsOnce(container, pki, corev1.Volume{
		Name: scratch, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &room}},
	})
	asksForBackups(in, pod, id)
	return pod
}
