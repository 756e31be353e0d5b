package cluster

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/internal/controlplane"
)

// Etcd serves while most of its members are ready: a lone one, or two of three.
func TestEtcdServes(t *testing.T) {
	cluster := backThen(time.Now(), 0)
	for _, c := range []struct {
		members, ready int32
		want           bool
	}{{0, 0, false}, {0, 1, true}, {3, 1, false}, {3, 2, true}, {3, 3, true}} {
		set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespaceOf(cluster), Name: controlplane.EtcdStatefulSet}, Status: appsv1.StatefulSetStatus{ReadyReplicas: c.ready}}
		r := reconcilerOf(t, time.Now(), set)
		if got := r.etcdServes(t.Context(), &pass{cluster: cluster, input: controlplane.Input{Members: c.members}}); got != c.want {
			t.Errorf("%d of %d ready: %t", c.ready, c.members, got)
		}
	}
	if reconcilerOf(t, time.Now()).etcdServes(t.Context(), &pass{cluster: cluster}) {
		t.Error("one that was not made serves")
	}
}
