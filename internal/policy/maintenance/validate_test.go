package maintenance

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// Each case breaks a good configuration; the field that it breaks must be blamed,
// and nothing else.
func TestValidate(t *testing.T) {
	type spec = v1beta1.MaintenanceConfigurationSpec
	week := []v1beta1.TimeInWeek{{Day: "Monday", HourSlots: []int32{0}}}
	for _, c := range []struct {
		why    string
		change func(*spec)
		want   []string
	}{
		{"a good one", func(*spec) {}, nil},
		{"names are AKS's three", func(s *spec) { s.Name = "mine" }, []string{"name"}},
		{"nothing to go by", func(s *spec) { s.MaintenanceWindow = nil }, []string{"maintenanceWindow"}},
		{"the older form belongs to default", func(s *spec) { s.TimeInWeek = week }, []string{"timeInWeek"}},
		{"both forms would contradict each other", func(s *spec) { s.Name, s.TimeInWeek = v1beta1.MaintenanceDefault, week }, []string{"maintenanceWindow"}},
		{"default is weekly", func(s *spec) { s.Name, s.MaintenanceWindow.Schedule = v1beta1.MaintenanceDefault, daily(1) }, []string{"maintenanceWindow.schedule"}},
		{"default with a week is good", func(s *spec) { s.Name = v1beta1.MaintenanceDefault }, nil},
		{"default with hours is good", func(s *spec) { s.Name, s.MaintenanceWindow, s.TimeInWeek = v1beta1.MaintenanceDefault, nil, week }, nil},
		{"hours without a day would never come", func(s *spec) {
			s.Name, s.MaintenanceWindow, s.TimeInWeek = v1beta1.MaintenanceDefault, nil, []v1beta1.TimeInWeek{{Day: "Monday"}}
		}, []string{"timeInWeek"}},
		{"an hour that no day has, on a day that no week has", func(s *spec) {
			s.Name, s.MaintenanceWindow, s.TimeInWeek = v1beta1.MaintenanceDefault, nil, []v1beta1.TimeInWeek{{Day: "monday", HourSlots: []int32{24}}}
		}, []string{"timeInWeek[0].day", "timeInWeek[0].hourSlots"}},
		{"a span backwards", func(s *spec) {
			s.Name, s.MaintenanceWindow, s.TimeInWeek = v1beta1.MaintenanceDefault, nil, week
			s.NotAllowedTime = []v1beta1.TimeSpan{{Start: metav1.NewTime(time.Unix(9, 0)), End: metav1.NewTime(time.Unix(9, 0))}}
		}, []string{"notAllowedTime[0]"}},
		{"no schedule", func(s *spec) { s.MaintenanceWindow.Schedule = v1beta1.MaintenanceSchedule{} }, []string{"maintenanceWindow.schedule"}},
		{"two schedules", func(s *spec) { s.MaintenanceWindow.Schedule.Daily = &v1beta1.DailySchedule{IntervalDays: 1} }, []string{"maintenanceWindow.schedule"}},
		{"days 1 to 7", func(s *spec) { s.MaintenanceWindow.Schedule = daily(8) }, []string{"maintenanceWindow.schedule.daily.intervalDays"}},
		{"weeks 1 to 4", func(s *spec) { s.MaintenanceWindow.Schedule = weekly(0, "Monday") }, []string{"maintenanceWindow.schedule.weekly.intervalWeeks"}},
		{"a day of a week", func(s *spec) { s.MaintenanceWindow.Schedule = weekly(1, "Mon") }, []string{"maintenanceWindow.schedule.weekly.dayOfWeek"}},
		{"months 1 to 6, days 1 to 31", func(s *spec) { s.MaintenanceWindow.Schedule = absolute(7, 32) },
			[]string{"maintenanceWindow.schedule.absoluteMonthly.intervalMonths", "maintenanceWindow.schedule.absoluteMonthly.dayOfMonth"}},
		{"weeks of a month have names", func(s *spec) { s.MaintenanceWindow.Schedule = relative(1, "Fifth", "Monday") },
			[]string{"maintenanceWindow.schedule.relativeMonthly.weekIndex"}},
		{"4 hours at least", func(s *spec) { s.MaintenanceWindow.DurationHours = 3 }, []string{"maintenanceWindow.durationHours"}},
		{"24 at most", func(s *spec) { s.MaintenanceWindow.DurationHours = 25 }, []string{"maintenanceWindow.durationHours"}},
		{"an offset has a sign", func(s *spec) { s.MaintenanceWindow.UTCOffset = "02:00" }, []string{"maintenanceWindow.utcOffset"}},
		{"and is somewhere on Earth", func(s *spec) { s.MaintenanceWindow.UTCOffset = "+14:15" }, []string{"maintenanceWindow.utcOffset"}},
		{"24:00 is 00:00 of the next day", func(s *spec) { s.MaintenanceWindow.StartTime = "24:00" }, []string{"maintenanceWindow.startTime"}},
		{"a day that the year lacks", func(s *spec) { s.MaintenanceWindow.StartDate = "2027-02-29" }, []string{"maintenanceWindow.startDate"}},
		{"a leap day is a day", func(s *spec) { s.MaintenanceWindow.StartDate = "2028-02-29" }, nil},
		{"a span backwards, and one that is no date", func(s *spec) {
			s.MaintenanceWindow.NotAllowedDates = []v1beta1.DateSpan{days("2026-01-02", "2026-01-01"), days("soon", "2026-01-01")}
		}, []string{"maintenanceWindow.notAllowedDates[0]", "maintenanceWindow.notAllowedDates[1].start"}},
		{"a span of one day", func(s *spec) {
			s.MaintenanceWindow.NotAllowedDates = []v1beta1.DateSpan{days("2026-01-02", "2026-01-02")}
		}, nil},
	} {
		t.Run(c.why, func(t *testing.T) {
			made := window(weekly(1, "Monday"), 4, "+00:00", "", "00:00")
			c.change(made)
			var got []string
			for _, violation := range Validate(made) {
				got = append(got, violation.Target)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("blames %q, want %q", got, c.want)
			}
			if calendar, found := New(made, time.Unix(0, 0), time.Unix(0, 0)); (calendar == nil) != (len(found) > 0) {
				t.Error("New and Validate disagree")
			}
		})
	}
}

// What a customer leaves out, and that a second time changes nothing.
func TestDefault(t *testing.T) {
	made := window(weekly(1, "Monday"), 0, "", "", "00:00")
	Default(made)
	if made.MaintenanceWindow.DurationHours != 24 || made.MaintenanceWindow.UTCOffset != "+00:00" {
		t.Errorf("defaulted to %+v", made.MaintenanceWindow)
	}
	made.MaintenanceWindow.DurationHours, made.MaintenanceWindow.UTCOffset = 4, "-08:00"
	Default(made)
	if made.MaintenanceWindow.DurationHours != 4 || made.MaintenanceWindow.UTCOffset != "-08:00" {
		t.Errorf("changed what was given: %+v", made.MaintenanceWindow)
	}
}
