package admission

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
)

func clusterWith(namespace, name, id string) *v1beta1.ManagedCluster {
	cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	cluster.Spec.ID = id
	return cluster
}

// Namespaces, volumes and backups are named by a cluster's id: whoever asks for
// another's gets nothing of it.
func TestIDsOfOthersAreRefused(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	objects := []client.Object{
		clusterWith("sub-a", "rg1.c1", "aaaaaaaaaaaa"),
		&v1beta1.DeletedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "sub-a", Name: "bbbbbbbbbbbb"}},
	}
	rules := &clusterRules{Rules{Reader: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()}}
	for _, c := range []struct {
		why           string
		cluster       *v1beta1.ManagedCluster
		refusedSaying string
	}{
		{"an id that was drawn", clusterWith("sub-b", "rg1.c1", "cccccccccc27"), ""},
		{"a deleted cluster that comes back", clusterWith("sub-a", "rg1.c2", "bbbbbbbbbbbb"), ""},
		{"another subscription's cluster", clusterWith("sub-b", "rg1.c1", "aaaaaaaaaaaa"), "another cluster's"},
		{"the same subscription's cluster", clusterWith("sub-a", "rg1.c2", "aaaaaaaaaaaa"), "another cluster's"},
		{"another subscription's deleted cluster", clusterWith("sub-b", "rg1.c1", "bbbbbbbbbbbb"), "another cluster's"},
		{"a path", clusterWith("sub-b", "rg1.c1", "../aaaaaaaaa"), "base 32"},
		{"one that is too short", clusterWith("sub-b", "rg1.c1", "system"), "base 32"},
	} {
		err := rules.checkID(t.Context(), c.cluster)
		if (err == nil) != (c.refusedSaying == "") || err != nil && !strings.Contains(err.Error(), c.refusedSaying) {
			t.Errorf("%s: %v", c.why, err)
		}
	}
}
