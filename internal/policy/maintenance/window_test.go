package maintenance

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// weekly and its siblings are schedules in short.
func daily(days int32) v1beta1.MaintenanceSchedule {
	return v1beta1.MaintenanceSchedule{Daily: &v1beta1.DailySchedule{IntervalDays: days}}
}

func weekly(weeks int32, name string) v1beta1.MaintenanceSchedule {
	return v1beta1.MaintenanceSchedule{Weekly: &v1beta1.WeeklySchedule{IntervalWeeks: weeks, DayOfWeek: name}}
}

func absolute(months, date int32) v1beta1.MaintenanceSchedule {
	return v1beta1.MaintenanceSchedule{AbsoluteMonthly: &v1beta1.AbsoluteMonthlySchedule{IntervalMonths: months, DayOfMonth: date}}
}

func relative(months int32, index, name string) v1beta1.MaintenanceSchedule {
	return v1beta1.MaintenanceSchedule{RelativeMonthly: &v1beta1.RelativeMonthlySchedule{IntervalMonths: months, WeekIndex: index, DayOfWeek: name}}
}

func window(schedule v1beta1.MaintenanceSchedule, hours int32, offset, startDate, startTime string, blocked ...v1beta1.DateSpan) *v1beta1.MaintenanceConfigurationSpec {
	return &v1beta1.MaintenanceConfigurationSpec{
		ResourceGroup: "rg1", ClusterName: "c1", Name: v1beta1.MaintenanceAutoUpgrade,
		MaintenanceWindow: &v1beta1.MaintenanceWindow{
			Schedule: schedule, DurationHours: hours, UTCOffset: offset, StartDate: startDate, StartTime: startTime, NotAllowedDates: blocked,
		},
	}
}

func days(start, end string) v1beta1.DateSpan { return v1beta1.DateSpan{Start: start, End: end} }

func calendar(t *testing.T, spec *v1beta1.MaintenanceConfigurationSpec, saved time.Time) *Calendar {
	t.Helper()
	made, found := New(spec, saved, saved)
	if len(found) > 0 {
		t.Fatal(found)
	}
	return made
}

// Each case lists the first windows seen from a moment, in UTC.
func TestWindows(t *testing.T) {
	for _, c := range []struct {
		why         string
		spec        *v1beta1.MaintenanceConfigurationSpec
		saved, from string
		want        []string
	}{
		{"the offset moves the start time: 02:00 at +02:00 is midnight UTC",
			window(daily(1), 4, "+02:00", "", "02:00"), "2026-01-01 00:00", "2026-01-05 01:00",
			[]string{"2026-01-05 00:00 - 2026-01-05 04:00", "2026-01-06 00:00 - 2026-01-06 04:00"}},
		{"and the weekday: Monday 01:00 at +05:30 is Sunday in UTC",
			window(weekly(1, "Monday"), 4, "+05:30", "", "01:00"), "2026-01-01 00:00", "2026-01-01 00:00",
			[]string{"2026-01-04 19:30 - 2026-01-04 23:30", "2026-01-11 19:30 - 2026-01-11 23:30"}},
		{"and to the other side: Sunday 22:00 at -08:00 is Monday in UTC",
			window(weekly(1, "Sunday"), 4, "-08:00", "", "22:00"), "2026-01-01 00:00", "2026-01-01 00:00",
			[]string{"2026-01-05 06:00 - 2026-01-05 10:00"}},
		{"a fixed offset knows no daylight saving: over 29 March 2026, when Central Europe's clocks change, nothing moves",
			window(daily(1), 4, "+01:00", "", "02:30"), "2026-03-01 00:00", "2026-03-28 06:00",
			[]string{"2026-03-29 01:30 - 2026-03-29 05:30", "2026-03-30 01:30 - 2026-03-30 05:30"}},
		{"nor when they change back on 25 October",
			window(daily(1), 4, "+02:00", "", "02:30"), "2026-10-01 00:00", "2026-10-24 06:00",
			[]string{"2026-10-25 00:30 - 2026-10-25 04:30", "2026-10-26 00:30 - 2026-10-26 04:30"}},
		{"a window that crosses midnight is still open on the next day",
			window(daily(3), 8, "+00:00", "2026-01-01", "20:00"), "2026-01-01 00:00", "2026-01-02 03:59",
			[]string{"2026-01-01 20:00 - 2026-01-02 04:00", "2026-01-04 20:00 - 2026-01-05 04:00"}},
		{"one of 24 hours touches the next one",
			window(daily(1), 24, "+00:00", "", "05:00"), "2026-01-01 00:00", "2026-01-02 04:59",
			[]string{"2026-01-01 05:00 - 2026-01-02 05:00", "2026-01-02 05:00 - 2026-01-03 05:00"}},
		{"a year's end is an ordinary night",
			window(weekly(1, "Thursday"), 6, "+00:00", "", "22:00"), "2026-12-01 00:00", "2026-12-31 23:00",
			[]string{"2026-12-31 22:00 - 2027-01-01 04:00", "2027-01-07 22:00 - 2027-01-08 04:00"}},
		{"an interval of days is counted from the start date over a leap day",
			window(daily(7), 4, "+00:00", "2028-02-25", "01:00"), "2026-01-01 00:00", "2028-02-01 00:00",
			[]string{"2028-02-25 01:00 - 2028-02-25 05:00", "2028-03-03 01:00 - 2028-03-03 05:00"}},
		{"an interval of weeks is counted from the first such day after the start date",
			window(weekly(3, "Wednesday"), 4, "+00:00", "2026-01-01", "01:00"), "2026-01-01 00:00", "2026-01-08 00:00",
			[]string{"2026-01-28 01:00 - 2026-01-28 05:00", "2026-02-18 01:00 - 2026-02-18 05:00"}},
		{"a configuration is inactive before its start date, however far away",
			window(daily(1), 4, "+00:00", "2027-05-05", "01:00"), "2026-01-01 00:00", "2026-01-08 00:00",
			[]string{"2027-05-05 01:00 - 2027-05-05 05:00"}},
		{"the 31st is the last day of a month that lacks it, also in a leap year",
			window(absolute(1, 31), 4, "+00:00", "2028-01-31", "01:00"), "2026-01-01 00:00", "2028-01-31 06:00",
			[]string{"2028-02-29 01:00 - 2028-02-29 05:00", "2028-03-31 01:00 - 2028-03-31 05:00", "2028-04-30 01:00 - 2028-04-30 05:00"}},
		{"29 February is the 28th in a common year",
			window(absolute(6, 29), 4, "+00:00", "2026-02-01", "01:00"), "2026-01-01 00:00", "2026-02-01 00:00",
			[]string{"2026-02-28 01:00 - 2026-02-28 05:00", "2026-08-29 01:00 - 2026-08-29 05:00"}},
		{"months are counted from the first one that has the day after the start date",
			window(absolute(3, 10), 4, "+00:00", "2026-01-11", "01:00"), "2026-01-01 00:00", "2026-01-01 00:00",
			[]string{"2026-02-10 01:00 - 2026-02-10 05:00", "2026-05-10 01:00 - 2026-05-10 05:00"}},
		{"months go on over a year's end",
			window(absolute(2, 15), 4, "+00:00", "2026-11-01", "01:00"), "2026-01-01 00:00", "2026-11-16 00:00",
			[]string{"2027-01-15 01:00 - 2027-01-15 05:00", "2027-03-15 01:00 - 2027-03-15 05:00"}},
		{"the first Monday can be the first of the month",
			window(relative(1, "First", "Monday"), 4, "+00:00", "2026-06-01", "01:00"), "2026-01-01 00:00", "2026-06-01 00:00",
			[]string{"2026-06-01 01:00 - 2026-06-01 05:00", "2026-07-06 01:00 - 2026-07-06 05:00"}},
		{"the last Friday is the fourth or the fifth one",
			window(relative(1, "Last", "Friday"), 4, "+00:00", "2026-01-01", "01:00"), "2026-01-01 00:00", "2026-01-01 02:00",
			[]string{"2026-01-30 01:00 - 2026-01-30 05:00", "2026-02-27 01:00 - 2026-02-27 05:00"}},
		{"the last Tuesday of February in a leap year is the 29th",
			window(relative(6, "Last", "Tuesday"), 4, "+00:00", "2028-02-01", "01:00"), "2026-01-01 00:00", "2028-02-01 00:00",
			[]string{"2028-02-29 01:00 - 2028-02-29 05:00", "2028-08-29 01:00 - 2028-08-29 05:00"}},
		{"AKS's own example: at +02:00, 23 December to 3 January is 22 December 22:00 to 3 January 22:00 UTC, the end included",
			window(daily(1), 4, "+02:00", "", "00:00", days("2022-12-23", "2023-01-03")), "2022-12-01 00:00", "2022-12-21 21:00",
			[]string{"2022-12-21 22:00 - 2022-12-22 02:00", "2023-01-03 22:00 - 2023-01-04 02:00"}},
		{"a window that runs into a span ends where the span starts",
			window(daily(1), 8, "+00:00", "", "22:00", days("2026-07-14", "2026-07-14")), "2026-01-01 00:00", "2026-07-13 00:00",
			[]string{"2026-07-12 22:00 - 2026-07-13 06:00", "2026-07-13 22:00 - 2026-07-14 00:00", "2026-07-15 22:00 - 2026-07-16 06:00"}},
		{"one that starts in a span is left out, even if most of it comes after the span",
			window(daily(1), 24, "+00:00", "", "23:00", days("2026-07-14", "2026-07-14")), "2026-01-01 00:00", "2026-07-14 12:00",
			[]string{"2026-07-15 23:00 - 2026-07-16 23:00"}},
		{"spans may overlap and touch, in any order",
			window(daily(1), 4, "+00:00", "", "01:00", days("2026-07-16", "2026-07-18"), days("2026-07-14", "2026-07-14"), days("2026-07-15", "2026-07-17")),
			"2026-01-01 00:00", "2026-07-14 00:00", []string{"2026-07-19 01:00 - 2026-07-19 05:00"}},
		{"what is blocked for ever has no window",
			window(daily(1), 4, "+00:00", "", "01:00", days("2026-01-01", "9999-12-31")), "2026-01-01 00:00", "2026-07-14 00:00", nil},
		{"a window that starts less than 15 minutes after it was saved does not count",
			window(daily(1), 4, "+00:00", "", "10:00"), "2026-07-14 09:46", "2026-07-14 10:30",
			[]string{"2026-07-15 10:00 - 2026-07-15 14:00"}},
		{"15 minutes are enough",
			window(daily(1), 4, "+00:00", "", "10:00"), "2026-07-14 09:45", "2026-07-14 10:30",
			[]string{"2026-07-14 10:00 - 2026-07-14 14:00"}},
	} {
		t.Run(c.why, func(t *testing.T) {
			made := calendar(t, c.spec, instant(t, c.saved))
			if got := seen(made, instant(t, c.from), max(1, len(c.want))); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// seen lists the windows from a moment on.
func seen(c *Calendar, from time.Time, count int) []string {
	const layout = "2006-01-02 15:04"
	var list []string
	for range count {
		found, ok := c.Find(from)
		if !ok {
			break
		}
		list = append(list, found.Start.UTC().Format(layout)+" - "+found.End.UTC().Format(layout))
		from = found.End
	}
	return list
}

// The older form, for the configuration default.
func TestTimeInWeek(t *testing.T) {
	allHours := make([]int32, 24)
	for i := range allHours {
		allHours[i] = int32(i)
	}
	var wholeWeek []v1beta1.TimeInWeek
	for _, name := range weekdays {
		wholeWeek = append(wholeWeek, v1beta1.TimeInWeek{Day: name, HourSlots: allHours})
	}
	for _, c := range []struct {
		why     string
		week    []v1beta1.TimeInWeek
		blocked []string
		from    string
		want    []string
	}{
		{"hour 1 is from 01:00 to 02:00, and hours next to each other are one window",
			[]v1beta1.TimeInWeek{{Day: "Tuesday", HourSlots: []int32{2, 1}}}, nil, "2026-07-14 00:00",
			[]string{"2026-07-14 01:00 - 2026-07-14 03:00", "2026-07-21 01:00 - 2026-07-21 03:00"}},
		{"two entries of one day count together",
			[]v1beta1.TimeInWeek{{Day: "Tuesday", HourSlots: []int32{1}}, {Day: "Tuesday", HourSlots: []int32{5}}}, nil, "2026-07-14 01:30",
			[]string{"2026-07-14 01:00 - 2026-07-14 02:00", "2026-07-14 05:00 - 2026-07-14 06:00"}},
		{"a window can cross the end of the week, which is Saturday night",
			[]v1beta1.TimeInWeek{{Day: "Saturday", HourSlots: []int32{23}}, {Day: "Sunday", HourSlots: []int32{0}}}, nil, "2026-07-19 00:30",
			[]string{"2026-07-18 23:00 - 2026-07-19 01:00"}},
		{"all hours are a window a week", wholeWeek, nil, "2026-07-14 12:00",
			[]string{"2026-07-12 00:00 - 2026-07-19 00:00", "2026-07-19 00:00 - 2026-07-26 00:00"}},
		{"notAllowedTime is exact to the second and skips what starts in it",
			[]v1beta1.TimeInWeek{{Day: "Tuesday", HourSlots: []int32{1, 2}}}, []string{"2026-07-14 00:30", "2026-07-14 01:30"}, "2026-07-14 00:00",
			[]string{"2026-07-21 01:00 - 2026-07-21 03:00"}},
		{"and cuts what runs into it",
			[]v1beta1.TimeInWeek{{Day: "Tuesday", HourSlots: []int32{1, 2}}}, []string{"2026-07-14 01:30", "2026-07-14 02:00"}, "2026-07-14 00:00",
			[]string{"2026-07-14 01:00 - 2026-07-14 01:30"}},
	} {
		t.Run(c.why, func(t *testing.T) {
			spec := &v1beta1.MaintenanceConfigurationSpec{Name: v1beta1.MaintenanceDefault, TimeInWeek: c.week}
			if c.blocked != nil {
				spec.NotAllowedTime = []v1beta1.TimeSpan{{Start: metav1.NewTime(instant(t, c.blocked[0])), End: metav1.NewTime(instant(t, c.blocked[1]))}}
			}
			made := calendar(t, spec, instant(t, "2026-01-01 00:00"))
			if got := seen(made, instant(t, c.from), len(c.want)); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Whether something may start is asked at single moments: the start counts, the end does not.
func TestOpen(t *testing.T) {
	made := Window{instant(t, "2026-07-14 10:00"), instant(t, "2026-07-14 14:00")}
	for text, want := range map[string]bool{"2026-07-14 09:59": false, "2026-07-14 10:00": true, "2026-07-14 13:59": true, "2026-07-14 14:00": false} {
		if got := made.Open(instant(t, text)); got != want {
			t.Errorf("open at %s: %t", text, got)
		}
	}
}
