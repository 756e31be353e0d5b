package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// maintenanceOptions are the flags that describe a maintenance configuration.
type maintenanceOptions struct {
	schedule                                               string
	days, weeks, months, date, hours                       int32
	dayOfWeek, weekIndex, utcOffset, startDate, startClock string
	weekday                                                string
	startHour                                              int32
	file                                                   string
}

func (o *maintenanceOptions) register(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&o.schedule, "schedule-type", "", "Daily, Weekly, AbsoluteMonthly or RelativeMonthly")
	flags.Int32Var(&o.days, "interval-days", 0, "every so many days, 1 to 7, with Daily")
	flags.Int32Var(&o.weeks, "interval-weeks", 0, "every so many weeks, 1 to 4, with Weekly")
	flags.Int32Var(&o.months, "interval-months", 0, "every so many months, 1 to 6, with AbsoluteMonthly and RelativeMonthly")
	flags.Int32Var(&o.date, "day-of-month", 0, "1 to 31, with AbsoluteMonthly")
	flags.StringVar(&o.dayOfWeek, "day-of-week", "", "a day such as Monday, with Weekly and RelativeMonthly")
	flags.StringVar(&o.weekIndex, "week-index", "", "First, Second, Third, Fourth or Last, with RelativeMonthly")
	flags.Int32Var(&o.hours, "duration", 0, "hours, 4 to 24")
	flags.StringVar(&o.utcOffset, "utc-offset", "", "+HH:mm or -HH:mm; holds for all dates and times, and has no daylight saving")
	flags.StringVar(&o.startDate, "start-date", "", "first day, YYYY-MM-DD; from which intervals are counted")
	flags.StringVar(&o.startClock, "start-time", "", "HH:mm")
	flags.StringVar(&o.weekday, "weekday", "", "a day such as Monday, for the name default with --start-hour")
	flags.Int32Var(&o.startHour, "start-hour", 0, "the hour of that day, 0 to 23 UTC")
	flags.StringVar(&o.file, "config-file", "", "file with the configuration in JSON, instead of all of these; it can have notAllowedDates")
	offer(command, "schedule-type", "Daily", "Weekly", "AbsoluteMonthly", "RelativeMonthly")
	offer(command, "week-index", "First", "Second", "Third", "Fourth", "Last")
	weekdays := []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
	offer(command, "day-of-week", weekdays...)
	offer(command, "weekday", weekdays...)
	command.MarkFlagsOneRequired("schedule-type", "weekday", "config-file")
	command.MarkFlagsMutuallyExclusive("schedule-type", "weekday", "config-file")
	command.MarkFlagsRequiredTogether("weekday", "start-hour")
}

// scheduleFlags are the flags that each kind of schedule needs; another kind's is
// a mistake.
var scheduleFlags = map[string][]string{
	"daily":           {"interval-days"},
	"weekly":          {"interval-weeks", "day-of-week"},
	"absolutemonthly": {"interval-months", "day-of-month"},
	"relativemonthly": {"interval-months", "day-of-week", "week-index"},
}

func (o *maintenanceOptions) properties(flags *pflag.FlagSet) (*armcontainerservice.MaintenanceConfigurationProperties, error) {
	switch {
	case o.file != "":
		return readMaintenance(o.file)
	case o.weekday != "":
		day := armcontainerservice.WeekDay(o.weekday)
		return &armcontainerservice.MaintenanceConfigurationProperties{
			TimeInWeek: []*armcontainerservice.TimeInWeek{{Day: &day, HourSlots: []*int32{&o.startHour}}},
		}, nil
	}
	schedule, err := o.scheduleOf(flags)
	if err != nil {
		return nil, err
	}
	window := &armcontainerservice.MaintenanceWindow{
		Schedule: schedule, DurationHours: &o.hours, StartTime: &o.startClock, UTCOffset: optional(o.utcOffset),
	}
	for _, needed := range []string{"duration", "start-time"} {
		if !flags.Changed(needed) {
			return nil, usageError{fmt.Errorf("--schedule-type needs --%s", needed)}
		}
	}
	if o.startDate != "" {
		date, err := time.Parse(time.DateOnly, o.startDate)
		if err != nil {
			return nil, usageError{fmt.Errorf("--start-date: %q is not a date such as 2026-12-24", o.startDate)}
		}
		window.StartDate = &date
	}
	return &armcontainerservice.MaintenanceConfigurationProperties{MaintenanceWindow: window}, nil
}

func (o *maintenanceOptions) scheduleOf(flags *pflag.FlagSet) (*armcontainerservice.Schedule, error) {
	kind := strings.ToLower(o.schedule)
	needed, known := scheduleFlags[kind]
	if !known {
		return nil, usageError{fmt.Errorf("--schedule-type is %q, want Daily, Weekly, AbsoluteMonthly or RelativeMonthly", o.schedule)}
	}
	for _, flag := range []string{"interval-days", "interval-weeks", "interval-months", "day-of-month", "day-of-week", "week-index"} {
		if wanted := slices.Contains(needed, flag); wanted && !flags.Changed(flag) {
			return nil, usageError{fmt.Errorf("--schedule-type %s needs --%s", o.schedule, strings.Join(needed, ", --"))}
		} else if !wanted && flags.Changed(flag) {
			return nil, usageError{fmt.Errorf("--schedule-type %s has no --%s", o.schedule, flag)}
		}
	}
	day, index := armcontainerservice.WeekDay(o.dayOfWeek), armcontainerservice.Type(o.weekIndex)
	switch kind {
	case "daily":
		return &armcontainerservice.Schedule{Daily: &armcontainerservice.DailySchedule{IntervalDays: &o.days}}, nil
	case "weekly":
		return &armcontainerservice.Schedule{Weekly: &armcontainerservice.WeeklySchedule{IntervalWeeks: &o.weeks, DayOfWeek: &day}}, nil
	case "absolutemonthly":
		return &armcontainerservice.Schedule{AbsoluteMonthly: &armcontainerservice.AbsoluteMonthlySchedule{IntervalMonths: &o.months, DayOfMonth: &o.date}}, nil
	default:
		return &armcontainerservice.Schedule{RelativeMonthly: &armcontainerservice.RelativeMonthlySchedule{IntervalMonths: &o.months, DayOfWeek: &day, WeekIndex: &index}}, nil
	}
}

// readMaintenance reads a file for az: ARM's body, or what is under properties in
// it. az writes hour_slots where ARM has hourSlots.
func readMaintenance(file string) (*armcontainerservice.MaintenanceConfigurationProperties, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, usageError{fmt.Errorf("--config-file: %w", err)}
	}
	var body map[string]json.RawMessage
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil, usageError{fmt.Errorf("--config-file: %s is not a JSON object: %w", file, err)}
	}
	if inner, wrapped := body["properties"]; wrapped {
		raw = inner
	}
	raw = bytes.ReplaceAll(raw, []byte(`"hour_slots"`), []byte(`"hourSlots"`))
	properties := new(armcontainerservice.MaintenanceConfigurationProperties)
	if err := json.Unmarshal(raw, properties); err != nil {
		return nil, usageError{fmt.Errorf("--config-file: %s is not a maintenance configuration: %w", file, err)}
	}
	if properties.MaintenanceWindow == nil && properties.TimeInWeek == nil {
		return nil, usageError{errors.New("--config-file: there is neither maintenanceWindow nor timeInWeek in " + file)}
	}
	return properties, nil
}
