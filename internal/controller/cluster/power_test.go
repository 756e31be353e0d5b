package cluster

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// A cluster's power code and the time since when it is stopped, from the first
// request to stop to the end of the start.
func TestPowerCodeChangesAtTheEnd(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Generation: 1}}
	cluster.Status.ProvisioningState, cluster.Status.ObservedGeneration = v1beta1.StateSucceeded, 1
	cluster.Status.PowerState.Code, cluster.Status.APIServerReady = v1beta1.PowerRunning, &metav1.Time{Time: now}
	ready := findings{rolledOut: true, addonsApplied: true, poolsReady: true}
	for _, c := range []struct {
		why   string
		asked v1beta1.PowerCode
		found findings
		off   bool // the control plane is to run no more
		state v1beta1.ProvisioningState
		power v1beta1.PowerCode
		// since is how many minutes ago the cluster was stopped; -1 if it is not.
		since     int
		answering bool
	}{
		{"nodes drain", v1beta1.PowerStopped, with(ready, func(f *findings) { f.stop = true }), false, v1beta1.StateStopping, v1beta1.PowerRunning, -1, true},
		{"the control plane ends", v1beta1.PowerStopped, findings{stop: true}, true, v1beta1.StateStopping, v1beta1.PowerRunning, -1, false},
		{"nothing runs any more", v1beta1.PowerStopped, findings{stop: true, off: true}, true, v1beta1.StateSucceeded, v1beta1.PowerStopped, 0, false},
		{"a look later", v1beta1.PowerStopped, findings{stop: true, off: true}, true, v1beta1.StateSucceeded, v1beta1.PowerStopped, 1, false},
		{"the control plane starts", v1beta1.PowerRunning, findings{}, false, v1beta1.StateStarting, v1beta1.PowerStopped, 2, false},
		{"nodes join", v1beta1.PowerRunning, with(ready, func(f *findings) { f.poolsReady = false }), false, v1beta1.StateStarting, v1beta1.PowerStopped, -1, true},
		{"all are Ready", v1beta1.PowerRunning, ready, false, v1beta1.StateSucceeded, v1beta1.PowerRunning, -1, true},
	} {
		now = now.Add(time.Minute)
		cluster.Spec.PowerState = &v1beta1.PowerState{Code: c.asked}
		p := &pass{cluster: cluster, now: now, found: c.found}
		p.input.Stopped = c.off
		cluster.Status = nextStatus(p, cluster.Status)
		got := cluster.Status
		if got.ProvisioningState != c.state || got.PowerState.Code != c.power || (got.APIServerReady != nil) != c.answering {
			t.Errorf("%s: %s, %s, API server ready since %v; want %s, %s, ready %v", c.why, got.ProvisioningState, got.PowerState.Code, got.APIServerReady, c.state, c.power, c.answering)
		}
		since := -1
		if stopped := meta.FindStatusCondition(got.Conditions, v1beta1.ConditionStopped); stopped != nil && stopped.Status == metav1.ConditionTrue {
			since = int(now.Sub(stopped.LastTransitionTime.Time).Minutes())
		}
		if since != c.since {
			t.Errorf("%s: stopped for %d minutes, want %d", c.why, since, c.since)
		}
	}
}
