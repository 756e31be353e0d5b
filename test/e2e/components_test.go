package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"berth.dev/berth/test/harness"
)

// putBackWithin is how long a put-back may take on a slow machine; the aim is 5 s.
const putBackWithin = 30 * time.Second

// managedComponents does to them what a customer may try (A4 to A7).
func managedComponents(e *harness.Env) {
	refusedWithClause(e)
	customNames(e)
	system := func(args ...string) []string { return append([]string{"-n", "kube-system"}, args...) }
	for _, c := range []struct {
		why string
		// act is the customer's, and look prints what says that it was put back.
		act, look []string
		was       func(before, now string) bool
	}{
		{
			"a variable of kube-proxy", system("set", "env", "daemonset/kube-proxy", "MINE=1"),
			system("get", "daemonset", "kube-proxy", "-o", "jsonpath={.spec.template.spec}"), func(before, now string) bool { return now == before },
		},
		{
			"no replica of the DNS", system("scale", "deployment/coredns", "--replicas=0"),
			system("get", "deployment", "coredns", "-o", "jsonpath={.spec.replicas}"), func(before, now string) bool { return now == before },
		},
		{
			"what refuses", []string{"delete", "validatingadmissionpolicybinding", "aks-managed-components"},
			[]string{"get", "validatingadmissionpolicybinding", "aks-managed-components", "-o", "jsonpath={.metadata.uid}"}, func(before, now string) bool { return now != before },
		},
		{
			"the DNS", system("delete", "deployment", "coredns"),
			system("get", "deployment", "coredns", "-o", "jsonpath={.metadata.uid}"), func(before, now string) bool { return now != before },
		},
	} {
		before := e.Cluster("c1", c.look...)
		e.Cluster("c1", c.act...)
		started := time.Now()
		e.Eventually("put back: "+c.why, putBackWithin, func() error {
			now, err := e.TryCluster("c1", c.look...)
			if err != nil || !c.was(before, now) {
				return fmt.Errorf("%w: %s", err, now)
			}
			return nil
		})
		e.T.Logf("%s: put back after %.1f s", c.why, time.Since(started).Seconds())
	}
	e.Cluster("c1", "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
	e.Cluster("c1", "-n", "kube-system", "rollout", "status", "daemonset/kube-proxy", "--timeout=120s")
	told(e)
}

// told looks at the events: what the customer did is told, and nothing else was ever put
// back, as it would be if something of Kubernetes' own kept changing a component.
func told(e *harness.Env) {
	out := e.Cluster("c1", "get", "events", "-A", "--field-selector", "reason=PutBack", "-o", `jsonpath={range .items[*]}{.involvedObject.name} {.count} {.message}{"\n"}{end}`)
	want := map[string]string{"kube-proxy": "1 put back, since kubectl-set changed", "coredns": "2 put back, since it was deleted", "aks-managed-components": "1 put back, since it was deleted"}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		name, message, _ := strings.Cut(line, " ")
		if begin, ok := want[name]; !ok || !strings.HasPrefix(message, begin) || !strings.Contains(message, "(A7)") {
			e.T.Errorf("the event on %s: %s", name, message)
		}
		delete(want, name)
	}
	for name := range want {
		e.T.Errorf("no event on %s", name)
	}
}

// refusedWithClause tries what cannot be put back in time.
func refusedWithClause(e *harness.Env) {
	for _, args := range [][]string{
		{"delete", "clusterrolebinding", "berth:kube-proxy"},
		{"label", "clusterrole", "system:coredns", "team=mine"},
		{"-n", "kube-system", "delete", "serviceaccount", "coredns"},
		{"-n", "kube-system", "delete", "service", "kube-dns"},
	} {
		if out, err := e.TryCluster("c1", args...); err == nil || !strings.Contains(out, "support policy A7") {
			e.T.Errorf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// customNames gives the DNS a zone and a name of the customer's, as AKS documents it.
func customNames(e *harness.Env) {
	manifest := filepath.Join(e.State, "coredns-custom.yaml")
	if err := os.WriteFile(manifest, []byte(customManifest), 0o600); err != nil {
		e.T.Fatal(err)
	}
	e.Cluster("c1", "apply", "-f", manifest)
	e.Cluster("c1", "-n", "kube-system", "rollout", "restart", "deployment/coredns")
	e.Cluster("c1", "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
	pod := strings.TrimSpace(e.Cluster("c1", "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}"))
	for name, address := range map[string]string{"printer.corp.example.": "192.0.2.10", "shop.example.org.": "192.0.2.20"} {
		e.Eventually(name+" is found", 2*time.Minute, func() error {
			out, err := e.TryCluster("c1", "exec", pod, "--", "berth-demo", "lookup", name)
			if err != nil || strings.TrimSpace(out) != address {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}
	restarted := e.Cluster("c1", "-n", "kube-system", "get", "deployment", "coredns", "-o", `jsonpath={.spec.template.metadata.annotations.kubectl\.kubernetes\.io/restartedAt}`)
	if restarted == "" {
		e.T.Error("the restart was taken back")
	}
}

const customManifest = `
apiVersion: v1
kind: ConfigMap
metadata: {name: coredns-custom, namespace: kube-system}
data:
  corp.server: |
    corp.example:53 {
      hosts {
        192.0.2.10 printer.corp.example
      }
    }
  shop.override: |
    hosts {
      192.0.2.20 shop.example.org
      fallthrough
    }
`
