package controlplane

import (
	"slices"
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

// What members start with is read back as it was rendered, and not as of a control plane that
// had yet to come up.
func TestJoiningIn(t *testing.T) {
	for why, c := range map[string]struct {
		initialized bool
		joining     []int32
	}{
		"nobody joins":              {true, nil},
		"the third joins":           {true, []int32{0, 1, 2}},
		"the second, of two":        {true, []int32{0, 1}},
		"all begin a new cluster":   {false, nil},
		"a hole, as one is removed": {true, []int32{0, 2}},
	} {
		in := testInput()
		in.Members, in.Initialized, in.Joining = 3, c.initialized, c.joining
		if got := JoiningIn(etcdConfigMap(in).(*corev1.ConfigMap)); !slices.Equal(got, c.joining) {
			t.Errorf("%s: %v, want %v", why, got, c.joining)
		}
	}
}
