package maintenance

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"berth.dev/berth/api/v1beta1"
)

// draw is a random configuration.
func draw(r *rand.Rand) *v1beta1.MaintenanceConfigurationSpec {
	schedules := []v1beta1.MaintenanceSchedule{
		daily(1 + r.Int32N(7)), weekly(1+r.Int32N(4), weekdays[r.IntN(7)]),
		absolute(1+r.Int32N(6), 1+r.Int32N(31)), relative(1+r.Int32N(6), weekIndexes[r.IntN(5)], weekdays[r.IntN(7)]),
	}
	minutes := r.IntN(28*4+1)*15 - 14*60 // -14:00 to +14:00
	sign := '+'
	if minutes < 0 {
		sign, minutes = '-', -minutes
	}
	spec := window(schedules[r.IntN(len(schedules))], 4+r.Int32N(21), fmt.Sprintf("%c%02d:%02d", sign, minutes/60, minutes%60),
		text(dayOf(2024, 1, 1)+day(r.IntN(3000))), fmt.Sprintf("%02d:%02d", r.IntN(24), r.IntN(60)))
	start, _ := parseDate(spec.MaintenanceWindow.StartDate)
	for range r.IntN(6) {
		first := start + day(r.IntN(400))
		spec.MaintenanceWindow.NotAllowedDates = append(spec.MaintenanceWindow.NotAllowedDates, days(text(first), text(first+day(r.IntN(20)))))
	}
	return spec
}

func text(d day) string { return d.date().Format(time.DateOnly) }

// Whatever the configuration, every window starts on a day of its schedule at its
// local time, lies in no blocked day, comes after the one before, and none is missing.
func TestEveryWindow(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 7))
		spec := draw(r)
		start, _ := parseDate(spec.MaintenanceWindow.StartDate)
		saved := start.date().Add(time.Duration(r.IntN(2000*24*60)-1000*24*60) * time.Minute)
		made := calendar(t, spec, saved)
		expected := enumerate(spec.MaintenanceWindow, saved)
		now := saved
		for i := 0; i < 40 && i < len(expected); i++ {
			found, ok := made.Find(now)
			if !ok || found != expected[i] {
				t.Fatalf("seed %d: window %d of %+v is %v (%t), want %v", seed, i, *spec.MaintenanceWindow, found, ok, expected[i])
			}
			inside := found.Start.Add(found.End.Sub(found.Start) / 2)
			if again, _ := made.Find(inside); again != found || !again.Open(inside) {
				t.Fatalf("seed %d: seen from its middle, %v is %v", seed, found, again)
			}
			now = found.End
		}
	}
}

// enumerate finds windows the slow way: it looks at every day by its calendar date
// and counts the days of the schedule that it meets.
func enumerate(window *v1beta1.MaintenanceWindow, saved time.Time) []Window {
	var hours, minutes int
	fmt.Sscanf(window.UTCOffset[1:], "%d:%d", &hours, &minutes)
	seconds := hours*3600 + minutes*60
	if window.UTCOffset[0] == '-' {
		seconds = -seconds
	}
	zone := time.FixedZone("local", seconds)
	at, _ := time.ParseInLocation("2006-01-02 15:04", window.StartDate+" "+window.StartTime, zone)
	var found []Window
	interval, periods, last := intervalOf(window.Schedule), 0, -1
	for range 3000 {
		if matches(window.Schedule, at) {
			if period := periodOf(window.Schedule, at); period != last {
				periods, last = periods+1, period
			}
			one := Window{at.UTC(), at.Add(time.Duration(window.DurationHours) * time.Hour).UTC()}
			if (periods-1)%interval == 0 && !one.Start.Before(saved.Add(15*time.Minute)) && cut(&one, window.NotAllowedDates, zone) {
				found = append(found, one)
			}
		}
		at = at.AddDate(0, 0, 1)
	}
	return found
}

func matches(schedule v1beta1.MaintenanceSchedule, at time.Time) bool {
	lastDate := at.AddDate(0, 0, 1-at.Day()).AddDate(0, 1, -1).Day()
	switch {
	case schedule.Weekly != nil:
		return at.Weekday().String() == schedule.Weekly.DayOfWeek
	case schedule.AbsoluteMonthly != nil:
		return at.Day() == min(int(schedule.AbsoluteMonthly.DayOfMonth), lastDate)
	case schedule.RelativeMonthly != nil:
		named := at.Weekday().String() == schedule.RelativeMonthly.DayOfWeek
		if schedule.RelativeMonthly.WeekIndex == "Last" {
			return named && at.Day()+7 > lastDate
		}
		return named && weekIndexes[min(4, (at.Day()-1)/7)] == schedule.RelativeMonthly.WeekIndex
	default:
		return true
	}
}

func intervalOf(schedule v1beta1.MaintenanceSchedule) int {
	switch {
	case schedule.Daily != nil:
		return int(schedule.Daily.IntervalDays)
	case schedule.Weekly != nil:
		return int(schedule.Weekly.IntervalWeeks)
	case schedule.AbsoluteMonthly != nil:
		return int(schedule.AbsoluteMonthly.IntervalMonths)
	default:
		return int(schedule.RelativeMonthly.IntervalMonths)
	}
}

// periodOf numbers the days, or months, of which the interval skips some.
func periodOf(schedule v1beta1.MaintenanceSchedule, at time.Time) int {
	if schedule.AbsoluteMonthly != nil || schedule.RelativeMonthly != nil {
		return at.Year()*12 + int(at.Month())
	}
	return at.Year()*1000 + at.YearDay()
}

// cut takes blocked days away from a window, one after the other; it is false for
// a window that starts in one.
func cut(window *Window, spans []v1beta1.DateSpan, zone *time.Location) bool {
	for _, span := range spans {
		from, _ := time.ParseInLocation(time.DateOnly, span.Start, zone)
		to, _ := time.ParseInLocation(time.DateOnly, span.End, zone)
		for blocked := from; !blocked.After(to); blocked = blocked.AddDate(0, 0, 1) {
			next := blocked.AddDate(0, 0, 1)
			if !window.Start.Before(blocked) && window.Start.Before(next) {
				return false
			}
			if blocked.After(window.Start) && blocked.Before(window.End) {
				window.End = blocked.UTC()
			}
		}
	}
	return true
}
