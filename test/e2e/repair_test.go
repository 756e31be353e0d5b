package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/test/harness"
)

// repairsNode breaks a node of c1 so that its kubelet cannot start. The machine's init
// says so on the Node; the node is rebooted, which does not help, and reimaged, which
// does. What was in the machine's log can be read afterwards (E4, X8).
func repairsNode(e *harness.Env) {
	e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", `{"spec":{"nodeRepair":{"after":"4s","wait":"20s"}}}`)
	defer e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", `{"spec":{"nodeRepair":null}}`)
	node := e.ReadyNodes("c1")[0]
	machine := func(path string) string {
		return strings.TrimSpace(e.Management("get", "machines", "-A", "-l", "berth.dev/cluster=rg1.c1", "-o", `jsonpath={range .items[?(@.spec.nodeName=="`+node+`")]}{`+path+`}{end}`))
	}
	reason := func() string {
		return e.Management("get", "agentpools", "-A", "--field-selector=metadata.name=rg1.c1.nodepool1", "-o", `jsonpath={.items[0].status.conditions[?(@.type=="NodesHealthy")].reason}`)
	}
	broken := time.Now()
	e.BreakKubelet(node)
	reimaged := func() error {
		if done := machine(".status.repair.history[*].action"); !strings.HasSuffix(done, "Reimage Reboot") {
			return fmt.Errorf("done so far: %s; the pool says %s", machine(".status.repair"), reason())
		}
		return nil
	}
	e.Eventually("it is rebooted and reimaged", 4*time.Minute, reimaged)
	// From now on the node has all the time that it needs.
	e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", `{"spec":{"nodeRepair":{"after":"15s","wait":null}}}`)
	e.Eventually("it is well", 4*time.Minute, func() error {
		if ready := e.ReadyNodes("c1"); len(ready) != 2 {
			return fmt.Errorf("ready: %v", ready)
		}
		return nil
	})
	e.T.Logf("well again after %.1f s; done because of %s", time.Since(broken).Seconds(), machine(".status.repair.history[*].reason"))
	events := e.Cluster("c1", "get", "events", "--field-selector=source=aks-auto-repair,involvedObject.kind=Node,involvedObject.name="+node, "-o", "jsonpath={.items[*].reason}")
	for _, want := range []string{"NodeRebootStart", "NodeRebootEnd", "NodeReimageStart", "NodeReimageEnd"} {
		if strings.Count(events, want) != 1 {
			e.T.Errorf("%d events %s: %s", strings.Count(events, want), want, events)
		}
	}
	text := evidence(e, machine(".spec.clusterId"), machine(".status.repair.evidence"))
	for _, want := range []string{"allocated_pods_state", "KubeletProblem is true"} {
		if !strings.Contains(text, want) {
			e.T.Errorf("the evidence of %d bytes does not say %s", len(text), want)
		}
	}
	e.Eventually("the node says that it is well", time.Minute, func() error {
		out, err := e.TryCluster("c1", "get", "node", node, "-o", `jsonpath={.status.conditions[?(@.type=="KubeletProblem")].status}`)
		if err != nil || out != "False" {
			return fmt.Errorf("%w: KubeletProblem is %q", err, out)
		}
		return nil
	})
	e.Eventually("the pool's nodes are healthy", time.Minute, func() error {
		if now := reason(); now != "AllHealthy" {
			return fmt.Errorf("NodesHealthy is %s", now)
		}
		return nil
	})
}

// illNode repairs a node, and waits until the workload is whole again.
func illNode(e *harness.Env) {
	repairsNode(e)
	e.Cluster("c1", "rollout", "status", "deployment/web", "--timeout=120s")
}

// evidence is the log that was saved of a machine.
func evidence(e *harness.Env, id, name string) string {
	e.T.Helper()
	raw, err := base64.StdEncoding.DecodeString(e.Management("-n", v1beta1.MachineNamespace(id), "get", "secret", name, "-o", `jsonpath={.data.machine\.log\.gz}`))
	if err != nil {
		e.T.Fatal(err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		e.T.Fatal(err)
	}
	text, err := io.ReadAll(reader)
	if err != nil {
		e.T.Fatal(err)
	}
	return string(text)
}
