package backup

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1beta1"
)

// What a recorder holds in memory is not thrown away while etcd's data are put back, and is
// no reason to go on afterwards.
func TestRecorderOutlivesARecovery(t *testing.T) {
	r := &reconciler{running: newFleet()}
	key := types.NamespacedName{Name: "a"}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	close(done)
	r.running.known[key] = &voyage{cancel: cancel, done: done}
	cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: key.Name}}
	cluster.Status.Recovery = &v1beta1.ControlPlaneRecovery{ID: "r", StartTime: metav1.Now()}
	if _, err := r.record(t.Context(), cluster); err != nil || ctx.Err() != nil {
		t.Errorf("a recovery ends the recorder: %v, %v", err, ctx.Err())
	}
	ended := metav1.NewTime(time.Now())
	cluster.Status.Recovery.EndTime = &ended
	if _, err := r.record(t.Context(), cluster); err != nil || ctx.Err() == nil {
		t.Errorf("the recorder goes on without an etcd: %v", err)
	}
}
