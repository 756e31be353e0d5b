package backup

import (
	"slices"
	"strings"
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

// An alarm tells what is done about it, and to whom nothing is.
func TestAlarmMessages(t *testing.T) {
	for _, c := range []struct {
		alarm           string
		highlyAvailable bool
		part            string
	}{
		{"NOSPACE", false, "Room is being made"}, {"CORRUPT", true, "is made anew"}, {"CORRUPT", false, "nothing is done by itself"}, {"OTHER", true, "OTHER"},
	} {
		if got := alarmMessage(c.alarm, c.highlyAvailable); !strings.Contains(got, c.part) {
			t.Errorf("%s, %v: %s", c.alarm, c.highlyAvailable, got)
		}
	}
}
