package maintenance

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

const secondsPerDay = 24 * 60 * 60

// day counts the days since 1970-01-01, without a time zone.
type day int64

func dayOf(year int, month time.Month, date int) day {
	return day(time.Date(year, month, date, 0, 0, 0, 0, time.UTC).Unix() / secondsPerDay)
}

// localDay is the day that an instant falls on at an offset from UTC.
func localDay(at time.Time, offset time.Duration) day {
	local := at.Unix() + int64(offset/time.Second)
	count := local / secondsPerDay
	if local%secondsPerDay < 0 {
		count--
	}
	return day(count)
}

// date is the day's midnight in UTC, whose year, month and date are the day's.
func (d day) date() time.Time { return time.Unix(int64(d)*secondsPerDay, 0).UTC() }

// midnight is when the day begins at an offset from UTC.
func (d day) midnight(offset time.Duration) time.Time { return d.date().Add(-offset) }

func (d day) weekday() time.Weekday { return d.date().Weekday() }

// onOrAfter is the first day of that name which is not before d.
func (d day) onOrAfter(name time.Weekday) day {
	return d + day((int(name)-int(d.weekday())+7)%7)
}

// month counts the months since year 0.
type month int

func (d day) month() month {
	year, name, _ := d.date().Date()
	return month(year*12 + int(name) - 1)
}

func (m month) first() day { return dayOf(int(m)/12, time.Month(int(m)%12+1), 1) }
func (m month) last() day  { return (m + 1).first() - 1 }

var (
	datePattern   = regexp.MustCompile(`^\d{4}-\d\d-\d\d$`)
	clockPattern  = regexp.MustCompile(`^([01]\d|2[0-3]):([0-5]\d)$`)
	offsetPattern = regexp.MustCompile(`^([+-])(\d\d):([0-5]\d)$`)
)

// parseDate reads YYYY-MM-DD.
func parseDate(text string) (day, error) {
	at, err := time.Parse(time.DateOnly, text)
	if err != nil || !datePattern.MatchString(text) {
		return 0, fmt.Errorf("%q is not a date such as 2026-12-24", text)
	}
	return day(at.Unix() / secondsPerDay), nil
}

// parseClock reads HH:mm.
func parseClock(text string) (time.Duration, error) {
	parts := clockPattern.FindStringSubmatch(text)
	if parts == nil {
		return 0, fmt.Errorf("%q is not a time from 00:00 to 23:59", text)
	}
	return clock(parts[1], parts[2]), nil
}

// parseOffset reads +HH:mm or -HH:mm; empty is UTC. No place on Earth is further
// from UTC than 14 hours.
func parseOffset(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	parts := offsetPattern.FindStringSubmatch(text)
	if parts == nil {
		return 0, fmt.Errorf("%q is not an offset such as +05:30 or -08:00", text)
	}
	offset := clock(parts[2], parts[3])
	if offset > 14*time.Hour {
		return 0, fmt.Errorf("%q is more than 14 hours away from UTC", text)
	}
	if parts[1] == "-" {
		offset = -offset
	}
	return offset, nil
}

func clock(hours, minutes string) time.Duration {
	h, _ := strconv.Atoi(hours)
	m, _ := strconv.Atoi(minutes)
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
}
