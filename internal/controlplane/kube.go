package controlplane

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The values of LabelComponent.
const (
	ComponentKube = "kube"
	ComponentEtcd = "etcd"

	componentTrial        = "kube-trial"
	componentEtcdSnapshot = "etcd-snapshot"
	componentEtcdRestore  = "etcd-restore"
)

// nonRoot is the user that a control plane's containers run as.
const nonRoot int64 = 65532

const annotationSecretRevision = "berth.dev/secret-revision"

// kubeDeployment replaces a single pod rather than rolling it: its controller-manager
// and scheduler elect no leader, so that two of them must never run. While another
// version takes over, TrialPod answers. Several elect one, and are rolled.
func kubeDeployment(in Input) client.Object {
	strategy := appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	pod := corev1.PodTemplateSpec{
		ObjectMeta: in.podMeta(ComponentKube),
		Spec:       in.podSpec(kubeVolumes(), kubeContainer(in), konnectivityContainer(in)),
	}
	if in.Replicated {
		pod.Spec.TopologySpreadConstraints = spread(ComponentKube)
		pod.Spec.Containers[0].Lifecycle = linger()
		pod.Spec.Containers[1].Lifecycle = linger()
	}
	if in.Replicated && !in.Recreate {
		strategy = appsv1.DeploymentStrategy{
			Type:          appsv1.RollingUpdateDeploymentStrategyType,
			RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: ptr(intstr.FromInt32(1)), MaxSurge: ptr(intstr.FromInt32(0))},
		}
	}
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: in.meta(KubeDeployment),
		Spec: appsv1.DeploymentSpec{
			Replicas:             replicas(in.Stopped && !in.KubeStays, in.kubeReplicas()),
			RevisionHistoryLimit: ptr(int32(1)),
			Strategy:             strategy,
			Selector:             podsOf(ComponentKube),
			Template:             pod,
		},
	}
}

func (in Input) podMeta(component string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Labels:      in.componentLabels(component),
		Annotations: map[string]string{annotationSecretRevision: in.SecretRevision},
	}
}

func (in Input) podSpec(volumes []corev1.Volume, containers ...corev1.Container) corev1.PodSpec {
	return corev1.PodSpec{
		AutomountServiceAccountToken:  ptr(false),
		EnableServiceLinks:            ptr(false),
		TerminationGracePeriodSeconds: ptr(int64(15)),
		PriorityClassName:             "system-cluster-critical",
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr(true), RunAsUser: ptr(nonRoot), RunAsGroup: ptr(nonRoot), FSGroup: ptr(nonRoot),
			FSGroupChangePolicy: ptr(corev1.FSGroupChangeOnRootMismatch),
		},
		Containers: containers,
		Volumes:    volumes,
	}
}

// kubeMemory is for what the API server's cache and the controller-manager's hold of etcd: of
// 1 GB in ConfigMaps, which both do, 1.4 GB and 1.2 GB. kubeHeap is where Go begins to
// collect garbage for all it is worth, before the kernel ends the process.
const (
	kubeMemory = "4Gi"
	kubeHeap   = "3700MiB"
)

// kubeContainer collects garbage at twice the usual rate: half of a small control
// plane's memory would be garbage otherwise.
func kubeContainer(in Input) corev1.Container {
	return corev1.Container{
		Name:            "kube",
		Image:           in.Images.Kube,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            kubeCommand(in),
		Env:             []corev1.EnvVar{{Name: "GOGC", Value: "50"}, {Name: "GOMEMLIMIT", Value: kubeHeap}},
		Ports: []corev1.ContainerPort{
			{Name: "https", ContainerPort: APIServerPort, Protocol: corev1.ProtocolTCP},
		},
		Resources:       resources("100m", "256Mi", kubeMemory),
		SecurityContext: locked(),
		StartupProbe:    probe(httpsGet("/readyz", APIServerPort), 1, 120),
		ReadinessProbe:  probe(httpsGet("/readyz", APIServerPort), 5, 3),
		LivenessProbe:   alive(httpsGet("/livez?exclude=etcd", APIServerPort)), // to kill it heals no etcd
		VolumeMounts: []corev1.VolumeMount{
			{Name: "pki", MountPath: dirPKI, ReadOnly: true},
			{Name: "config", MountPath: dirConfig, ReadOnly: true},
			{Name: "audit", MountPath: dirAudit},
			{Name: "konnectivity", MountPath: dirKonnectivity},
		},
	}
}

func kubeVolumes() []corev1.Volume {
	fromRoots := []corev1.KeyToPath{
		{Key: keyCACert, Path: "ca.crt"}, {Key: keyCAKey, Path: "ca.key"}, {Key: keyEtcdCACert, Path: "etcd-ca.crt"},
		{Key: keyFrontProxyCACert, Path: keyFrontProxyCACert}, {Key: keySAKey, Path: keySAKey}, {Key: keySAPublic, Path: keySAPublic},
		{Key: keyEncryption, Path: keyEncryption},
	}
	return []corev1.Volume{
		{Name: "pki", VolumeSource: projected(secretItems(RootsSecret, fromRoots...), secretItems(KubeSecret))},
		{Name: "konnectivity-pki", VolumeSource: projected(secretItems(KonnectivitySecret))},
		{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: KubeConfigMap},
		}}},
		{Name: "audit", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: ptr(resource.MustParse("128Mi"))}}},
		{Name: "konnectivity", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
}

func secretItems(name string, items ...corev1.KeyToPath) corev1.VolumeProjection {
	return corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Items: items}}
}

// projected files are readable by the pod's group alone.
func projected(sources ...corev1.VolumeProjection) corev1.VolumeSource {
	return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources, DefaultMode: ptr(int32(0o440))}}
}

func locked() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr(false),
		ReadOnlyRootFilesystem:   ptr(true),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

func resources(cpu, memory, limit string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(limit)},
	}
}

func probe(handler corev1.ProbeHandler, periodSeconds, failures int32) *corev1.Probe {
	return &corev1.Probe{ProbeHandler: handler, PeriodSeconds: periodSeconds, FailureThreshold: failures, TimeoutSeconds: 5}
}

// alive notices within 45 seconds what hangs, and ends it: it does not end by being asked.
func alive(handler corev1.ProbeHandler) *corev1.Probe {
	return &corev1.Probe{ProbeHandler: handler, PeriodSeconds: 10, FailureThreshold: 4, TimeoutSeconds: 5, TerminationGracePeriodSeconds: ptr[int64](5)}
}

func httpsGet(path string, port int32) corev1.ProbeHandler {
	return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(port), Scheme: corev1.URISchemeHTTPS}}
}

func httpGet(path string, port int32) corev1.ProbeHandler {
	return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(port), Scheme: corev1.URISchemeHTTP}}
}

func ptr[T any](value T) *T { return &value }

// konnectivityContainer accepts the agents' tunnels and knows them by their
// service account, so that no key has to be kept in the cluster.
func konnectivityContainer(in Input) corev1.Container {
	const pki = "/etc/berth/konnectivity"
	var f flags
	f.set("mode", "grpc")
	f.set("uds-name", konnectivitySocket)
	f.set("server-port", "0")
	f.set("agent-port", fmt.Sprint(KonnectivityPort))
	f.set("admin-bind-address", "127.0.0.1")
	f.set("health-port", fmt.Sprint(konnectivityHealthPort))
	f.set("cluster-cert", pki+"/server.crt")
	f.set("cluster-key", pki+"/server.key")
	f.set("kubeconfig", pki+"/"+KubeconfigKey)
	f.set("agent-namespace", "kube-system")
	f.set("agent-service-account", "konnectivity-agent")
	f.set("authentication-audience", KonnectivityAudience)
	f.set("server-count", fmt.Sprint(in.kubeReplicas()))
	f.set("enable-profiling", "false")
	return corev1.Container{
		Name:            "konnectivity-server",
		Image:           in.Images.KonnectivityServer,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            f,
		Env:             []corev1.EnvVar{{Name: "GOGC", Value: "50"}},
		Ports:           []corev1.ContainerPort{{Name: "konnectivity", ContainerPort: KonnectivityPort, Protocol: corev1.ProtocolTCP}},
		Resources:       resources("5m", "16Mi", "256Mi"),
		SecurityContext: locked(),
		LivenessProbe:   alive(httpGet("/healthz", konnectivityHealthPort)),
		VolumeMounts: []corev1.VolumeMount{
			{Name: "konnectivity-pki", MountPath: pki, ReadOnly: true},
			{Name: "konnectivity", MountPath: dirKonnectivity},
		},
	}
}
