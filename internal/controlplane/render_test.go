package controlplane

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

func testInput() Input {
	return Input{
		Owner: types.NamespacedName{Namespace: "sub-1", Name: "group.demo"}, ID: "abcdefghijkl", ResourceGroup: "Group", ClusterName: "Demo",
		Images:           Images{Kube: "kube:v1", Etcd: "etcd:v1", KonnectivityServer: "konnectivity-server:v1", EtcdSnapshot: "etcd-snapshot:v1"},
		FQDN:             "demo-abcdefgh.hcp.westeurope.berth.internal",
		GatewayURL:       "https://127.0.0.1:6443",
		APIServerAddress: "100.65.0.20", EtcdAddress: "100.65.0.21",
		PodCIDR: "10.244.0.0/16", ServiceCIDR: "10.0.0.0/16",
		PrivateRanges: DefaultPrivateRanges(), SecretRevision: "1",
	}
}

// issueAll makes every Secret of a control plane by name.
func issueAll(t *testing.T, in Input) map[string]*corev1.Secret {
	t.Helper()
	now := time.Now()
	roots, err := NewRoots(in.ID, now)
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]*corev1.Secret{RootsSecret: roots.Secret(in)}
	plans, err := Plans(in, roots)
	if err != nil {
		t.Fatal(err)
	}
	for _, plan := range plans {
		if secrets[plan.Name], err = plan.Issue(now); err != nil {
			t.Fatal(err)
		}
	}
	return secrets
}

func TestEtcdEndsLast(t *testing.T) {
	for _, c := range []struct {
		why                string
		stopped, etcdLast  bool
		wantKube, wantEtcd int32
	}{
		{"a cluster that runs", false, false, 1, 1},
		{"an API server that ends has its etcd", true, true, 0, 1},
		{"a stopped cluster has nothing", true, false, 0, 0},
	} {
		in := testInput()
		in.Stopped, in.EtcdLast = c.stopped, c.etcdLast
		got := map[string]int32{}
		for _, object := range Workloads(in) {
			switch object := object.(type) {
			case *appsv1.Deployment:
				got[object.Name] = *object.Spec.Replicas
			case *appsv1.StatefulSet:
				got[object.Name] = *object.Spec.Replicas
			}
		}
		if got[KubeDeployment] != c.wantKube || got[EtcdStatefulSet] != c.wantEtcd {
			t.Errorf("%s: replicas %v", c.why, got)
		}
	}
}
