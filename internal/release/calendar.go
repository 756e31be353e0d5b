package release

import (
	"fmt"
	"time"
)

// Life is the calendar of a minor version. Every date is a day, YYYY-MM-DD, whose
// last moment in UTC counts; an empty one is not known.
type Life struct {
	// Released is when the minor became generally available: before that it is a
	// preview.
	Released string `json:"released,omitempty"`
	// EndOfSupport is that of the community, EndOfLTS that of the plan
	// AKSLongTermSupport.
	EndOfSupport string `json:"endOfSupport,omitempty"`
	EndOfLTS     string `json:"endOfLts,omitempty"`
}

// calendar is AKS's (supported-kubernetes-versions, long-term-support). Where it
// names a month alone, the month's last day counts.
var calendar = map[string]Life{
	"1.34": {Released: "2025-11-30", EndOfSupport: "2026-11-30", EndOfLTS: "2027-11-30"},
	"1.35": {Released: "2026-03-31", EndOfSupport: "2027-03-31", EndOfLTS: "2028-03-31"},
	"1.36": {Released: "2026-06-30", EndOfSupport: "2027-06-30", EndOfLTS: "2028-06-30"},
	"1.37": {Released: "2026-10-31", EndOfSupport: "2027-10-31", EndOfLTS: "2028-10-31"},
}

// LifeOf returns the calendar of a minor such as 1.36, or no dates.
func LifeOf(minor string) Life { return calendar[minor] }

// check refuses what is no date, and dates out of order.
func (l Life) check() error {
	last := time.Time{}
	for _, date := range []string{l.Released, l.EndOfSupport, l.EndOfLTS} {
		if date == "" {
			continue
		}
		day, err := time.Parse(time.DateOnly, date)
		if err != nil {
			return fmt.Errorf("date %q: want YYYY-MM-DD", date)
		}
		if day.Before(last) {
			return fmt.Errorf("date %s stands after a later one", date)
		}
		last = day
	}
	return nil
}

// over says whether a day has passed. What is no date has not.
func over(date string, now time.Time) bool { return overSince(date, 0, now) }

// overSince says whether that many days have passed since the end of a day.
func overSince(date string, days int, now time.Time) bool {
	day, err := time.Parse(time.DateOnly, date)
	return err == nil && !now.Before(day.AddDate(0, 0, 1+days))
}
