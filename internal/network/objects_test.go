package network

import (
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

func render(t *testing.T, config Config) (*appsv1.DaemonSet, []Object) {
	t.Helper()
	objects, err := Objects(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		if set, ok := object.(*appsv1.DaemonSet); ok {
			return set, objects
		}
	}
	t.Fatal("no DaemonSet")
	return nil, nil
}

// The rendered command line is one that the command takes.
func TestObjectsAndCommandAgree(t *testing.T) {
	set, _ := render(t, Config{
		Image: "i", APIServer: "10.0.0.1:6443", ClusterCIDR: "10.244.0.0/16", Policy: true,
		Unmasked: []string{"10.0.0.0/8", "192.0.2.0/24"}, Uplink: "eth0", MTU: 1400,
	})
	args := set.Spec.Template.Spec.Containers[0].Args
	if args[0] != NewCommand().Name() {
		t.Errorf("subcommand %q", args[0])
	}
	command := NewCommand()
	if err := command.ParseFlags(args[1:]); err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string]string{
		"node-name": "$(NODE_NAME)", "policy": "true", "masquerade": "true", "cluster-cidr": "[10.244.0.0/16]",
		"unmasqueraded": "[10.0.0.0/8,192.0.2.0/24]", "uplink": "eth0", "mtu": "1400", "health": "127.0.0.1:10270",
	} {
		if got := command.Flag(flag).Value.String(); got != want {
			t.Errorf("--%s %s, want %s", flag, got, want)
		}
	}
}

func TestAgentNeedsNothingOfTheCluster(t *testing.T) {
	set, objects := render(t, Config{Image: "i", APIServer: "100.65.1.2:6443", Labels: map[string]string{"kubernetes.azure.com/managedby": "aks"}})
	pod := set.Spec.Template.Spec
	env := map[string]string{}
	for _, variable := range pod.Containers[0].Env {
		env[variable.Name] = variable.Value
	}
	if env["KUBERNETES_SERVICE_HOST"] != "100.65.1.2" || env["KUBERNETES_SERVICE_PORT"] != "6443" {
		t.Errorf("API server is not at the given address: %v", env)
	}
	if !pod.HostNetwork || pod.DNSPolicy != corev1.DNSDefault || pod.PriorityClassName != "system-node-critical" {
		t.Error("agent depends on pod network, cluster DNS or free room")
	}
	if len(pod.Tolerations) != 1 || pod.Tolerations[0].Operator != corev1.TolerationOpExists || pod.Tolerations[0].Key != "" {
		t.Error("agent does not run on every node")
	}
	for _, object := range objects {
		kind := object.GetObjectKind().GroupVersionKind()
		if kind.Kind == "" || kind.Version == "" {
			t.Errorf("%T has no kind for server-side apply", object)
		}
		if object.GetLabels()["kubernetes.azure.com/managedby"] != "aks" {
			t.Errorf("%s lacks the given label", kind.Kind)
		}
		if strings.HasPrefix(kind.Kind, "Cluster") != (object.GetNamespace() == "") {
			t.Errorf("%s is in namespace %q", kind.Kind, object.GetNamespace())
		}
	}
	for key, value := range set.Spec.Selector.MatchLabels {
		if set.Spec.Template.Labels[key] != value {
			t.Errorf("selector %s=%s does not select the pods", key, value)
		}
	}
	if _, err := Objects(Config{APIServer: "no port"}); err == nil {
		t.Error("an address without a port was accepted")
	}
}

// The kubelet ends an agent for nothing but what tells that it hangs, and takes its time; an agent of an earlier build, which
// cannot tell, is not ended at all.
func TestProbes(t *testing.T) {
	set, _ := render(t, Config{Image: "i", Livez: true})
	live, ready := set.Spec.Template.Spec.Containers[0].LivenessProbe, set.Spec.Template.Spec.Containers[0].ReadinessProbe
	if live == nil || live.HTTPGet.Path != livePath || ready.HTTPGet.Path != healthPath || live.HTTPGet.Host != "127.0.0.1" {
		t.Fatalf("liveness %+v, readiness %+v", live, ready)
	}
	if patience := time.Duration(live.PeriodSeconds*live.FailureThreshold) * time.Second; patience < time.Minute || live.TimeoutSeconds < 5 {
		t.Errorf("an agent that is slow for %s, or answers after %d s, is ended", patience, live.TimeoutSeconds)
	}
	if set, _ = render(t, Config{Image: "i"}); set.Spec.Template.Spec.Containers[0].LivenessProbe != nil {
		t.Error("an agent without the answer is asked for it")
	}
}

func TestFlagsAreValidated(t *testing.T) {
	for why, args := range map[string][]string{
		"no node":        {},
		"no range":       {"--node-name=n", "--cluster-cidr=everything"},
		"no exclusion":   {"--node-name=n", "--unmasqueraded=10.0.0.0"},
		"tiny MTU":       {"--node-name=n", "--mtu=60"},
		"an argument":    {"--node-name=n", "extra"},
		"no kubeconfig":  {"--node-name=n", "--kubeconfig=/nonexistent"},
		"not in cluster": {"--node-name=n"},
	} {
		t.Setenv("KUBERNETES_SERVICE_HOST", "")
		command := NewCommand()
		command.SilenceErrors, command.SilenceUsage = true, true
		command.SetArgs(slices.Clone(args))
		if err := command.Execute(); err == nil {
			t.Errorf("%s: accepted", why)
		}
	}
}
