package admission

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
)

func archivedCluster() *v1beta1.ManagedCluster {
	cluster := clusterWith("sub-a", "rg1.c1", "aaaaaaaaaaaa")
	cluster.Spec.PowerState = &v1beta1.PowerState{Code: v1beta1.PowerStopped}
	cluster.Status.PowerState.Code = v1beta1.PowerStopped
	cluster.Status.Archive = &v1beta1.ClusterArchive{Phase: v1beta1.Archived}
	return cluster
}

// A change brings an archived cluster back only together with its start (J5).
func TestArchivedClusterChangesWithItsStart(t *testing.T) {
	rules := &clusterRules{Rules{Now: time.Now}}
	for _, c := range []struct {
		why     string
		code    v1beta1.PowerCode
		archive *v1beta1.ClusterArchive
		allowed bool
	}{
		{"with its start", v1beta1.PowerRunning, &v1beta1.ClusterArchive{Phase: v1beta1.Archived}, true},
		{"alone", v1beta1.PowerStopped, &v1beta1.ClusterArchive{Phase: v1beta1.Archived}, false},
		{"a cluster that is stopped alone", v1beta1.PowerRunning, nil, false},
	} {
		old := archivedCluster()
		old.Status.Archive = c.archive
		cluster := old.DeepCopy()
		cluster.Spec.PowerState.Code, cluster.Spec.KubernetesVersion = c.code, "1.37.2"
		if found := rules.power(old, cluster); (len(found) == 0) != c.allowed {
			t.Errorf("%s: %v", c.why, found)
		}
	}
}

// A pool changes while its cluster comes back only as the operation says that brings it.
func TestPoolsOfTheOperationThatReallocates(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	asked := v1beta1.AgentPoolSpec{ResourceGroup: "rg1", ClusterName: "c1", AgentPoolProfile: v1beta1.AgentPoolProfile{Name: "np1", OrchestratorVersion: "1.37.2"}}
	for _, c := range []struct {
		why     string
		state   v1beta1.ProvisioningState
		ended   bool
		holder  string
		version string
		want    bool
	}{
		{"as it says", v1beta1.StateStarting, false, "op-1", "1.37.2", true},
		{"otherwise", v1beta1.StateStarting, false, "op-1", "1.36.3", false},
		{"by another hand", v1beta1.StateStarting, false, "", "1.37.2", false},
		{"of one that starts nothing", v1beta1.StateUpdating, false, "op-1", "1.37.2", false},
		{"of one that has ended", v1beta1.StateStarting, true, "op-1", "1.37.2", false},
	} {
		cluster := archivedCluster()
		cluster.Annotations = map[string]string{v1beta1.AnnotationOperation: "op-1"}
		op := &v1beta1.Operation{ObjectMeta: metav1.ObjectMeta{Namespace: "sub-a", Name: "op-1"}}
		op.Spec.State, op.Spec.Desired = c.state, &v1beta1.DesiredState{AgentPools: []v1beta1.AgentPoolSpec{asked}}
		if c.ended {
			op.Status.Status = v1beta1.OperationSucceeded
		}
		pool := &v1beta1.AgentPool{Spec: *asked.DeepCopy()}
		pool.Annotations, pool.Spec.OrchestratorVersion = map[string]string{v1beta1.AnnotationOperation: c.holder}, c.version
		rules := &poolRules{Rules{Reader: fake.NewClientBuilder().WithScheme(scheme).WithObjects(op).Build()}}
		if got, err := rules.reallocates(t.Context(), cluster, pool); got != c.want || err != nil {
			t.Errorf("%s: %v, %v", c.why, got, err)
		}
	}
}
