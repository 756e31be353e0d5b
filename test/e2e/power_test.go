package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/test/harness"
)

// stopStart stops a cluster with everything in it and starts it again: every object
// is kept, and no process is left meanwhile (J1).
func stopStart(e *harness.Env) {
	standalone := filepath.Join(e.State, "standalone.yaml")
	if err := os.WriteFile(standalone, []byte(fmt.Sprintf(standaloneManifest, e.DemoImage())), 0o600); err != nil {
		e.T.Fatal(err)
	}
	e.Cluster("c1", "apply", "-f", standalone)
	e.Cluster("c1", "wait", "--for=condition=Ready", "pod/standalone", "--timeout=60s")
	before, id := inventory(e), clusterID(e, "rg1.c1")
	nodes, pods := e.ReadyNodes("c1"), podUIDs(e, id)

	started := time.Now()
	e.Run("az", "aks", "stop", "-g", "rg1", "-n", "c1")
	e.T.Logf("az aks stop took %.1f s", time.Since(started).Seconds())
	checkStopped(e, id, pods)
	if out, err := e.Try("berth", "cluster", "update", "-g", "rg1", "-n", "c1", "--tags", "a=b"); err == nil || !strings.Contains(out, "is stopped") {
		e.T.Errorf("a stopped cluster is changed: %v\n%s", err, out)
	}
	if out, err := e.TryCluster("c1", "get", "nodes", "--request-timeout=5s"); err == nil {
		e.T.Errorf("a stopped cluster answers: %s", out)
	}
	e.Run("berth", "down", "--state-dir", e.State)
	e.Up()
	checkStopped(e, id, pods)

	started = time.Now()
	e.Run("az", "aks", "start", "-g", "rg1", "-n", "c1")
	e.T.Logf("az aks start took %.1f s", time.Since(started).Seconds())
	// A name that was given up by hand before is given again.
	if after := e.ReadyNodes("c1"); len(after) != len(nodes) {
		e.T.Errorf("ready nodes were %v and are %v", nodes, after)
	}
	after := inventory(e)
	if _, kept := after["Pod default/standalone"]; kept {
		e.T.Error("a standalone pod outlived its node")
	}
	for object, uid := range before {
		if !ephemeral(object) && after[object] != uid {
			e.T.Errorf("%s was %s and is %q", object, uid, after[object])
		}
	}
	e.Cluster("c1", "rollout", "status", "deployment/web", "--timeout=120s")
}

// rotates replaces a cluster's certificates: the kubeconfig from before ends, a new
// one works, and what was stored is still there.
func rotates(e *harness.Env) {
	before := e.Cluster("c1", "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
	e.Run("az", "aks", "rotate-certs", "-g", "rg1", "-n", "c1", "-y")
	if out, err := e.TryCluster("c1", "get", "nodes", "--request-timeout=10s"); err == nil {
		e.T.Errorf("the kubeconfig from before the rotation still works: %s", out)
	}
	e.Run("az", "aks", "get-credentials", "-g", "rg1", "-n", "c1", "--overwrite-existing")
	if after := e.Cluster("c1", "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"); after != before {
		e.T.Errorf("kube-system was %s and is %s", before, after)
	}
	if nodes := e.ReadyNodes("c1"); len(nodes) != 3 {
		e.T.Errorf("ready nodes after a rotation: %v", nodes)
	}
	e.Cluster("c1", "rollout", "status", "deployment/web", "--timeout=120s")
	e.Eventually("logs through the tunnel", time.Minute, func() error {
		_, err := e.TryCluster("c1", "logs", "deployment/web", "--tail=1")
		return err
	})
}

const standaloneManifest = `apiVersion: v1
kind: Pod
metadata:
  name: standalone
spec:
  containers:
  - name: web
    image: %s
    args: [serve]
`

// ephemeral are the objects that belong to nodes, their pods, and what the cluster
// tells about them from moment to moment.
func ephemeral(object string) bool {
	kind, _, _ := strings.Cut(object, " ")
	for _, one := range []string{"Pod", "Node", "Event", "Lease", "CSINode", "CertificateSigningRequest", "NodeMetrics", "PodMetrics", "EndpointSlice", "VolumeAttachment"} {
		if kind == one {
			return true
		}
	}
	return strings.HasPrefix(object, "Secret kube-system/bootstrap-token-")
}

// inventory is every object of the cluster, with its uid.
func inventory(e *harness.Env) map[string]string {
	e.T.Helper()
	objects := map[string]string{}
	kinds := strings.Fields(e.Cluster("c1", "api-resources", "--verbs=list", "-o", "name"))
	for _, kind := range kinds {
		out, err := e.TryCluster("c1", "get", kind, "-A", "-o", "json")
		if err != nil {
			continue // metrics are not there for a while
		}
		maps.Copy(objects, uids(e, out))
	}
	if len(objects) < 50 {
		e.T.Fatalf("only %d objects: the test would show nothing", len(objects))
	}
	return objects
}

func uids(e *harness.Env, list string) map[string]string {
	var found struct {
		Items []struct {
			Kind     string
			Metadata struct{ Namespace, Name, UID string }
		}
	}
	e.Decode(list, &found)
	objects := map[string]string{}
	for _, item := range found.Items {
		objects[item.Kind+" "+item.Metadata.Namespace+"/"+item.Metadata.Name] = item.Metadata.UID
	}
	return objects
}

func clusterID(e *harness.Env, name string) string {
	e.T.Helper()
	return strings.TrimSpace(e.Management("get", "managedclusters", "-A", "--field-selector=metadata.name="+name, "-o", "jsonpath={.items[0].spec.id}"))
}

// checkStopped looks for what a stopped cluster must not have: pods, and processes
// of any, whoever started them.
func checkStopped(e *harness.Env, id string, uids []string) {
	e.T.Helper()
	if out := e.Run("az", "aks", "show", "-g", "rg1", "-n", "c1", "--query", "powerState.code", "-o", "tsv"); !strings.HasSuffix(strings.TrimSpace(out), "Stopped") {
		e.T.Errorf("powerState of a stopped cluster: %s", out)
	}
	for _, namespace := range []string{"cp-" + id, "mc-" + id} {
		if pods := e.Management("get", "pods", "-n", namespace, "-o", "name"); pods != "" {
			e.T.Errorf("pods of a stopped cluster in %s: %s", namespace, pods)
		}
	}
	for _, command := range processesOf(uids) {
		e.T.Errorf("a process of a stopped cluster runs: %s", command)
	}
}

// podUIDs are those of a cluster's control plane and machines, by which the
// processes in them are known.
func podUIDs(e *harness.Env, id string) []string {
	e.T.Helper()
	var uids []string
	for _, namespace := range []string{"cp-" + id, "mc-" + id} {
		uids = append(uids, strings.Fields(e.Management("get", "pods", "-n", namespace, "-o", "jsonpath={.items[*].metadata.uid}"))...)
	}
	if len(processesOf(uids)) < len(uids) {
		e.T.Fatalf("pods %v have only the processes %v: the test would show nothing", uids, processesOf(uids))
	}
	return uids
}

// processesOf are the commands of all processes whose cgroup lies below a pod's.
func processesOf(uids []string) []string {
	var commands []string
	cgroups, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, path := range cgroups {
		raw, err := os.ReadFile(path)
		if err != nil || !slices.ContainsFunc(uids, func(uid string) bool { return strings.Contains(string(raw), uid) }) {
			continue
		}
		command, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		commands = append(commands, strings.ReplaceAll(string(command), "\x00", " "))
	}
	return commands
}
