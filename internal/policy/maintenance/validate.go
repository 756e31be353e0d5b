package maintenance

import (
	"fmt"
	"slices"
	"strings"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// AKS's bounds of windows (planned-maintenance).
const (
	minHours     = 4
	maxHours     = 24
	defaultHours = 24
)

// Names are the names that configurations have.
var Names = []string{v1beta1.MaintenanceDefault, v1beta1.MaintenanceAutoUpgrade, v1beta1.MaintenanceNodeOS}

// Default fills what was left out of a configuration; filling twice is the same
// as once.
func Default(spec *v1beta1.MaintenanceConfigurationSpec) {
	if window := spec.MaintenanceWindow; window != nil {
		if window.DurationHours == 0 {
			window.DurationHours = defaultHours
		}
		if window.UTCOffset == "" {
			window.UTCOffset = "+00:00"
		}
	}
}

// complaints collects the reasons to refuse one configuration.
type complaints []policy.Violation

func (c *complaints) add(target, format string, args ...any) {
	*c = append(*c, policy.Violation{Code: policy.CodeInvalidParameter, Target: target,
		Message: fmt.Sprintf("The value of parameter %s is invalid: %s", target, fmt.Sprintf(format, args...))})
}

func (c *complaints) check(target string, err error) {
	if err != nil {
		c.add(target, "%s.", err)
	}
}

// Validate returns every reason to refuse a configuration, none when it is good.
func Validate(spec *v1beta1.MaintenanceConfigurationSpec) []policy.Violation {
	var out complaints
	older := len(spec.TimeInWeek)+len(spec.NotAllowedTime) > 0
	switch {
	case !slices.Contains(Names, spec.Name):
		out.add("name", "a maintenance configuration is named %s, not %q.", strings.Join(Names, ", "), spec.Name)
	case older && spec.Name != v1beta1.MaintenanceDefault:
		out.add("timeInWeek", "only the configuration default has timeInWeek and notAllowedTime; give %s a maintenanceWindow.", spec.Name)
	case older && spec.MaintenanceWindow != nil:
		out.add("maintenanceWindow", "give either a maintenanceWindow or timeInWeek with notAllowedTime, not both.")
	case older:
		validateWeek(&out, spec)
	case spec.MaintenanceWindow == nil:
		out.add("maintenanceWindow", "it is missing.")
	default:
		validateWindow(&out, spec.MaintenanceWindow)
		if schedule := spec.MaintenanceWindow.Schedule; spec.Name == v1beta1.MaintenanceDefault && schedule.Weekly == nil {
			out.add("maintenanceWindow.schedule", "the configuration default takes a weekly schedule only.")
		}
	}
	return out
}

func validateWindow(out *complaints, window *v1beta1.MaintenanceWindow) {
	validateSchedule(out, window.Schedule)
	between(out, "maintenanceWindow.durationHours", window.DurationHours, minHours, maxHours)
	_, err := parseOffset(window.UTCOffset)
	out.check("maintenanceWindow.utcOffset", err)
	_, err = parseClock(window.StartTime)
	out.check("maintenanceWindow.startTime", err)
	if window.StartDate != "" {
		_, err = parseDate(window.StartDate)
		out.check("maintenanceWindow.startDate", err)
	}
	for i, span := range window.NotAllowedDates {
		target := fmt.Sprintf("maintenanceWindow.notAllowedDates[%d]", i)
		first, err := parseDate(span.Start)
		out.check(target+".start", err)
		last, endErr := parseDate(span.End)
		out.check(target+".end", endErr)
		if err == nil && endErr == nil && last < first {
			out.add(target, "it ends on %s, before it starts on %s.", span.End, span.Start)
		}
	}
}

func validateSchedule(out *complaints, schedule v1beta1.MaintenanceSchedule) {
	const target = "maintenanceWindow.schedule"
	given := 0
	if daily := schedule.Daily; daily != nil {
		given++
		between(out, target+".daily.intervalDays", daily.IntervalDays, 1, 7)
	}
	if weekly := schedule.Weekly; weekly != nil {
		given++
		between(out, target+".weekly.intervalWeeks", weekly.IntervalWeeks, 1, 4)
		oneOf(out, target+".weekly.dayOfWeek", weekly.DayOfWeek, weekdays)
	}
	if absolute := schedule.AbsoluteMonthly; absolute != nil {
		given++
		between(out, target+".absoluteMonthly.intervalMonths", absolute.IntervalMonths, 1, 6)
		between(out, target+".absoluteMonthly.dayOfMonth", absolute.DayOfMonth, 1, 31)
	}
	if relative := schedule.RelativeMonthly; relative != nil {
		given++
		between(out, target+".relativeMonthly.intervalMonths", relative.IntervalMonths, 1, 6)
		oneOf(out, target+".relativeMonthly.weekIndex", relative.WeekIndex, weekIndexes)
		oneOf(out, target+".relativeMonthly.dayOfWeek", relative.DayOfWeek, weekdays)
	}
	if given != 1 {
		out.add(target, "it must be exactly one of daily, weekly, absoluteMonthly and relativeMonthly, not %d of them.", given)
	}
}

func validateWeek(out *complaints, spec *v1beta1.MaintenanceConfigurationSpec) {
	hours := 0
	for i, entry := range spec.TimeInWeek {
		target := fmt.Sprintf("timeInWeek[%d]", i)
		oneOf(out, target+".day", entry.Day, weekdays)
		for _, hour := range entry.HourSlots {
			between(out, target+".hourSlots", hour, 0, 23)
		}
		hours += len(entry.HourSlots)
	}
	if hours == 0 {
		out.add("timeInWeek", "it must have at least one day with at least one hour.")
	}
	for i, span := range spec.NotAllowedTime {
		if !span.End.After(span.Start.Time) {
			out.add(fmt.Sprintf("notAllowedTime[%d]", i), "it must end after it starts.")
		}
	}
}

func between(out *complaints, target string, value, least, most int32) {
	if value < least || value > most {
		out.add(target, "it must be %d to %d, not %d.", least, most, value)
	}
}

func oneOf(out *complaints, target, value string, allowed []string) {
	if !slices.Contains(allowed, value) {
		out.add(target, "it must be one of %s, not %q.", strings.Join(allowed, ", "), value)
	}
}
