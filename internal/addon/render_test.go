package addon

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/internal/network"
	"berth.dev/berth/internal/policy"
)

var update = flag.Bool("update", false, "write the golden file")

func testInput() Input {
	return Input{
		Images: Images{
			Kube: "kube:v1", CoreDNS: "coredns:v1", KonnectivityAgent: "konnectivity-agent:v1",
			MetricsServer: "metrics-server:v1", Node: "berth-node:v1",
		},
		ControlPlaneAddress: "100.65.0.20", PodCIDR: "10.244.0.0/16", DNSServiceIP: "10.0.0.10",
		NetworkAgent: true, NetworkPolicy: true, Nodes: 1,
		CA: []byte("ca"), MetricsCert: []byte("cert"), MetricsKey: []byte("key"),
	}
}

func render(t *testing.T, in Input) []client.Object {
	t.Helper()
	objects, err := Render(in)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// The whole rendering, so that a change of it is seen for what it is.
func TestGolden(t *testing.T) {
	var got bytes.Buffer
	for _, object := range render(t, testInput()) {
		if object.GetName() == network.Name {
			continue // package network's own
		}
		raw, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString("---\n")
		got.Write(raw)
	}
	path := filepath.Join("testdata", "objects.yaml")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("the objects are rendered differently; look at the change and run go test -update")
	}
}

// Every object can be applied and found again by who manages it.
func TestEveryObjectIsLabelled(t *testing.T) {
	seen := map[string]bool{}
	for _, object := range render(t, testInput()) {
		kind := object.GetObjectKind().GroupVersionKind()
		name := kind.Kind + " " + object.GetName()
		if kind.Kind == "" || kind.Version == "" {
			t.Errorf("%T %s has no kind", object, object.GetName())
		}
		if mode := object.GetLabels()[LabelMode]; mode != ModeReconcile && mode != ModeEnsureExists {
			t.Errorf("%s has mode %q", name, mode)
		}
		if object.GetLabels()[labelManagedBy] != managedByAKS {
			t.Errorf("%s is not labelled as managed", name)
		}
		if seen[name] {
			t.Errorf("%s is rendered twice", name)
		}
		seen[name] = true
	}
}

func TestWhatDepends(t *testing.T) {
	two, bare, noMetrics := testInput(), testInput(), testInput()
	two.Nodes, bare.NetworkAgent, noMetrics.MetricsCert = 2, false, nil
	for _, c := range []struct {
		why, kind, name string
		in              Input
		want            int32
	}{
		{"one node holds one CoreDNS", "Deployment", "coredns", testInput(), 1},
		{"two nodes hold two", "Deployment", "coredns", two, 2},
		{"and two tunnels", "Deployment", "konnectivity-agent", two, 2},
		{"metrics-server runs once", "Deployment", "metrics-server", two, 1},
		{"the customer's own CNI (D7)", "DaemonSet", network.Name, bare, -1},
		{"Services work with any CNI", "DaemonSet", "kube-proxy", bare, 0},
		{"no metrics-server before its certificate", "Deployment", "metrics-server", noMetrics, -1},
	} {
		got := int32(-1)
		for _, object := range render(t, c.in) {
			switch o := object.(type) {
			case *appsv1.Deployment:
				if o.Name == c.name && c.kind == "Deployment" {
					got = *o.Spec.Replicas
				}
			case *appsv1.DaemonSet:
				if o.Name == c.name && c.kind == "DaemonSet" {
					got = 0
				}
			}
		}
		if got != c.want {
			t.Errorf("%s: %d, want %d", c.why, got, c.want)
		}
	}
}

// A lone replica is never away for one that may not come up, where both can run (H1).
func TestALoneReplicaStays(t *testing.T) {
	two := testInput()
	two.Nodes = 2
	for _, c := range []struct {
		why, name string
		in        Input
		away      int32
	}{
		{"the only CoreDNS", "coredns", testInput(), 0},
		{"one of two", "coredns", two, 1},
		{"metrics-server, always alone", "metrics-server", two, 0},
		{"a tunnel has its node's ports, which no second one can have", "konnectivity-agent", testInput(), 1},
	} {
		for _, object := range render(t, c.in) {
			if d, is := object.(*appsv1.Deployment); is && d.Name == c.name && d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntVal != c.away {
				t.Errorf("%s: %s may be away, want %d", c.why, d.Spec.Strategy.RollingUpdate.MaxUnavailable, c.away)
			}
		}
	}
}

// The successor of a lone replica has to find room in a full cluster of one node, beside what
// it replaces (H1).
func TestSuccessorsMakeRoom(t *testing.T) {
	deployments := 0
	for _, object := range render(t, testInput()) {
		one, is := object.(*appsv1.Deployment)
		if !is {
			continue
		}
		deployments++
		if pod := one.Spec.Template.Spec; pod.PriorityClassName != "system-node-critical" || pod.PreemptionPolicy != nil {
			t.Errorf("%s has priority class %q, preemption %v: no pod of system-cluster-critical gives way to it", one.Name, pod.PriorityClassName, pod.PreemptionPolicy)
		}
	}
	if deployments == 0 {
		t.Error("there is no deployment")
	}
}

// A node of the smallest size, 2 CPUs and 4 GiB, must have most of itself left.
func TestRequestsAreSmall(t *testing.T) {
	cpu, memory := resource.Quantity{}, resource.Quantity{}
	for _, object := range render(t, testInput()) {
		var pod corev1.PodSpec
		switch o := object.(type) {
		case *appsv1.Deployment:
			pod = o.Spec.Template.Spec
		case *appsv1.DaemonSet:
			pod = o.Spec.Template.Spec
		default:
			continue
		}
		for _, container := range pod.Containers {
			cpu.Add(*container.Resources.Requests.Cpu())
			memory.Add(*container.Resources.Requests.Memory())
			if container.ImagePullPolicy != corev1.PullIfNotPresent && object.GetName() != network.Name {
				t.Errorf("%s pulls %s", object.GetName(), container.ImagePullPolicy)
			}
		}
	}
	if cpu.Cmp(resource.MustParse("200m")) > 0 || memory.Cmp(resource.MustParse("256Mi")) > 0 {
		t.Errorf("the managed components ask for %s CPU and %s memory", cpu.String(), memory.String())
	}
}

// The customer's hooks of CoreDNS are where AKS has them.
func TestCoreDNSHooks(t *testing.T) {
	for _, hook := range []string{"import custom/*.override\n}", "\nimport custom/*.server"} {
		if !strings.Contains(corefile, hook) {
			t.Errorf("the Corefile lacks %q", hook)
		}
	}
}

// Where CoreDNS ends, nodes have to forget it while it still answers.
func TestCoreDNSIsForgottenBeforeItEnds(t *testing.T) {
	_, after, _ := strings.Cut(corefile, "lameduck ")
	text, _, _ := strings.Cut(after, "\n")
	lameduck, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	probe := dnsReadiness()
	noticed := time.Duration(probe.PeriodSeconds*probe.FailureThreshold) * time.Second
	// The kubelet, the endpoints' controller and kube-proxy, which writes once a second, have the rest.
	if rest := lameduck - noticed; rest < 5*time.Second {
		t.Errorf("nodes have %s to forget a CoreDNS that ends", rest)
	}
	if noticed < 2*time.Second {
		t.Errorf("a CoreDNS that reloads its Corefile is taken for one that ends after %s", noticed)
	}
}

// Whoever keeps the components up watches the kinds that they are of, where they are.
func TestKindsAreThoseRendered(t *testing.T) {
	rendered := map[Kind]bool{}
	for _, object := range render(t, testInput()) {
		rendered[Kind{object.GetObjectKind().GroupVersionKind(), object.GetNamespace()}] = true
	}
	for _, kind := range Kinds() {
		if !rendered[kind] {
			t.Errorf("%v is watched and not rendered", kind)
		}
		delete(rendered, kind)
	}
	for kind := range rendered {
		t.Errorf("%v is rendered and not watched", kind)
	}
}

// Each refusal names something; what the customer may do is not among it.
func TestProtection(t *testing.T) {
	var found *admissionregistrationv1.ValidatingAdmissionPolicy
	for _, object := range render(t, testInput()) {
		if o, ok := object.(*admissionregistrationv1.ValidatingAdmissionPolicy); ok {
			found = o
		}
	}
	for i, row := range policy.ManagedRefusals() {
		validation := found.Spec.Validations[i]
		if strings.Contains(validation.Expression, "in []") {
			t.Errorf("%v is refused for nothing", row)
		}
		if !strings.Contains(validation.MessageExpression, "support policy "+row.Clause+")") {
			t.Errorf("the message cites no clause: %s", validation.MessageExpression)
		}
		for _, theirs := range []string{"coredns-custom", "deployments/", "services/kube-system/metrics-server\""} {
			if strings.Contains(validation.Expression, theirs) {
				t.Errorf("%s is refused: %s", theirs, validation.Expression)
			}
		}
	}
}

// What a cluster is said to have is what its workloads run: no more, no less.
func TestRenderedImages(t *testing.T) {
	for _, whole := range []bool{true, false} {
		in := testInput()
		in.NetworkAgent, in.Images = whole, Images{Kube: "r/kube:v1", CoreDNS: "r/dns:v1", KonnectivityAgent: "r/ka:v1", MetricsServer: "r/ms:v1", Node: "r/node:v1"}
		if !whole {
			in.MetricsCert, in.MetricsKey = nil, nil
		}
		objects, err := Render(in)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(objects)
		if err != nil {
			t.Fatal(err)
		}
		run := map[string]bool{}
		for _, found := range regexp.MustCompile(`"image":"([^"]*)"`).FindAllStringSubmatch(string(raw), -1) {
			run[found[1]] = true
		}
		said := map[string]bool{}
		for _, image := range in.Rendered() {
			said[image] = true
		}
		if !maps.Equal(run, said) {
			t.Errorf("whole %v: workloads run %v, said are %v", whole, run, said)
		}
	}
}
