package maintenance

import (
	"time"

	"berth.dev/berth/api/v1beta1"
)

const hoursPerWeek = 7 * 24

// firstSunday is a Sunday's midnight, from which hours of weeks are counted.
var firstSunday = day(0).onOrAfter(time.Sunday).date()

// readWeek reads the older form: hours of a week in UTC, and spans without
// maintenance. Hours next to each other are one window, also over midnight and
// over the end of the week.
func (c *Calendar) readWeek(spec *v1beta1.MaintenanceConfigurationSpec) {
	var allowed [hoursPerWeek]bool
	for _, entry := range spec.TimeInWeek {
		for _, hour := range entry.HourSlots {
			allowed[int(weekdayOf(entry.Day))*24+int(hour)] = true
		}
	}
	c.longest = hoursPerWeek * time.Hour
	c.next = func(from time.Time) Window {
		hour := int((from.Sub(firstSunday) + time.Hour - 1) / time.Hour)
		for !starts(&allowed, hour) {
			hour++
		}
		length := 1
		for length < hoursPerWeek && allowed[(hour+length)%hoursPerWeek] {
			length++
		}
		start := firstSunday.Add(time.Duration(hour) * time.Hour)
		return Window{start, start.Add(time.Duration(length) * time.Hour)}
	}
	for _, span := range spec.NotAllowedTime {
		c.blocked = append(c.blocked, Window{span.Start.Time, span.End.Time})
	}
}

// starts says whether a window starts with an hour. A week of nothing but allowed
// hours starts with its Sunday.
func starts(allowed *[hoursPerWeek]bool, hour int) bool {
	at := hour % hoursPerWeek
	if !allowed[at] {
		return false
	}
	if at != 0 {
		return !allowed[at-1]
	}
	for _, one := range allowed {
		if !one {
			return !allowed[hoursPerWeek-1]
		}
	}
	return true
}
