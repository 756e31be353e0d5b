package agentpool

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy/event"
)

// The end of a replacement is told when the status says it first, and as what it was.
func TestRollingEnd(t *testing.T) {
	now := metav1.NewTime(time.Unix(0, 0))
	runs, ended := &v1beta1.PoolUpgrade{}, &v1beta1.PoolUpgrade{EndTime: &now}
	for _, c := range []struct {
		why        string
		last, next *v1beta1.PoolUpgrade
		state      v1beta1.ProvisioningState
		want       string
	}{
		{"there is none", nil, nil, v1beta1.StateSucceeded, ""},
		{"it goes on", runs, runs, v1beta1.StateUpgrading, ""},
		{"it ends", runs, ended, v1beta1.StateSucceeded, event.ReasonRollingSucceeded},
		{"it ends, and the pool has more to do", runs, ended, v1beta1.StateUpdating, event.ReasonRollingSucceeded},
		{"it fails", runs, ended, v1beta1.StateFailed, event.ReasonRollingFailed},
		{"it is given up", runs, ended, v1beta1.StateCanceled, event.ReasonRollingFailed},
		{"it was told", ended, ended, v1beta1.StateFailed, ""},
	} {
		got, _ := rollingEnd(v1beta1.AgentPoolStatus{Upgrade: c.last}, v1beta1.AgentPoolStatus{Upgrade: c.next, ProvisioningState: c.state})
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}
