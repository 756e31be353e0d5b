package controlplane

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	dirEtcd    = "/var/lib/etcd"
	dirEtcdPKI = "/etc/berth/etcd"
	dataClaim  = "data"

	// etcdQuota is how much a cluster may store (AKS: 8 GB), in bytes; the volume
	// holds it with room for the log and a defragmentation.
	etcdQuota  = 8 << 30
	etcdVolume = "20Gi"
)

// etcd holds the last entries of its log in memory, whatever their size (up to 1.5 MiB each),
// and reads at a start all that came after its last snapshot of raft. With etcd's own figures,
// 5,000 and 10,000, a database of 1 GB in large objects takes more than etcdMemory.
const (
	etcdReplay = 1000
	// A member that is alone has nobody who falls behind; others get the whole database
	// once they are further behind than this.
	etcdKeptAlone   = 100
	etcdKeptMembers = 1000
	etcdMemory      = "2Gi"
	etcdHeap        = "1800MiB" // as kubeHeap
)

func (in Input) etcdKept() int {
	if in.highlyAvailable() {
		return etcdKeptMembers
	}
	return etcdKeptAlone
}

// etcdStatefulSet has one member, whose peer address is its own loopback, so that a pod
// that comes back with another address is still the same member; or several, whose
// addresses are those of their Services.
func etcdStatefulSet(in Input) client.Object {
	claim := corev1.PersistentVolumeClaim{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: metav1.ObjectMeta{Name: dataClaim, Labels: in.labels()},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(etcdVolume)},
			},
		},
	}
	certificates := EtcdSecret
	if in.highlyAvailable() {
		certificates = MembersSecret
	}
	volumes := []corev1.Volume{{Name: "pki", VolumeSource: projected(
		secretItems(RootsSecret, corev1.KeyToPath{Key: keyEtcdCACert, Path: "ca.crt"}),
		secretItems(certificates),
	)}}
	pod := corev1.PodTemplateSpec{ObjectMeta: in.podMeta(ComponentEtcd), Spec: in.podSpec(volumes, etcdContainer(in))}
	if in.highlyAvailable() {
		pod.Annotations[annotationSecretRevision] = in.MemberRevision
		pod.Spec.HostAliases = memberAliases(in)
		pod.Spec.TopologySpreadConstraints = spread(ComponentEtcd)
	}
	return &appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: in.meta(EtcdStatefulSet),
		Spec: appsv1.StatefulSetSpec{
			Replicas:             replicas(in.Stopped && !in.EtcdLast, in.Members),
			RevisionHistoryLimit: ptr(int32(1)),
			ServiceName:          EtcdService,
			PodManagementPolicy:  appsv1.ParallelPodManagement,
			Selector:             podsOf(ComponentEtcd),
			Template:             pod,
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{claim},
		},
	}
}

// etcdContainer is probed in the clear on ports that serve health and metrics
// only; the API server compacts the history. Its liveness is what components/etcd/server
// adds to etcd: a member answers nothing while it is defragmented, as one that hangs.
func etcdContainer(in Input) corev1.Container {
	container := corev1.Container{
		Name:            "etcd",
		Image:           in.Images.Etcd,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            etcdFlags(in),
		Env:             etcdEnv(),
		Ports:           []corev1.ContainerPort{{Name: "client", ContainerPort: EtcdPort, Protocol: corev1.ProtocolTCP}},
		Resources:       resources("25m", "64Mi", etcdMemory),
		SecurityContext: locked(),
		StartupProbe:    probe(httpGet("/readyz", etcdMetricsPort), 1, etcdStarts),
		ReadinessProbe:  probe(httpGet("/readyz", etcdMetricsPort), 10, 3),
		LivenessProbe:   alive(httpGet("/livez", etcdLivezPort)),
		VolumeMounts: []corev1.VolumeMount{
			{Name: dataClaim, MountPath: dirEtcd},
			{Name: "pki", MountPath: dirEtcdPKI, ReadOnly: true},
		},
	}
	if !in.highlyAvailable() {
		container.Env = append(container.Env, awaitsData()...)
		return container
	}
	container.Args = memberFlags(in)
	container.Ports = append(container.Ports, corev1.ContainerPort{Name: "peer", ContainerPort: etcdPeerPort, Protocol: corev1.ProtocolTCP})
	container.Env = append(container.Env,
		corev1.EnvVar{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}},
		corev1.EnvVar{Name: "ETCD_INITIAL_CLUSTER", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: EtcdConfigMap}, Key: keyInitialCluster,
		}}})
	// The API servers go on with the others while one is away.
	container.ReadinessProbe.PeriodSeconds = 2
	return container
}

func etcdEnv() []corev1.EnvVar {
	return []corev1.EnvVar{
		{Name: "GOGC", Value: "50"}, {Name: "GOMEMLIMIT", Value: etcdHeap},
		{Name: "BERTH_LIVEZ_LISTEN", Value: fmt.Sprintf("0.0.0.0:%d", etcdLivezPort)},
		{Name: "BERTH_LIVEZ_ASK", Value: fmt.Sprintf("http://127.0.0.1:%d/livez", etcdMetricsPort)},
		{
			// Not a flag: its change must not replace the pod.
			Name: "ETCD_INITIAL_CLUSTER_STATE",
			ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: EtcdConfigMap}, Key: keyClusterState, Optional: ptr(true),
			}},
		},
	}
}

// EtcdExitNoData is the exit code of the first process of etcd in a pod that finds no data
// where there were some. Those after it wait until there are (components/etcd/server).
const EtcdExitNoData = 66

// awaitsData has an etcd that is alone wait for data that it has lost: only a recovery gives
// them back, which need not end the pod then.
func awaitsData() []corev1.EnvVar {
	return []corev1.EnvVar{
		{Name: "BERTH_AWAIT_DATA_DIR", Value: etcdData},
		{Name: "BERTH_AWAIT_POD", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.uid"}}},
	}
}

// etcdStarts is how many seconds an etcd may take to start: it reads all of its database
// before it answers, and 8 GiB take nine minutes from a disk of 15 MB/s.
const etcdStarts = 600

// EtcdConfigMap holds what etcd's containers read when they start.
const EtcdConfigMap = "etcd"

const (
	keyClusterState = "initial-cluster-state"
	stateExisting   = "existing"
	keyBackupCA     = "backup-ca.crt"
)

// etcdConfigMap has an etcd that lost its data refuse to begin an empty cluster: it ends,
// and what it held is recovered.
func etcdConfigMap(in Input) client.Object {
	state := "new"
	if in.Initialized {
		state = stateExisting
	}
	data := map[string]string{keyClusterState: state, keyBackupCA: in.BackupCA}
	if in.highlyAvailable() {
		data[keyInitialCluster] = in.initialCluster()
	}
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: in.meta(EtcdConfigMap),
		Data:       data,
	}
}

// What makes the member; a restore must say the same.
const (
	etcdMember = "etcd-0"
	etcdPeer   = "http://127.0.0.1:2380"
	etcdData   = dirEtcd + "/data"
)

func etcdFlags(in Input) flags {
	var f flags
	f.set("name", etcdMember)
	f.set("data-dir", etcdData)
	f.set("listen-client-urls", fmt.Sprintf("https://0.0.0.0:%d", EtcdPort))
	f.set("advertise-client-urls", fmt.Sprintf("https://%s:%d", in.EtcdAddress, EtcdPort))
	f.set("listen-peer-urls", etcdPeer)
	f.set("initial-advertise-peer-urls", etcdPeer)
	f.set("initial-cluster", etcdMember+"="+etcdPeer)
	f.shared(in)
	return f
}

// shared are the flags of every member, alone or not.
func (f *flags) shared(in Input) {
	f.set("initial-cluster-token", in.ID)
	f.set("listen-metrics-urls", fmt.Sprintf("http://0.0.0.0:%d", etcdMetricsPort))
	f.set("client-cert-auth", "true")
	f.set("trusted-ca-file", dirEtcdPKI+"/ca.crt")
	f.set("cert-file", dirEtcdPKI+"/server.crt")
	f.set("key-file", dirEtcdPKI+"/server.key")
	f.set("quota-backend-bytes", fmt.Sprint(etcdQuota))
	f.set("max-snapshots", "2")
	f.set("max-wals", "2")
	f.set("snapshot-count", fmt.Sprint(etcdReplay))
	f.set("snapshot-catchup-entries", fmt.Sprint(in.etcdKept()))
	f.set("log-level", "warn")
}
