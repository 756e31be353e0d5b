package backup

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/internal/backup"
)

// A clock that is set back while somebody waits for a final backup begins the wait anew.
func TestHurriedByAClockThatWasAhead(t *testing.T) {
	f, key, noon := newFleet(), types.NamespacedName{Name: "a"}, time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	v := &voyage{recorder: backup.NewRecorder(backup.Config{})}
	f.known[key] = v
	f.hurry(key, noon)
	f.hurry(key, noon.Add(time.Second))
	if !v.hurried.Equal(noon) {
		t.Errorf("the wait begins at %s, want %s", v.hurried, noon)
	}
	back := noon.Add(-time.Hour)
	if f.hurry(key, back); !v.hurried.Equal(back) {
		t.Errorf("the clock says %s, the wait begins at %s", back, v.hurried)
	}
}

// A cluster that was never backed up has a recovery point, so that an alert has something
// to compare.
func TestRecoveryPointOfAClusterNeverBackedUp(t *testing.T) {
	found := map[*prometheus.Desc]float64{}
	collectState(backup.State{}, func(metric *prometheus.Desc, value float64, _ ...string) { found[metric] = value })
	if point, there := found[pointMetric]; !there || point != 0 {
		t.Errorf("the recovery point is %v (%t), want 0", point, there)
	}
}
