package maintenance

import (
	"slices"
	"time"

	"berth.dev/berth/api/v1beta1"
)

// The names of days and weeks, as AKS writes them.
var (
	weekdays    = []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
	weekIndexes = []string{"First", "Second", "Third", "Fourth", "Last"}
)

func weekdayOf(name string) time.Weekday { return time.Weekday(slices.Index(weekdays, name)) }

// rule finds the first day on or after both from and anchor on which a window
// starts. The first such day after the anchor is one; then one follows in every
// interval.
type rule func(anchor, from day) day

// ruleOf is the rule of a schedule that is valid.
func ruleOf(schedule v1beta1.MaintenanceSchedule) rule {
	switch {
	case schedule.Daily != nil:
		return every(day(schedule.Daily.IntervalDays), func(anchor day) day { return anchor })
	case schedule.Weekly != nil:
		name := weekdayOf(schedule.Weekly.DayOfWeek)
		return every(7*day(schedule.Weekly.IntervalWeeks), func(anchor day) day { return anchor.onOrAfter(name) })
	case schedule.AbsoluteMonthly != nil:
		date := schedule.AbsoluteMonthly.DayOfMonth
		return everyMonths(month(schedule.AbsoluteMonthly.IntervalMonths), func(m month) day { return min(m.first()+day(date)-1, m.last()) })
	default:
		relative := schedule.RelativeMonthly
		return everyMonths(month(relative.IntervalMonths), func(m month) day {
			return inMonth(m, weekdayOf(relative.DayOfWeek), slices.Index(weekIndexes, relative.WeekIndex))
		})
	}
}

// every repeats a first day after an interval of days.
func every(interval day, first func(anchor day) day) rule {
	return func(anchor, from day) day {
		start := first(anchor)
		if from <= start {
			return start
		}
		return start + (from-start+interval-1)/interval*interval
	}
}

// everyMonths repeats a day of a month after an interval of months.
func everyMonths(interval month, dayIn func(month) day) rule {
	return func(anchor, from day) day {
		first := anchor.month()
		if dayIn(first) < anchor {
			first++
		}
		at := first
		if wanted := from.month(); wanted > first {
			at += (wanted - first + interval - 1) / interval * interval
		}
		if dayIn(at) < from {
			at += interval
		}
		return dayIn(at)
	}
}

// inMonth is the day of that name in the week of that index; index 4 is the last.
func inMonth(m month, name time.Weekday, index int) day {
	if index == len(weekIndexes)-1 {
		return (m.last() - 6).onOrAfter(name)
	}
	return m.first().onOrAfter(name) + 7*day(index)
}
