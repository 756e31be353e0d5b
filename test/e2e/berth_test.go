package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/test/harness"
)

// TestBerth goes a user's way on one Berth: each step stands on the one before.
func TestBerth(t *testing.T) {
	e := harness.New(t)
	e.Up()
	e.Journey(t, []harness.Step{
		{Name: "az creates a cluster", Run: azCreates},
		{Name: "a second up changes nothing", Run: secondUp},
		{Name: "bad input is refused and changes nothing", Run: badInput},
		{Name: "a second cluster from the CLI", Run: cliCreates},
		{Name: "the first cluster scales to two nodes", Run: scales},
		{Name: "a workload answers by Service and by name from the other node", Run: workload},
		{Name: "exec, logs, top and port-forward", Run: operate},
		{Name: "support looks into the cluster with consent, and no longer", Run: supportAccess},
		{Name: "managed components are refused or put back, and the DNS has names of the customer's", Run: managedComponents},
		{Name: "no alpha feature is on", Run: stableOnly},
		{Name: "tenants cannot reach each other", Run: isolation},
		{Name: "images come from a registry outside Berth", Run: outsideImage},
		{Name: "a Node that was deleted by hand comes back with its pods", Run: deletedNode},
		{Name: "an ill node is repaired and its evidence kept", Run: illNode},
		{Name: "what is done to nodes with az vmss is real, counts, and has a way back", Run: iaas},
		{Name: "a control plane is upgraded and answers meanwhile", Run: controlPlaneUpgrade},
		{Name: "an upgrade that does not come up is taken back", Run: controlPlaneRollsBack},
		{Name: "authorised ranges are enforced at the gateway", Run: authorisedRanges},
		{Name: "a killed berth serve resumes a create", Run: killedServe},
		{Name: "kubectl apply does what a PUT does", Run: kubectlCreates},
		{Name: "an etcd that lost its data gets them back from the backups", Run: lostEtcdComesBack},
		{Name: "its newest backups are proven against the etcd that runs", Run: backupsAreProven},
		{Name: "a stop keeps every object and no process, and a start brings the cluster back", Run: stopStart},
		{Name: "an archived cluster is allocated again from its backups", Run: archives},
		{Name: "a rotation ends old kubeconfigs and keeps every object", Run: rotates},
		{Name: "a pool scales down and a pool is deleted", Run: scalesDown},
		{Name: "clusters come back after down and up", Run: downUp},
		{Name: "a deleted cluster is recovered", Run: recoversDeleted},
		{Name: "a cluster that was stopped while its store was away is recovered with its last writes", Run: recoversStopped},
		{Name: "deletes leave nothing", Run: deletes},
	})
}

func azCreates(e *harness.Env) {
	e.Run("berth", "login", "az", "--state-dir", e.State)
	e.Run("az", "group", "create", "-n", "rg1", "-l", "westus2")
	e.Run("az", "aks", "create", "-g", "rg1", "-n", "c1", "--no-ssh-key", "--enable-managed-identity", "--node-count", "1")
	var shown struct{ ProvisioningState, Fqdn, CurrentKubernetesVersion string }
	e.Decode(e.Run("az", "aks", "show", "-g", "rg1", "-n", "c1", "-o", "json"), &shown)
	if shown.ProvisioningState != "Succeeded" || shown.Fqdn == "" {
		e.T.Errorf("az aks show: %+v", shown)
	}
	e.Run("az", "aks", "get-credentials", "-g", "rg1", "-n", "c1")
	if nodes := e.ReadyNodes("c1"); len(nodes) != 1 {
		e.T.Errorf("ready nodes after create: %v", nodes)
	}
}

func secondUp(e *harness.Env) {
	if out := e.Run("berth", "up", "--no-demo", "--state-dir", e.State); !strings.Contains(out, "up") {
		e.T.Errorf("second up says: %s", out)
	}
}

func badInput(e *harness.Env) {
	for _, c := range []struct {
		why  string
		args []string
		want string
	}{
		{"an unknown version", []string{"-n", "bad", "-k", "1.99.0"}, "K8sVersionNotSupported"},
		{"overlapping ranges", []string{"-n", "bad", "--pod-cidr", "10.0.0.0/8"}, "InvalidParameter"},
		{"a name with a dot", []string{"-n", "b.d"}, "nvalid"},
		{"an unknown size", []string{"-n", "bad", "-s", "Standard_Nope"}, "InvalidParameter"},
	} {
		out, err := e.Try("berth", append([]string{"cluster", "create", "-g", "rg1"}, c.args...)...)
		if err == nil || !strings.Contains(out, c.want) {
			e.T.Errorf("%s: err %v, output %s, want %s", c.why, err, out, c.want)
		}
	}
	if out := e.Run("berth", "cluster", "list", "-g", "rg1", "-o", "json"); strings.Contains(out, `"bad"`) {
		e.T.Error("a refused cluster exists")
	}
}

func cliCreates(e *harness.Env) {
	e.Run("berth", "cluster", "create", "-g", "rg1", "-n", "c2", "-k", "1.37.2", "-c", "1", "--pod-cidr", "10.200.0.0/16", "--network-policy", "azure", "--outbound-type", "none")
	e.Run("berth", "cluster", "get-credentials", "-g", "rg1", "-n", "c2")
	if version := e.Cluster("c2", "version"); !strings.Contains(version, "Server Version: v1.37.2") {
		e.T.Errorf("kubectl version: %s", version)
	}
	out, err := e.Try("berth", "cluster", "create", "-g", "rg1", "-n", "c2", "--pod-cidr", "10.201.0.0/16", "-c", "1")
	if err == nil || !strings.Contains(out, "not allowed") {
		e.T.Errorf("a changed pod range: %v\n%s", err, out)
	}
}

func scales(e *harness.Env) {
	e.Run("az", "aks", "scale", "-g", "rg1", "-n", "c1", "--node-count", "2", "--nodepool-name", "nodepool1")
	nodes := e.ReadyNodes("c1")
	if len(nodes) != 2 {
		e.T.Fatalf("ready nodes after scale: %v", nodes)
	}
	labels := e.Cluster("c1", "get", "node", nodes[0], "-o", "jsonpath={.metadata.labels}")
	for _, want := range []string{`"kubernetes.azure.com/agentpool":"nodepool1"`, `"kubernetes.azure.com/mode":"system"`, `"kubernetes.azure.com/role":"agent"`, `"kubernetes.azure.com/node-image-version":"BerthDebian-12containerd-`} {
		if !strings.Contains(labels, want) {
			e.T.Errorf("node labels lack %s: %s", want, labels)
		}
	}
	capacity := e.Cluster("c1", "get", "node", nodes[0], "-o", "jsonpath={.status.capacity.cpu} {.status.capacity.memory}")
	if !regexp.MustCompile(`^2 \d+(Ki|Mi|Gi)$`).MatchString(capacity) {
		e.T.Errorf("capacity %q does not follow the VM size", capacity)
	}
}

// workload runs three replicas over two nodes and asks for them by name from each.
func workload(e *harness.Env) {
	manifest := filepath.Join(e.State, "web.yaml")
	if err := os.WriteFile(manifest, []byte(fmt.Sprintf(webManifest, e.DemoImage())), 0o600); err != nil {
		e.T.Fatal(err)
	}
	e.Cluster("c1", "apply", "-f", manifest)
	e.Cluster("c1", "rollout", "status", "deployment/web", "--timeout=120s")
	places := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(e.Cluster("c1", "get", "pods", "-l", "app=web", "-o", `jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}{"\n"}{end}`)), "\n") {
		pod, node, _ := strings.Cut(line, " ")
		places[node] = pod
	}
	if len(places) != 2 {
		e.T.Fatalf("replicas run on %v, want both nodes", places)
	}
	for node, pod := range places {
		seen := map[string]bool{}
		e.Eventually("every replica answers pod "+pod+" on "+node, time.Minute, func() error {
			out, err := e.TryCluster("c1", "exec", pod, "--", "berth-demo", "get", "http://web.default.svc.cluster.local/hostname")
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			seen[strings.TrimSpace(out)] = true
			if len(seen) < 3 {
				return fmt.Errorf("only %v answered", seen)
			}
			return nil
		})
	}
}

func operate(e *harness.Env) {
	pod := strings.TrimSpace(e.Cluster("c1", "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}"))
	if out := e.Cluster("c1", "exec", pod, "--", "berth-demo", "get", "http://127.0.0.1:8080/hostname"); !strings.Contains(out, pod) {
		e.T.Errorf("exec: %s", out)
	}
	if out := e.Cluster("c1", "logs", pod); out == "" {
		e.T.Error("no logs")
	}
	forward(e, pod)
	e.Eventually("kubectl top nodes", 2*time.Minute, func() error {
		out, err := e.TryCluster("c1", "top", "nodes")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if out := e.Cluster("c1", "get", "--raw", "/api/v1/namespaces/default/services/web:80/proxy/hostname"); !strings.HasPrefix(out, "web-") {
		e.T.Errorf("service through the API server's proxy: %s", out)
	}
}

// forward reaches a pod through kubectl port-forward.
func forward(e *harness.Env, pod string) {
	const port = "18080" // the test's network namespace is its own
	stop := e.Start("kubectl", "--context", "c1", "port-forward", "pod/"+pod, port+":8080")
	defer stop()
	e.Eventually("port-forward", 30*time.Second, func() error {
		response, err := http.Get("http://127.0.0.1:" + port + "/hostname")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || strings.TrimSpace(string(body)) != pod {
			return fmt.Errorf("%w: answered %q", err, body)
		}
		return nil
	})
}

const webManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}
      containers:
      - name: web
        image: %s
        args: [serve]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
`
