package backup

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1beta1"
)

// A control plane that is being stopped is recorded until it has stopped: its API servers
// write after nobody counts on them, and the recorder stores what it holds when it ends.
func TestRecorderSeesAStopThrough(t *testing.T) {
	r := &reconciler{running: newFleet()}
	key := types.NamespacedName{Name: "a"}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	close(done)
	r.running.known[key] = &voyage{cancel: cancel, done: done}
	cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: key.Name}}
	cluster.Spec.PowerState = &v1beta1.PowerState{Code: v1beta1.PowerStopped}
	cluster.Status.PowerState.Code = v1beta1.PowerRunning
	if _, err := r.record(t.Context(), cluster); err != nil || ctx.Err() != nil {
		t.Errorf("the stop ends the recorder before the control plane: %v, %v", err, ctx.Err())
	}
	cluster.Status.PowerState.Code = v1beta1.PowerStopped
	if _, err := r.record(t.Context(), cluster); err != nil || ctx.Err() == nil {
		t.Errorf("the recorder goes on without an etcd: %v", err)
	}
}
