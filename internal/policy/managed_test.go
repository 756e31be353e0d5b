package policy

import (
	"strings"
	"testing"
)

func TestCustomersField(t *testing.T) {
	open := map[string]string{overrideResources: hookOpen}
	shut := map[string]string{overrideResources: "disabled"}
	for _, c := range []struct {
		why, kind, path string
		annotations     map[string]string
		want            bool
	}{
		{"a tool's note", "ConfigMap", "metadata annotations kubectl.kubernetes.io/last-applied-configuration", nil, true},
		{"the map of notes itself", "Service", "metadata annotations", nil, true},
		{"a label selects", "Deployment", "metadata labels team", nil, false},
		{"a label of a role may aggregate it", "ClusterRole", "metadata labels rbac.authorization.k8s.io/aggregate-to-view", nil, false},
		{"B4: a label of the namespace", "Namespace", "metadata labels team", nil, true},
		{"a level that components do not meet", "Namespace", "metadata labels pod-security.kubernetes.io/enforce", nil, false},
		{"kubectl rollout restart", "Deployment", "spec template metadata annotations kubectl.kubernetes.io/restartedAt", nil, true},
		{"kubectl rollout restart", "DaemonSet", "spec template metadata annotations kubectl.kubernetes.io/restartedAt", nil, true},
		{"another annotation of pods, which may inject", "Deployment", "spec template metadata annotations sidecar.istio.io/inject", nil, false},
		{"limits", "Deployment", "spec template spec containers * resources limits memory", nil, false},
		{"limits, with AKS's annotation", "Deployment", "spec template spec containers * resources limits memory", open, true},
		{"limits, with it set back", "Deployment", "spec template spec containers * resources limits memory", shut, false},
		{"an image, with the annotation for limits", "DaemonSet", "spec template spec containers * image", open, false},
		{"a variable", "DaemonSet", "spec template spec containers * env * value", nil, false},
		{"replicas", "Deployment", "spec replicas", nil, false},
		{"a finalizer", "ConfigMap", "metadata finalizers *", nil, false},
	} {
		if got := CustomersField(c.kind, c.annotations, strings.Fields(c.path)); got != c.want {
			t.Errorf("%s (%s %s): %t", c.why, c.kind, c.path, got)
		}
	}
}

// Every row of the table is needed by a path that no other row has.
func TestManagedHooksAreAllNeeded(t *testing.T) {
	for i, hook := range ManagedHooks() {
		kind, key := "ConfigMap", "key"
		if len(hook.Kinds) > 0 {
			kind = hook.Kinds[0]
		}
		if hook.Only != "" {
			key = hook.Only
		}
		annotations := map[string]string{hook.Annotation: hookOpen}
		path := append(append([]string{}, hook.Path...), key)
		for j, other := range ManagedHooks() {
			if holds := other.applies(kind, annotations) && other.holds(path); holds != (i == j) {
				t.Errorf("%v: row %d: %t", path, j, holds)
			}
		}
		if hook.Why == "" {
			t.Errorf("row %d has no reason", i)
		}
	}
}

func TestManagedRefusals(t *testing.T) {
	for _, row := range ManagedRefusals() {
		if row.Clause == "" || row.Why == "" || len(row.Operations) == 0 || len(row.Resources) == 0 {
			t.Errorf("%+v says too little", row)
		}
		for _, operation := range row.Operations {
			// Whoever may not even create a managed object could never get a refused name free.
			if operation == "CREATE" && len(row.Names) == 0 {
				t.Errorf("%+v refuses to create what has no name yet", row)
			}
			if operation != "UPDATE" && len(row.Fields) > 0 {
				t.Errorf("%+v compares fields with nothing", row)
			}
		}
	}
}
