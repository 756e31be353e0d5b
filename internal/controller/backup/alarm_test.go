package backup

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/internal/backup"
)

// An alarm is told once, and again when it was over meanwhile.
func TestAlarmsAreToldOnce(t *testing.T) {
	f, key := newFleet(), types.NamespacedName{Name: "a"}
	f.known[key] = &voyage{recorder: backup.NewRecorder(backup.Config{})}
	for i, c := range []struct{ now, told []string }{
		{nil, nil}, {[]string{"NOSPACE"}, []string{"NOSPACE"}}, {[]string{"NOSPACE"}, nil},
		{[]string{"CORRUPT", "NOSPACE"}, []string{"CORRUPT"}}, {nil, nil}, {[]string{"NOSPACE"}, []string{"NOSPACE"}},
	} {
		if got := f.raised(key, c.now); !slices.Equal(got, c.told) {
			t.Errorf("look %d, %v: it tells %v, want %v", i, c.now, got, c.told)
		}
	}
}
