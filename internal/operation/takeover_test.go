package operation

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// What was written just now may be of a newer build, a status that was written is not asked
// for, and what nobody takes over is wrong.
func TestMayBeOfNewer(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	at := func(ago time.Duration) *metav1.Time { written := metav1.NewTime(now.Add(-ago)); return &written }
	for _, c := range []struct {
		why            string
		created, spec  time.Duration
		status         time.Duration
		mayBe, managed bool
	}{
		{"made just now", 2 * time.Second, 0, 0, true, false},
		{"made long ago", time.Hour, 0, 0, false, false},
		{"made by a clock that was ahead", -time.Hour, 0, 0, false, false},
		{"changed just now", time.Hour, 2 * time.Second, time.Minute, true, true},
		{"changed long ago", time.Hour, 2 * time.Minute, time.Second, false, true},
	} {
		pool := &v1beta1.AgentPool{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: *at(c.created)}}
		if c.managed {
			pool.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "arm", Time: at(c.spec)}, {Manager: "berth", Time: at(c.status), Subresource: "status"}}
		}
		if got := MayBeOfNewer(pool, now); got != c.mayBe {
			t.Errorf("%s: %t", c.why, got)
		}
	}
}
