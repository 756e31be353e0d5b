package host

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

func someCluster(name, asked, runs string) v1beta1.ManagedCluster {
	c := v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.ManagedClusterSpec{ResourceGroup: "rg", Name: name, KubernetesVersion: asked}}
	c.Status.CurrentKubernetesVersion = runs
	return c
}

// A version is used by what runs it, asks for it, is on its way or could be brought back.
func TestVersionsInUse(t *testing.T) {
	const version = "1.35.4"
	catalogue := &release.Catalogue{Releases: []release.Release{{Version: "1.36.3", Default: true}, {Version: version}}}
	upgraded := someCluster("c", "1.36.3", "1.36.3")
	upgraded.Status.Upgrade = &v1beta1.ControlPlaneUpgrade{From: version, To: "1.36.3", Phase: v1beta1.UpgradeSucceeded}
	upgrading := *upgraded.DeepCopy()
	upgrading.Status.Upgrade.Phase = v1beta1.UpgradeComponents
	pool := func(asked, runs string, end *metav1.Time) estate {
		p := v1beta1.AgentPool{Spec: v1beta1.AgentPoolSpec{ResourceGroup: "rg", ClusterName: "c", AgentPoolProfile: v1beta1.AgentPoolProfile{Name: "np", OrchestratorVersion: asked}}}
		p.Status.CurrentOrchestratorVersion = runs
		p.Status.Upgrade = &v1beta1.PoolUpgrade{OrchestratorVersion: version, EndTime: end}
		return estate{pools: v1beta1.AgentPoolList{Items: []v1beta1.AgentPool{p}}}
	}
	clusters := func(all ...v1beta1.ManagedCluster) estate {
		return estate{clusters: v1beta1.ManagedClusterList{Items: all}}
	}
	machine := v1beta1.Machine{Spec: v1beta1.MachineSpec{NodeName: "n0", KubernetesVersion: "1.36.3"}, Status: v1beta1.MachineStatus{KubernetesVersion: version}}
	deleted := v1beta1.DeletedCluster{Spec: v1beta1.DeletedClusterSpec{Cluster: someCluster("d", version, "").Spec}}
	of := v1beta1.DeletedCluster{Spec: v1beta1.DeletedClusterSpec{Cluster: someCluster("d", "1.36.3", "").Spec, AgentPools: []v1beta1.AgentPoolSpec{{AgentPoolProfile: v1beta1.AgentPoolProfile{OrchestratorVersion: version}}}}}
	now := metav1.Now()
	request := func(asked string, status v1beta1.OperationStatusCode) estate {
		op := v1beta1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "op"}, Spec: v1beta1.OperationSpec{Desired: &v1beta1.DesiredState{Cluster: &v1beta1.ManagedClusterSpec{KubernetesVersion: asked}}}}
		op.Status.Status = status
		return estate{operations: v1beta1.OperationList{Items: []v1beta1.Operation{op}}}
	}
	ofPool := request("1.36.3", v1beta1.OperationInProgress)
	ofPool.operations.Items[0].Spec.Desired.AgentPools = []v1beta1.AgentPoolSpec{{AgentPoolProfile: v1beta1.AgentPoolProfile{OrchestratorVersion: version}}}
	for _, c := range []struct {
		why  string
		e    estate
		want string
	}{
		{"nothing is there", estate{}, ""},
		{"a cluster that runs it", clusters(someCluster("c", "1.35", version)), "cluster rg/c"},
		{"one that asks for it", clusters(someCluster("c", version, "1.34.1")), "cluster rg/c"},
		{"one that is made by its minor", clusters(someCluster("c", "1.35", "")), "cluster rg/c"},
		{"one of another version", clusters(someCluster("c", "1.36", "1.36.3")), ""},
		{"one that has left it", clusters(upgraded), ""},
		{"one that could go back to it", clusters(upgrading), "cluster rg/c"},
		{"a pool that runs it", pool("", version, &now), "node pool rg/c/np"},
		{"a pool that asks for it", pool(version, "1.34.1", &now), "node pool rg/c/np"},
		{"a pool on its way", pool("1.35", "1.34.1", nil), "node pool rg/c/np"},
		{"a pool of another version", pool("", "1.36.3", &now), ""},
		{"a node that is not replaced yet", estate{machines: v1beta1.MachineList{Items: []v1beta1.Machine{machine}}}, "node n0"},
		{"a deleted cluster", estate{deleted: v1beta1.DeletedClusterList{Items: []v1beta1.DeletedCluster{deleted}}}, "deleted cluster rg/d"},
		{"a pool of a deleted cluster", estate{deleted: v1beta1.DeletedClusterList{Items: []v1beta1.DeletedCluster{of}}}, "deleted cluster rg/d"},
		{"a snapshot", estate{snapshots: v1beta1.SnapshotList{Items: []v1beta1.Snapshot{{Spec: v1beta1.SnapshotSpec{ResourceGroup: "rg", Name: "s", KubernetesVersion: version}}}}}, "snapshot rg/s"},
		{"a cluster that was asked for and is not there yet", request("1.35", ""), "operation op"},
		{"a pool that was", ofPool, "operation op"},
		{"a request that was done", request(version, v1beta1.OperationSucceeded), ""},
		{"a request for another version", request("1.36", v1beta1.OperationInProgress), ""},
	} {
		if got := strings.Join(c.e.inUse(catalogue)[version], ", "); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
	if got := named(slices.Repeat([]string{"a"}, maxUsers+2)); got != "a, a, a, a, a and 2 more" {
		t.Errorf("many users: %q", got)
	}
}

// A build of another directory may lack what clusters run: who brings it up is told what to do.
func TestUpTellsWhatABuildLacks(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	old, current := someCluster("old", "1.35", "1.35.4"), someCluster("new", "1.36", "1.36.3")
	var out bytes.Buffer
	u := &upper{
		progress:  newProgress(&out),
		artifacts: Artifacts{Catalogue: &release.Catalogue{Releases: []release.Release{{Version: "1.36.3", Default: true}}}},
		cluster:   &cluster{Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(&old, &current).Build()},
	}
	if err := u.tellMissing(t.Context()); err != nil {
		t.Fatal(err)
	}
	if said := out.String(); !strings.Contains(said, "berth release add 1.35.4") || !strings.Contains(said, "cluster rg/old") || strings.Contains(said, "rg/new") {
		t.Errorf("said %q", said)
	}
}
