package host

import (
	"fmt"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/internal/install"
	"berth.dev/berth/internal/node"
	"berth.dev/berth/internal/release"
)

const (
	manifestDir     = "/etc/kubernetes/manifests"
	machinePKI      = "/etc/kubernetes/pki"
	managementPods  = 1000
	nodeMaskSize    = "20"
	etcdMetricsPort = 2381
	etcdLivezPort   = 2382
	apiServerPort   = 6443
)

// The member of the management cluster's etcd. A restore makes its data directory anew.
const (
	etcdMember  = "management"
	etcdPeerURL = "http://127.0.0.1:2380"
	etcdToken   = "etcd-cluster"
	etcdURL     = "https://" + MachineAddress + ":2379"
)

// registryCAFile is, beside the machine's configuration, the authority of Berth's
// registry.
const registryCAFile = "registry-ca.crt"

// writeMachine writes what the machine reads at its start: its configuration, the
// authority of the registry, and its static pods.
func writeMachine(paths Paths, catalogue *release.Catalogue, registryCA []byte) error {
	config := node.Config{
		Role:              node.RoleManagement,
		NodeName:          MachineName,
		KubernetesVersion: catalogue.DefaultRelease().Version,
		MaxPods:           managementPods,
		KubeconfigFile:    machinePKI + "/kubelet.kubeconfig",
		ClientCAFile:      machinePKI + "/ca.crt",
		StaticPodDir:      manifestDir,
		// What is not baked in, such as a release that was added, comes from Berth itself.
		Registry: node.Registry{
			Address: fmt.Sprintf("https://%s:%d", registrySvcIP, install.RegistryPort),
			CAFile:  filepath.Join(filepath.Dir(node.DefaultConfigPath), registryCAFile),
		},
	}
	if err := writeFile(filepath.Join(paths.machine("config"), registryCAFile), registryCA, 0o644); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(paths.machine("config"), filepath.Base(node.DefaultConfigPath)), config); err != nil {
		return err
	}
	if err := ensureDir(paths.machine("kubernetes"), "manifests", "pki"); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(paths.machine("kubernetes"), "authentication.yaml"), []byte(authenticationConfig), 0o600); err != nil {
		return err
	}
	for name, pod := range map[string]*corev1.Pod{
		"etcd": etcdPod(catalogue.Images["etcd"]),
		"kube": kubePod(catalogue.DefaultRelease().KubeImage),
	} {
		raw, err := yaml.Marshal(pod)
		if err != nil {
			return fmt.Errorf("encode static pod %s: %w", name, err)
		}
		if err := writeFile(filepath.Join(paths.machine("kubernetes"), "manifests", name+".yaml"), raw, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// authenticationConfig lets the unknown ask for health and for nothing else.
const authenticationConfig = `apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions: [{path: /livez}, {path: /readyz}, {path: /healthz}]
`

func etcdPod(image string) *corev1.Pod {
	const dir = "/var/lib/etcd"
	pod := staticPod("etcd", image, []string{
		"--name=" + etcdMember,
		"--data-dir=" + dir,
		// Berth reads it through the second, to back it up.
		"--listen-client-urls=https://127.0.0.1:2379," + etcdURL,
		"--advertise-client-urls=https://127.0.0.1:2379",
		"--listen-peer-urls=" + etcdPeerURL,
		"--initial-advertise-peer-urls=" + etcdPeerURL,
		"--initial-cluster=" + etcdMember + "=" + etcdPeerURL,
		"--initial-cluster-token=" + etcdToken,
		fmt.Sprintf("--listen-metrics-urls=http://127.0.0.1:%d", etcdMetricsPort),
		"--client-cert-auth=true",
		"--trusted-ca-file=" + machinePKI + "/etcd-ca.crt",
		"--cert-file=" + machinePKI + "/etcd-server.crt",
		"--key-file=" + machinePKI + "/etcd-server.key",
		"--snapshot-count=10000",
		"--quota-backend-bytes=4294967296",
	})
	mountHostPath(pod, "data", dir, false)
	container := &pod.Spec.Containers[0]
	// As a hosted etcd's: a defragmentation is no hang.
	container.Env = append(container.Env,
		corev1.EnvVar{Name: "BERTH_LIVEZ_LISTEN", Value: fmt.Sprintf("127.0.0.1:%d", etcdLivezPort)},
		corev1.EnvVar{Name: "BERTH_LIVEZ_ASK", Value: fmt.Sprintf("http://127.0.0.1:%d/livez", etcdMetricsPort)})
	container.LivenessProbe = probe(corev1.URISchemeHTTP, etcdLivezPort, "/livez")
	container.StartupProbe = startup(container.LivenessProbe)
	return pod
}

// kubePod is API server, controller-manager and scheduler in one process.
func kubePod(image string) *corev1.Pod {
	args := []string{"control-plane"}
	args = append(args, apiServerFlags()...)
	args = append(append(args, "--"), controllerManagerFlags()...)
	args = append(append(args, "--"), schedulerFlags()...)
	pod := staticPod("kube", image, args)
	mountHostPath(pod, "kubernetes", "/etc/kubernetes", true)
	container := &pod.Spec.Containers[0]
	container.LivenessProbe = probe(corev1.URISchemeHTTPS, apiServerPort, "/livez")
	container.ReadinessProbe = probe(corev1.URISchemeHTTPS, apiServerPort, "/readyz")
	container.StartupProbe = startup(container.LivenessProbe)
	return pod
}

func apiServerFlags() []string {
	return []string{
		"--advertise-address=" + MachineAddress,
		fmt.Sprintf("--secure-port=%d", apiServerPort),
		"--service-cluster-ip-range=" + ServiceCIDR,
		"--service-node-port-range=30000-32767",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--authentication-config=/etc/kubernetes/authentication.yaml",
		"--allow-privileged=true",
		"--shutdown-watch-termination-grace-period=2s",
		"--profiling=false",
		"--kubelet-preferred-address-types=InternalIP",
		"--client-ca-file=" + machinePKI + "/ca.crt",
		"--tls-cert-file=" + machinePKI + "/apiserver.crt",
		"--tls-private-key-file=" + machinePKI + "/apiserver.key",
		"--kubelet-client-certificate=" + machinePKI + "/apiserver-kubelet-client.crt",
		"--kubelet-client-key=" + machinePKI + "/apiserver-kubelet-client.key",
		"--etcd-servers=https://127.0.0.1:2379",
		"--etcd-cafile=" + machinePKI + "/etcd-ca.crt",
		"--etcd-certfile=" + machinePKI + "/etcd-client.crt",
		"--etcd-keyfile=" + machinePKI + "/etcd-client.key",
		"--encryption-provider-config=" + machinePKI + "/encryption.yaml",
		"--requestheader-client-ca-file=" + machinePKI + "/front-proxy-ca.crt",
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + machinePKI + "/front-proxy-client.crt",
		"--proxy-client-key-file=" + machinePKI + "/front-proxy-client.key",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + machinePKI + "/sa.pub",
		"--service-account-signing-key-file=" + machinePKI + "/sa.key",
	}
}

func controllerManagerFlags() []string {
	kubeconfig := machinePKI + "/controller-manager.kubeconfig"
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
		"--profiling=false",
		"--use-service-account-credentials=true",
		// Its controllers ask for two things each when they start, and for each kind there is when a namespace goes.
		"--kube-api-qps=100",
		"--kube-api-burst=200",
		"--allocate-node-cidrs=true",
		"--cluster-cidr=" + PodCIDR,
		"--node-cidr-mask-size=" + nodeMaskSize,
		"--service-cluster-ip-range=" + ServiceCIDR,
		"--client-ca-file=" + machinePKI + "/ca.crt",
		"--root-ca-file=" + machinePKI + "/ca.crt",
		"--service-account-private-key-file=" + machinePKI + "/sa.key",
		"--cluster-signing-cert-file=" + machinePKI + "/ca.crt",
		"--cluster-signing-key-file=" + machinePKI + "/ca.key",
		"--requestheader-client-ca-file=" + machinePKI + "/front-proxy-ca.crt",
		// Pods that ended when the host restarted are of no use to anyone.
		"--terminated-pod-gc-threshold=50",
	}
}

func schedulerFlags() []string {
	kubeconfig := machinePKI + "/scheduler.kubeconfig"
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
		"--profiling=false",
	}
}

// staticPod is a pod of the management control plane, on the machine's own network.
func staticPod(name, image string, args []string) *corev1.Pod {
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: metav1.NamespaceSystem,
			Labels: map[string]string{"tier": "control-plane", "component": name},
		},
		Spec: corev1.PodSpec{
			HostNetwork:       true,
			PriorityClassName: "system-node-critical",
			SecurityContext:   &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{{
				Name: name, Image: image, ImagePullPolicy: corev1.PullIfNotPresent, Args: args,
				Env: []corev1.EnvVar{{Name: "GOGC", Value: "50"}},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("100Mi"),
				}},
			}},
		},
	}
	mountHostPath(pod, "pki", machinePKI, true)
	return pod
}

func mountHostPath(pod *corev1.Pod, name, path string, readOnly bool) {
	kind := corev1.HostPathDirectory
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{
		Name: name, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path, Type: &kind}},
	})
	container := &pod.Spec.Containers[0]
	container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: path, ReadOnly: readOnly})
}

// probe gives a busy machine ten minutes before it calls a control plane dead:
// restarting one that is only slow makes it slower.
func probe(scheme corev1.URIScheme, port int32, path string) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Host: "127.0.0.1", Scheme: scheme, Port: intstr.FromInt32(port), Path: path,
		}},
		PeriodSeconds: 30, TimeoutSeconds: 15, FailureThreshold: 20,
	}
}

func startup(liveness *corev1.Probe) *corev1.Probe {
	first := *liveness
	first.PeriodSeconds, first.FailureThreshold = 1, 600
	return &first
}
