package backup

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

// Every member of etcd is asked at its own address where there are several, also when their
// number has changed since the recorder began.
func TestMembersAreAskedOneByOne(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "s", Name: "c"}, Spec: v1beta1.ManagedClusterSpec{ID: "a"}}
	objects := []client.Object{cluster}
	for name, address := range map[string]string{controlplane.EtcdService: "10.0.0.9", "etcd-0": "10.0.0.1", "etcd-1": "10.0.0.2", "etcd-2": "10.0.0.3"} {
		objects = append(objects, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.ControlPlaneNamespace("a"), Name: name}, Spec: corev1.ServiceSpec{ClusterIP: address},
		})
	}
	kube := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	r := &reconciler{client: kube, reader: kube, running: newFleet()}
	for _, c := range []struct {
		replicas *v1beta1.ControlPlaneReplicas
		want     []string
	}{
		{nil, []string{"https://10.0.0.9:2379"}},
		{&v1beta1.ControlPlaneReplicas{Phase: v1beta1.ReplicasThree, Members: 3}, []string{"https://10.0.0.1:2379", "https://10.0.0.2:2379", "https://10.0.0.3:2379"}},
	} {
		cluster.Status.Replicas = c.replicas
		if err := kube.Update(t.Context(), cluster); err != nil {
			t.Fatal(err)
		}
		if got, err := r.members(t.Context(), client.ObjectKeyFromObject(cluster)); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, %v", c.replicas, got, err)
		}
	}
	if _, err := r.members(t.Context(), types.NamespacedName{Name: "other"}); err == nil {
		t.Error("a cluster that is not there has members")
	}
}

// What is known of an etcd that went back, and that backups are in doubt, outlives a recorder.
func TestDoubtsAreWrittenDown(t *testing.T) {
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	status := statusOf(backup.State{Doubtful: true, RolledBack: true, Rollback: &backup.Rollback{Time: noon, Revision: 60, Recorded: 90, Shared: 50, Written: 2}})
	if want := (v1beta1.EtcdRollback{Time: metav1.NewTime(noon), Revision: 60, Recorded: 90, Shared: 50, Written: 2}); !status.Doubtful || status.Rollback == nil || *status.Rollback != want {
		t.Errorf("%+v", status)
	}
	cluster := &v1beta1.ManagedCluster{Status: v1beta1.ManagedClusterStatus{Backup: status}}
	r := &reconciler{running: newFleet()}
	if next := r.recorder(cluster, "", policy.BackupPlan{}); !next.State().Doubtful {
		t.Error("the next recorder knows of no doubt")
	}
	if status := statusOf(backup.State{}); status.Doubtful || status.Rollback != nil {
		t.Errorf("%+v", status)
	}
}
