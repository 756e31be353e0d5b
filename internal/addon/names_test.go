package addon

import (
	"strings"
	"testing"
)

// The names are those of the objects: DaemonSets that a cluster has are among them, and
// none is of another namespace than the system's.
func TestNames(t *testing.T) {
	names, err := Names()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"DaemonSet/kube-system/kube-proxy", "Deployment/kube-system/coredns", "ValidatingAdmissionPolicy//" + protectionName} {
		if !names[name] {
			t.Errorf("%s is not among %v", name, names)
		}
	}
	for name := range names {
		if parts := strings.Split(name, "/"); len(parts) != 3 || parts[0] == "" || parts[2] == "" || parts[1] != "" && parts[1] != systemNamespace {
			t.Errorf("name %q", name)
		}
	}
}
