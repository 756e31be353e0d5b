package machine

import (
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"berth.dev/berth/api/v1beta1"
)

func someScene() *scene {
	return &scene{
		object: &v1beta1.Machine{
			ObjectMeta: metav1.ObjectMeta{Namespace: "sub-0000", Name: "rg.c.np.000001"},
			Spec: v1beta1.MachineSpec{
				NodeName: "aks-np-12345678-vmss000001", VMSize: "Standard_D2s_v5", NodeImageVersion: "BerthDebian-12containerd-202601.01.0",
				Labels: map[string]string{"team": "blue", "kubernetes.azure.com/mode": "system", "agentpool": "a customer's"},
				Taints: []string{"CriticalAddonsOnly=true:NoSchedule", "soft:PreferNoSchedule"},
			},
			Status: v1beta1.MachineStatus{NodeImageVersion: "BerthDebian-12containerd-202512.01.0"},
		},
		cluster: &v1beta1.ManagedCluster{Spec: v1beta1.ManagedClusterSpec{
			Location: "local", NodeResourceGroup: "MC_rg_c_local", NetworkProfile: v1beta1.NetworkProfile{NetworkPluginMode: "overlay"},
		}},
	}
}

func TestWantedNodeLooksLikeAKS(t *testing.T) {
	want := wantedNode(someScene())
	for key, value := range map[string]string{
		"agentpool":                               "np",
		"kubernetes.azure.com/agentpool":          "np",
		"kubernetes.azure.com/mode":               "system",
		"kubernetes.azure.com/role":               "agent",
		"kubernetes.azure.com/cluster":            "MC_rg_c_local",
		"kubernetes.azure.com/node-image-version": "BerthDebian-12containerd-202512.01.0", // what runs, not what is asked for
		"kubernetes.azure.com/nodepool-type":      "VirtualMachineScaleSets",
		"kubernetes.azure.com/sku-cpu":            "2",
		"kubernetes.azure.com/sku-memory":         "8192",
		"kubernetes.azure.com/podnetwork-type":    "overlay",
		"node.kubernetes.io/instance-type":        "Standard_D2s_v5",
		"topology.kubernetes.io/region":           "local",
		"kubernetes.io/role":                      "agent",
		"node-role.kubernetes.io/agent":           "",
		"team":                                    "blue",
	} {
		if got, ok := want.Labels[key]; !ok || got != value {
			t.Errorf("label %s=%q, want %q", key, got, value)
		}
	}
	for key, value := range want.Labels {
		if len(validation.IsQualifiedName(key)) > 0 || len(validation.IsValidLabelValue(value)) > 0 {
			t.Errorf("%q=%q is not a label", key, value)
		}
	}
	if system := systemLabels(someScene().object, someScene().cluster.Spec); system["kubernetes.azure.com/mode"] != "system" {
		t.Error("the mode is the system's")
	}
	id := "azure:///subscriptions/0000/resourceGroups/mc_rg_c_local/providers/Microsoft.Compute/virtualMachineScaleSets/aks-np-12345678-vmss/virtualMachines/1"
	if want.ProviderID != id {
		t.Errorf("provider id %s, want %s", want.ProviderID, id)
	}
}

func TestApply(t *testing.T) {
	noSchedule := func(key, value string) corev1.Taint {
		return corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffectNoSchedule}
	}
	notReady := corev1.Taint{Key: "node.kubernetes.io/not-ready", Effect: corev1.TaintEffectNoExecute}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"kubernetes.io/hostname": "h", "mode": "wrong"}}}
	node.Spec.Taints = []corev1.Taint{notReady}
	first := marks{
		Labels: map[string]string{"mode": "user", "team": "blue"}, ProviderID: "azure:///1",
		Taints: []corev1.Taint{noSchedule("a", "1"), noSchedule("b", "1")},
	}
	expect := func(why string, labels map[string]string, taints ...corev1.Taint) {
		t.Helper()
		if !maps.Equal(node.Labels, labels) || !equality.Semantic.DeepEqual(node.Spec.Taints, taints) {
			t.Errorf("%s: labels %v, taints %v; want %v, %v", why, node.Labels, node.Spec.Taints, labels, taints)
		}
	}
	if !apply(node, first, "") || apply(node, first, first.record()) {
		t.Errorf("the first apply changes the node, the second does not")
	}
	expect("others' labels and taints stay", map[string]string{"kubernetes.io/hostname": "h", "mode": "user", "team": "blue"},
		notReady, noSchedule("a", "1"), noSchedule("b", "1"))

	node.Labels["mine"], node.Labels["mode"] = "customer", "changed"
	node.Spec.Taints = append(node.Spec.Taints[:1:1], noSchedule("b", "2"), noSchedule("c", "customer"))
	apply(node, first, first.record())
	expect("what the service set comes back", map[string]string{"kubernetes.io/hostname": "h", "mode": "user", "team": "blue", "mine": "customer"},
		notReady, noSchedule("b", "1"), noSchedule("c", "customer"), noSchedule("a", "1"))

	apply(node, marks{Labels: map[string]string{"mode": "user"}, ProviderID: "azure:///2"}, first.record())
	expect("what the pool no longer has goes", map[string]string{"kubernetes.io/hostname": "h", "mode": "user", "mine": "customer"},
		notReady, noSchedule("c", "customer"))
	if node.Spec.ProviderID != "azure:///1" {
		t.Errorf("provider id %s: it never changes", node.Spec.ProviderID)
	}
}

func TestLeaving(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	owned := func(kind string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{Kind: kind, Name: "x", Controller: new(true)}}
	}
	deleted := func(ago time.Duration) *metav1.Time { return &metav1.Time{Time: now.Add(-ago)} }
	for _, c := range []struct {
		why  string
		pod  corev1.Pod
		want bool
	}{
		{"a replica moves", corev1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: owned("ReplicaSet")}}, true},
		{"a bare pod moves nowhere and leaves all the same", corev1.Pod{}, true},
		{"a DaemonSet's pod belongs to the node", corev1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: owned("DaemonSet")}}, false},
		{"a static pod belongs to the node", corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "x"}}}, false},
		{"a finished pod holds nothing", corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodSucceeded}}, false},
		{"a failed pod holds nothing", corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodFailed}}, false},
		{"a pod that ends is waited for", corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: deleted(30 * time.Second)}}, true},
		{"one that no kubelet ends is not", corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: deleted(2 * time.Minute)}}, false},
	} {
		if got := len(leaving([]corev1.Pod{c.pod}, now)) == 1; got != c.want {
			t.Errorf("%s: %v", c.why, got)
		}
	}
}

func TestNodeState(t *testing.T) {
	node := func(status corev1.ConditionStatus, address string) *corev1.Node {
		return &corev1.Node{Status: corev1.NodeStatus{
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}},
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "n"}, {Type: corev1.NodeInternalIP, Address: address}},
		}}
	}
	older := node(corev1.ConditionTrue, "100.64.0.5")
	older.Status.NodeInfo.KubeletVersion = "v1.36.3"
	for _, c := range []struct {
		why  string
		node *corev1.Node
		want NodeState
	}{
		{"Ready with the kubelet of the last incarnation, at the same address", older, NodeNotReady},
		{"Ready at the machine's address", node(corev1.ConditionTrue, "100.64.0.5"), NodeReady},
		{"Ready at another: the machine was made anew and has not joined", node(corev1.ConditionTrue, "100.64.0.4"), NodeNotReady},
		{"not Ready", node(corev1.ConditionFalse, "100.64.0.5"), NodeNotReady},
		{"no word from the kubelet", node(corev1.ConditionUnknown, "100.64.0.5"), NodeNotReady},
		{"no condition yet", &corev1.Node{}, NodeNotReady},
	} {
		if got := nodeState(c.node, "100.64.0.5", "1.37.2"); got != c.want {
			t.Errorf("%s: %s", c.why, got)
		}
	}
	if got := nodeState(node(corev1.ConditionTrue, "100.64.0.4"), "", "1.37.2"); got != NodeReady {
		t.Errorf("a machine without an address cannot contradict its node: %s", got)
	}
}

func TestManagedComponentsHoldNothingUpWhenAllNodesGo(t *testing.T) {
	pod := func(namespace, manager string) corev1.Pod {
		return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: manager, Labels: map[string]string{"kubernetes.azure.com/managedby": manager}}}
	}
	for _, c := range []struct {
		why  string
		code v1beta1.PowerCode
		want int
	}{
		{"a cluster that stops waits for the customer's alone", v1beta1.PowerStopped, 2},
		{"a node that goes from a cluster that runs waits for all", v1beta1.PowerRunning, 3},
	} {
		cluster := &v1beta1.ManagedCluster{}
		cluster.Spec.PowerState = &v1beta1.PowerState{Code: c.code}
		pods := []corev1.Pod{pod("kube-system", "aks"), pod("default", "aks"), pod("kube-system", "me")}
		if got := withoutManaged(cluster, pods); len(got) != c.want {
			t.Errorf("%s: %d pods, want %d", c.why, len(got), c.want)
		}
	}
}
