package install

import (
	"fmt"
	"net"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func deployment(c Config) client.Object {
	labels := map[string]string{labelName: Name}
	one, dns := int32(1), corev1.DNSClusterFirst
	if c.NoClusterDNS {
		dns = corev1.DNSDefault
	}
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "Deployment"},
		ObjectMeta: meta(Name),
		Spec: appsv1.DeploymentSpec{
			Replicas: &one,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{"berth.dev/revision": revision(c)}},
				Spec: corev1.PodSpec{
					ServiceAccountName: Name,
					PriorityClassName:  "system-cluster-critical",
					DNSPolicy:          dns,
					EnableServiceLinks: new(bool),
					SecurityContext:    &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
					Containers:         []corev1.Container{container(c)},
					Volumes:            volumes(c),
				},
			},
		},
	}
}

// leaveTime is how many seconds the nodes have to learn that a pod goes.
const leaveTime = 5

func container(c Config) corev1.Container {
	no := false
	return corev1.Container{
		Name:            Name,
		Image:           c.Image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            append([]string{"serve"}, flags(c)...),
		Env: []corev1.EnvVar{
			{Name: "GOGC", Value: "50"},
			{Name: "POD_UID", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.uid"}}},
		},
		EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: BackupCredentials}, Optional: new(true),
		}}},
		Ports: []corev1.ContainerPort{
			{Name: "arm", ContainerPort: portARM}, {Name: "gateway", ContainerPort: portGateway},
			{Name: "registry", ContainerPort: RegistryPort}, {Name: "webhook", ContainerPort: portWebhook},
			{Name: "health", ContainerPort: portHealth}, {Name: "backup", ContainerPort: portBackup},
		},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("100Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")},
		},
		StartupProbe:   probe("/healthz", 1, 120),
		LivenessProbe:  probe("/healthz", 10, 5),
		ReadinessProbe: probe("/readyz", 2, 3),
		// A pod that is replaced answers until no node sends it connections any more:
		// clusters' API servers are reached through it.
		Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: leaveTime}}},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: &no,
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "catalogue", MountPath: catalogueDir, ReadOnly: true},
			{Name: "tls", MountPath: tlsDir, ReadOnly: true},
			{Name: "identity", MountPath: identityDir, ReadOnly: true},
			{Name: "ca", MountPath: caDir, ReadOnly: true},
			{Name: "registry", MountPath: registryDir},
			{Name: "backups", MountPath: backupDir},
			{Name: "backup-scratch", MountPath: backupScratchDir},
		},
	}
}

// flags are those of `berth serve`.
func flags(c Config) []string {
	list := []string{
		"--catalogue=" + catalogueDir + "/" + CatalogueKey,
		"--tls-cert=" + tlsDir + "/" + corev1.TLSCertKey,
		"--tls-key=" + tlsDir + "/" + corev1.TLSPrivateKeyKey,
		"--ca-file=" + caDir + "/" + CAKey,
		"--identity-dir=" + identityDir,
		fmt.Sprintf("--arm-address=:%d", portARM),
		"--public-url=" + c.PublicURL,
		fmt.Sprintf("--gateway-address=:%d", portGateway),
		"--gateway-public=" + c.GatewayAddress,
		fmt.Sprintf("--registry-address=:%d", RegistryPort),
		"--registry-dir=" + registryDir,
		fmt.Sprintf("--backup-address=:%d", portBackup),
		"--backup-store=" + BackupStore,
		"--backup-scratch=" + backupScratchDir,
		fmt.Sprintf("--webhook-address=:%d", portWebhook),
		fmt.Sprintf("--health-address=:%d", portHealth),
		"--pod-uid=$(POD_UID)",
	}
	if c.Registry.ClusterIP != "" {
		list = append(list, "--registry-machine-address="+net.JoinHostPort(c.Registry.ClusterIP, fmt.Sprint(RegistryPort)))
	}
	if len(c.ProxyProtocolFrom) > 0 {
		list = append(list, "--proxy-protocol-from="+strings.Join(c.ProxyProtocolFrom, ","))
	}
	return list
}

func volumes(c Config) []corev1.Volume {
	configMap := func(name string) corev1.VolumeSource {
		return corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}
	}
	secret := func(name string) corev1.VolumeSource {
		return corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name}}
	}
	return []corev1.Volume{
		{Name: "catalogue", VolumeSource: configMap(CatalogueMap)},
		{Name: "tls", VolumeSource: secret(TLSSecret)},
		{Name: "identity", VolumeSource: secret(IdentitySecret)},
		{Name: "ca", VolumeSource: configMap(CAConfigMap)},
		{Name: "registry", VolumeSource: directoryOr(c.Registry.HostPath, registryClaim)},
		{Name: "backups", VolumeSource: directoryOr(c.BackupHostPath, backupClaim)},
		{Name: "backup-scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
}

// directoryOr is a directory of the node, or a volume where there is none.
func directoryOr(hostPath, claim string) corev1.VolumeSource {
	if hostPath == "" {
		return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}
	}
	directory := corev1.HostPathDirectory
	return corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: hostPath, Type: &directory}}
}

func probe(path string, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("health")}},
		PeriodSeconds: period, FailureThreshold: failures, TimeoutSeconds: 5,
	}
}
