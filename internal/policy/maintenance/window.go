package maintenance

import (
	"slices"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

const (
	// notice is how long before its start a window must have been saved (AKS:
	// planned-maintenance).
	notice = 15 * time.Minute
	// horizon is how far ahead windows are looked for.
	horizon = 5 * 366 * 24 * time.Hour
)

// Window is one time in which maintenance may start: from Start on, and before
// End. What has started may go on after End.
type Window struct{ Start, End time.Time }

// Open says whether maintenance may start at a moment.
func (w Window) Open(at time.Time) bool { return !at.Before(w.Start) && at.Before(w.End) }

// Calendar knows the windows of one configuration.
type Calendar struct {
	// next is the first window that starts at or after a moment, blocked or not.
	next func(from time.Time) Window
	// longest is no shorter than any window.
	longest time.Duration
	blocked []Window
	// notBefore is the first moment at which a window may start.
	notBefore time.Time
}

// New reads a configuration that was created and last changed at these moments.
// It returns Validate's complaints about one that is not valid.
func New(spec *v1beta1.MaintenanceConfigurationSpec, created, saved time.Time) (*Calendar, []policy.Violation) {
	if found := Validate(spec); len(found) > 0 {
		return nil, found
	}
	calendar := &Calendar{notBefore: saved.Add(notice)}
	if spec.MaintenanceWindow == nil {
		calendar.readWeek(spec)
	} else {
		calendar.readWindow(spec.MaintenanceWindow, created)
	}
	calendar.blocked = merge(calendar.blocked)
	return calendar, nil
}

// readWindow reads a window that is valid.
func (c *Calendar) readWindow(window *v1beta1.MaintenanceWindow, created time.Time) {
	offset, _ := parseOffset(window.UTCOffset)
	clock, _ := parseClock(window.StartTime)
	anchor := localDay(created, offset)
	if window.StartDate != "" {
		anchor, _ = parseDate(window.StartDate)
	}
	find := ruleOf(window.Schedule)
	c.longest = time.Duration(window.DurationHours) * time.Hour
	c.next = func(from time.Time) Window {
		at := find(anchor, max(anchor, localDay(from, offset)))
		start := at.midnight(offset).Add(clock)
		if start.Before(from) {
			start = find(anchor, at+1).midnight(offset).Add(clock)
		}
		return Window{start, start.Add(c.longest)}
	}
	for _, span := range window.NotAllowedDates {
		first, _ := parseDate(span.Start)
		last, _ := parseDate(span.End)
		c.blocked = append(c.blocked, Window{first.midnight(offset), (last + 1).midnight(offset)})
	}
}

// Find is the first window that ends after now: the one that is open, or the next
// one. A window that would start in a span without maintenance is left out; one
// that runs into such a span ends there. It is false when there is none within
// five years.
func (c *Calendar) Find(now time.Time) (Window, bool) {
	from := policy.Later(c.notBefore, now.Add(-c.longest))
	for from.Before(now.Add(horizon)) {
		window := c.next(from)
		i := c.blockAfter(window.Start)
		if i < len(c.blocked) && !c.blocked[i].Start.After(window.Start) {
			from = c.blocked[i].End
			continue
		}
		if i < len(c.blocked) && c.blocked[i].Start.Before(window.End) {
			window.End = c.blocked[i].Start
		}
		if window.End.After(now) {
			return window, window.Start.Before(now.Add(horizon))
		}
		from = window.Start.Add(time.Second)
	}
	return Window{}, false
}

// blockAfter is the first span that ends after a moment.
func (c *Calendar) blockAfter(at time.Time) int {
	i, _ := slices.BinarySearchFunc(c.blocked, at, func(block Window, at time.Time) int {
		if block.End.After(at) {
			return 1
		}
		return -1
	})
	return i
}

// merge sorts spans and joins those that touch.
func merge(spans []Window) []Window {
	slices.SortFunc(spans, func(a, b Window) int { return a.Start.Compare(b.Start) })
	var merged []Window
	for _, span := range spans {
		if n := len(merged); n > 0 && !span.Start.After(merged[n-1].End) {
			merged[n-1].End = policy.Later(merged[n-1].End, span.End)
			continue
		}
		merged = append(merged, span)
	}
	return merged
}
