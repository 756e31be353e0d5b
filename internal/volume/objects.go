package volume

import (
	"fmt"
	"maps"
	"net"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	// Name is the name of the provisioner's objects.
	Name = "berth-volumes"
	// DefaultClass is the name of the StorageClass unless Config says otherwise.
	DefaultClass = "berth-local"
	// DefaultDir is the volume directory unless Config says otherwise.
	DefaultDir = "/var/lib/berth/volumes"
)

// Object is any API object: the same methods as controller-runtime's client.Object, which every node would pay for in
// memory if this package imported it.
type Object interface {
	metav1.Object
	runtime.Object
}

// Config says how to install the provisioner into a cluster.
type Config struct {
	Image     string            // of berth-node
	Namespace string            // default kube-system
	Labels    map[string]string // added to every object and to the pods
	APIServer string            // host:port, to run before kube-proxy does; empty: the kubernetes Service
	Class     string            // name of the StorageClass; default DefaultClass
	Dir       string            // absolute path on every node; default DefaultDir
	Default   bool              // whether the StorageClass is the cluster's default
}

// Objects renders what provisions local volumes on every node of a cluster: StorageClass, ServiceAccount, ClusterRole,
// ClusterRoleBinding and DaemonSet. They carry their TypeMeta, for server-side apply.
func Objects(config Config) ([]Object, error) {
	if config.Namespace == "" {
		config.Namespace = metav1.NamespaceSystem
	}
	if config.Class == "" {
		config.Class = DefaultClass
	}
	if config.Dir == "" {
		config.Dir = DefaultDir
	}
	env, err := config.env()
	if err != nil {
		return nil, err
	}
	return []Object{
		config.storageClass(),
		&corev1.ServiceAccount{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
			ObjectMeta: config.meta(Name, config.Namespace),
		},
		&rbacv1.ClusterRole{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
			ObjectMeta: config.meta(Name, ""),
			Rules:      rules(),
		},
		&rbacv1.ClusterRoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
			ObjectMeta: config.meta(Name, ""),
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: Name},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: config.Namespace, Name: Name}},
		},
		config.daemonSet(env),
	}, nil
}

func rules() []rbacv1.PolicyRule {
	read := []string{"get", "list", "watch"}
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"persistentvolumeclaims"}, Verbs: read},
		{APIGroups: []string{""}, Resources: []string{"persistentvolumes"}, Verbs: append(read, "create", "patch", "delete")},
		{APIGroups: []string{"storage.k8s.io"}, Resources: []string{"storageclasses"}, Verbs: []string{"get"}},
		{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"create"}},
		{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get"}},
	}
}

func (c *Config) meta(name, namespace string) metav1.ObjectMeta {
	labels := maps.Clone(c.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels["app.kubernetes.io/name"] = Name
	return metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: labels}
}

func (c *Config) storageClass() *storagev1.StorageClass {
	reclaim, binding := corev1.PersistentVolumeReclaimDelete, storagev1.VolumeBindingWaitForFirstConsumer
	class := &storagev1.StorageClass{
		TypeMeta:          metav1.TypeMeta{APIVersion: storagev1.SchemeGroupVersion.String(), Kind: "StorageClass"},
		ObjectMeta:        c.meta(c.Class, ""),
		Provisioner:       Provisioner,
		ReclaimPolicy:     &reclaim,
		VolumeBindingMode: &binding,
	}
	if c.Default {
		class.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
	}
	return class
}

func (c *Config) env() ([]corev1.EnvVar, error) {
	env := []corev1.EnvVar{
		{Name: "NODE_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}},
		// The runtime collects more eagerly near this; it is no limit.
		{Name: "GOMEMLIMIT", Value: "20MiB"},
	}
	if c.APIServer == "" {
		return env, nil
	}
	host, port, err := net.SplitHostPort(c.APIServer)
	if err != nil {
		return nil, fmt.Errorf("render volume provisioner: API server %q: %w", c.APIServer, err)
	}
	return append(env,
		corev1.EnvVar{Name: "KUBERNETES_SERVICE_HOST", Value: host},
		corev1.EnvVar{Name: "KUBERNETES_SERVICE_PORT", Value: port}), nil
}

func (c *Config) daemonSet(env []corev1.EnvVar) *appsv1.DaemonSet {
	meta := c.meta(Name, c.Namespace)
	return &appsv1.DaemonSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "DaemonSet"},
		ObjectMeta: meta,
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": Name}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: meta.Labels},
				Spec:       c.podSpec(env),
			},
		},
	}
}

func (c *Config) podSpec(env []corev1.EnvVar) corev1.PodSpec {
	no, root, grace := false, int64(0), int64(5)
	directory := corev1.HostPathDirectoryOrCreate
	return corev1.PodSpec{
		ServiceAccountName: Name,
		// It needs no network of its own, and volumes are needed before pods have one.
		HostNetwork:                   true,
		DNSPolicy:                     corev1.DNSDefault,
		PriorityClassName:             "system-node-critical",
		NodeSelector:                  map[string]string{"kubernetes.io/os": "linux"},
		Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		TerminationGracePeriodSeconds: &grace,
		Containers: []corev1.Container{{
			Name:  "volumes",
			Image: c.Image,
			Args:  []string{"volumes", "--node-name=$(NODE_NAME)", "--class=" + c.Class, "--dir=" + c.Dir},
			Env:   env,
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("5m"), corev1.ResourceMemory: resource.MustParse("16Mi"),
				},
				Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")},
			},
			SecurityContext: &corev1.SecurityContext{
				RunAsUser:                &root,
				AllowPrivilegeEscalation: &no,
				Capabilities: &corev1.Capabilities{
					Drop: []corev1.Capability{"ALL"},
					// Volumes hold files of any owner.
					Add: []corev1.Capability{"DAC_OVERRIDE", "FOWNER"},
				},
			},
			VolumeMounts: []corev1.VolumeMount{{Name: "volumes", MountPath: c.Dir}},
		}},
		Volumes: []corev1.Volume{{Name: "volumes", VolumeSource: corev1.VolumeSource{
			HostPath: &corev1.HostPathVolumeSource{Path: c.Dir, Type: &directory},
		}}},
	}
}
