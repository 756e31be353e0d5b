package install

import (
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func config() Config {
	return Config{
		Image: "berth:1", PublicURL: "https://127.0.0.1:8443", GatewayAddress: "127.0.0.1:6443",
		ProxyProtocolFrom: []string{"100.66.0.1/32"}, Catalogue: []byte("{}"),
		CA: []byte("ca"), Cert: []byte("cert"), Key: []byte("key"),
		Identity: Identity{TenantID: "t", ClientID: "c", ClientSecretHash: "h", UserName: "u@d", UserPasswordHash: "h", SigningKey: []byte("k")},
		Registry: Registry{HostPath: "/images", ClusterIP: "100.65.0.50"},
	}
}

func find[T client.Object](t *testing.T, objects []client.Object, name string) T {
	t.Helper()
	for _, object := range objects {
		if typed, ok := object.(T); ok && object.GetName() == name {
			return typed
		}
	}
	t.Fatalf("no such object: %s", name)
	panic("unreachable")
}

func TestEveryObjectCanBeApplied(t *testing.T) {
	for _, object := range append(Objects(config()), Webhooks(config())...) {
		if object.GetObjectKind().GroupVersionKind().Empty() {
			t.Errorf("%T %s has no kind: server-side apply refuses it", object, object.GetName())
		}
	}
	if _, ok := Objects(config())[0].(*corev1.Namespace); !ok {
		t.Error("the namespace does not come first")
	}
}

func TestServeFindsEveryFileItIsTold(t *testing.T) {
	objects := Objects(config())
	pod := find[*appsv1.Deployment](t, objects, Name).Spec.Template.Spec
	keys := map[string][]string{}
	for _, volume := range pod.Volumes {
		switch {
		case volume.Secret != nil:
			for key := range find[*corev1.Secret](t, objects, volume.Secret.SecretName).Data {
				keys[volume.Name] = append(keys[volume.Name], key)
			}
		case volume.ConfigMap != nil:
			for key := range find[*corev1.ConfigMap](t, objects, volume.ConfigMap.Name).Data {
				keys[volume.Name] = append(keys[volume.Name], key)
			}
		}
	}
	files := map[string]bool{}
	for _, mount := range pod.Containers[0].VolumeMounts {
		files[mount.MountPath] = true
		for _, key := range keys[mount.Name] {
			files[mount.MountPath+"/"+key] = true
		}
	}
	for _, flag := range pod.Containers[0].Args[1:] {
		if _, value, _ := strings.Cut(flag, "="); strings.HasPrefix(value, "/") && !files[value] {
			t.Errorf("%s: the pod has no such file", flag)
		}
		if _, name, refers := strings.Cut(strings.TrimSuffix(flag, ")"), "=$("); refers && !slices.ContainsFunc(pod.Containers[0].Env, func(e corev1.EnvVar) bool { return e.Name == name }) {
			t.Errorf("%s: the pod has no such variable", flag)
		}
	}
}

func TestServicesLeadToThePod(t *testing.T) {
	objects := Objects(config())
	pod := find[*appsv1.Deployment](t, objects, Name).Spec.Template
	for _, name := range []string{Name, RegistryService, WebhookService} {
		service := find[*corev1.Service](t, objects, name)
		for key, value := range service.Spec.Selector {
			if pod.Labels[key] != value {
				t.Errorf("service %s selects %s=%s, the pod has %q", name, key, value, pod.Labels[key])
			}
		}
		for _, port := range service.Spec.Ports {
			open := slices.ContainsFunc(pod.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool {
				return p.ContainerPort == port.TargetPort.IntVal
			})
			if !open {
				t.Errorf("service %s sends to port %s, which the pod does not open", name, port.TargetPort.String())
			}
		}
		for _, suffix := range []string{".berth-system.svc", ".berth-system.svc.cluster.local"} {
			if !slices.Contains(ServerNames(), name+suffix) {
				t.Errorf("the certificate does not name %s", name+suffix)
			}
		}
	}
	if service := find[*corev1.Service](t, objects, Name); service.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
		t.Error("the gateway would see the node's address instead of the caller's")
	}
}

// Whoever takes over Berth must not be able to give himself more rights.
func TestBerthCannotWidenItsRights(t *testing.T) {
	for _, rule := range append(clusterRules(), namespaceRules()...) {
		if slices.Contains(rule.Verbs, "*") || slices.Contains(rule.APIGroups, "*") || slices.Contains(rule.APIGroups, rbacv1.GroupName) {
			t.Errorf("rule %+v reaches too far", rule)
		}
		for _, verb := range []string{"escalate", "bind", "impersonate"} {
			if slices.Contains(rule.Verbs, verb) {
				t.Errorf("rule %+v has verb %s", rule, verb)
			}
		}
	}
}

func TestChangedKeysRollThePod(t *testing.T) {
	revisionOf := func(c Config) string {
		return find[*appsv1.Deployment](t, Objects(c), Name).Spec.Template.Annotations["berth.dev/revision"]
	}
	before := revisionOf(config())
	if before != revisionOf(config()) {
		t.Fatal("the same configuration rolls the pod")
	}
	for name, change := range map[string]func(*Config){
		"certificate": func(c *Config) { c.Cert = []byte("new") },
		"signing key": func(c *Config) { c.Identity.SigningKey = []byte("new") },
		"secret hash": func(c *Config) { c.Identity.ClientSecretHash = "new" },
		"password":    func(c *Config) { c.Identity.UserPasswordHash = "new" },
		"catalogue":   func(c *Config) { c.Catalogue = []byte("new") },
	} {
		changed := config()
		change(&changed)
		if revisionOf(changed) == before {
			t.Errorf("a new %s is not noticed before the pod happens to restart", name)
		}
	}
}

// Connections to clusters' API servers are refused if the process ends before every
// node has learnt that its pod goes (seen in test/e2e/long when a version is added).
func TestReplacedPodAnswersUntilNobodyIsSentToIt(t *testing.T) {
	pod := find[*appsv1.Deployment](t, Objects(config()), Name).Spec.Template.Spec
	hook := pod.Containers[0].Lifecycle
	if hook == nil || hook.PreStop == nil || hook.PreStop.Sleep == nil || hook.PreStop.Sleep.Seconds < 1 {
		t.Fatalf("the pod is told to end at once: %+v", hook)
	}
	const shutdown, grace = 10, 30 // what serve gives requests, and Kubernetes by default
	if pod.TerminationGracePeriodSeconds != nil || hook.PreStop.Sleep.Seconds+shutdown > grace {
		t.Error("it is killed before its requests have ended")
	}
}

func TestAdmissionFailsClosed(t *testing.T) {
	objects := Webhooks(config())
	mutating := find[*admissionv1.MutatingWebhookConfiguration](t, objects, Name).Webhooks
	validating := find[*admissionv1.ValidatingWebhookConfiguration](t, objects, Name).Webhooks
	if len(mutating) != 4 || len(validating) != 7 {
		t.Fatalf("%d and %d webhooks, want one for each kind that is checked", len(mutating), len(validating))
	}
	for i := range mutating {
		if *mutating[i].FailurePolicy != admissionv1.Fail {
			t.Error("objects could be stored without their defaults")
		}
	}
	for _, webhook := range validating {
		if *webhook.FailurePolicy != admissionv1.Fail {
			t.Error("unchecked objects could be stored")
		}
		asked, kind := webhook.Rules[0].Operations, strings.TrimSuffix(webhook.Name, ".validate.berth.dev")
		unlocked := []string{"maintenanceconfiguration", "advisory", "knownissue"}
		if slices.Contains(asked, admissionv1.Delete) == slices.Contains(unlocked, kind) || len(asked) == 0 {
			t.Errorf("%s is checked on %v: what may be locked is asked about when it is deleted", kind, asked)
		}
	}
	if got := *validating[1].ClientConfig.Service.Path; got != "/validate-berth-dev-v1beta1-agentpool" || string(validating[0].ClientConfig.CABundle) != "ca" {
		t.Errorf("the webhook is called at %s", got)
	}
}

func TestRegistryVolume(t *testing.T) {
	c := config()
	c.Registry = Registry{}
	objects := Objects(c)
	find[*corev1.PersistentVolumeClaim](t, objects, registryClaim)
	if service := find[*corev1.Service](t, objects, RegistryService); service.Spec.ClusterIP != "" {
		t.Errorf("the registry's address is %q, want the cluster to choose", service.Spec.ClusterIP)
	}
}

func TestValidateNamesWhatIsMissing(t *testing.T) {
	if err := config().Validate(); err != nil {
		t.Fatal(err)
	}
	bad := config()
	bad.Image, bad.ProxyProtocolFrom, bad.Registry.ClusterIP = "", []string{"100.66.0.1"}, "x"
	err := bad.Validate()
	for _, want := range []string{"image is missing", "100.66.0.1", `"x"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not mention %s", err, want)
		}
	}
}
