package containerservice

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/policy/maintenance"
)

// maintenanceBody is a maintenance configuration on the wire.
type maintenanceBody struct {
	ID         string                `json:"id" arm:"read"`
	Name       string                `json:"name" arm:"read"`
	Type       string                `json:"type" arm:"read"`
	SystemData *systemData           `json:"systemData,omitempty" arm:"read"`
	Properties maintenanceProperties `json:"properties"`
}

type maintenanceProperties struct {
	MaintenanceWindow *windowBody `json:"maintenanceWindow,omitempty"`
	TimeInWeek        []weekBody  `json:"timeInWeek,omitempty"`
	NotAllowedTime    []timeBody  `json:"notAllowedTime,omitempty"`

	// Berth's own, which AKS lacks and its clients ignore (X7).
	NextWindow  *timeBody        `json:"berthNextWindow,omitempty" arm:"read"`
	AutoUpgrade *autoUpgradeBody `json:"berthAutoUpgrade,omitempty" arm:"read"`
}

// autoUpgradeBody tells what a schedule does next and did last.
type autoUpgradeBody struct {
	Schedule   string       `json:"schedule"`
	NextRun    *metav1.Time `json:"nextRun,omitempty"`
	Target     string       `json:"target,omitempty"`
	LastRun    *metav1.Time `json:"lastRun,omitempty"`
	LastTarget string       `json:"lastTarget,omitempty"`
	LastResult string       `json:"lastResult,omitempty"`
	Skipped    string       `json:"skipped,omitempty"`
}

type windowBody struct {
	Schedule        scheduleBody `json:"schedule"`
	DurationHours   int32        `json:"durationHours"`
	UTCOffset       string       `json:"utcOffset,omitempty"`
	StartDate       string       `json:"startDate,omitempty"`
	StartTime       string       `json:"startTime"`
	NotAllowedDates []dateBody   `json:"notAllowedDates,omitempty"`
}

type scheduleBody struct {
	Daily           *dailyBody    `json:"daily,omitempty"`
	Weekly          *weeklyBody   `json:"weekly,omitempty"`
	AbsoluteMonthly *absoluteBody `json:"absoluteMonthly,omitempty"`
	RelativeMonthly *relativeBody `json:"relativeMonthly,omitempty"`
}

type dailyBody struct {
	IntervalDays int32 `json:"intervalDays"`
}

type weeklyBody struct {
	IntervalWeeks int32  `json:"intervalWeeks"`
	DayOfWeek     string `json:"dayOfWeek" arm:"enum=Sunday|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday"`
}

type absoluteBody struct {
	IntervalMonths int32 `json:"intervalMonths"`
	DayOfMonth     int32 `json:"dayOfMonth"`
}

type relativeBody struct {
	IntervalMonths int32  `json:"intervalMonths"`
	WeekIndex      string `json:"weekIndex" arm:"enum=First|Second|Third|Fourth|Last"`
	DayOfWeek      string `json:"dayOfWeek" arm:"enum=Sunday|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday"`
}

type dateBody struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

type weekBody struct {
	Day       string  `json:"day" arm:"enum=Sunday|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday"`
	HourSlots []int32 `json:"hourSlots"`
}

type timeBody struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

// maintenanceSpec is the configuration that a body asks for, with its defaults. A
// PUT replaces the whole: what the body leaves out is gone.
func maintenanceSpec(cluster *v1beta1.ManagedClusterSpec, name string, body *maintenanceProperties) (*v1beta1.MaintenanceConfigurationSpec, error) {
	spec := &v1beta1.MaintenanceConfigurationSpec{ResourceGroup: cluster.ResourceGroup, ClusterName: cluster.Name, Name: maintenanceName(name)}
	if window := body.MaintenanceWindow; window != nil {
		spec.MaintenanceWindow = &v1beta1.MaintenanceWindow{
			Schedule: scheduleSpec(&window.Schedule), DurationHours: window.DurationHours,
			UTCOffset: window.UTCOffset, StartDate: window.StartDate, StartTime: window.StartTime,
		}
		for _, span := range window.NotAllowedDates {
			spec.MaintenanceWindow.NotAllowedDates = append(spec.MaintenanceWindow.NotAllowedDates, v1beta1.DateSpan(span))
		}
	}
	for _, entry := range body.TimeInWeek {
		spec.TimeInWeek = append(spec.TimeInWeek, v1beta1.TimeInWeek(entry))
	}
	for i, span := range body.NotAllowedTime {
		var made v1beta1.TimeSpan
		for _, part := range []struct {
			name, text string
			into       *metav1.Time
		}{{"start", span.Start, &made.Start}, {"end", span.End, &made.End}} {
			at, err := time.Parse(time.RFC3339, part.text)
			if err != nil {
				target := fmt.Sprintf("notAllowedTime[%d].%s", i, part.name)
				return nil, arm.InvalidParameter(target, "The value of parameter %s is invalid: it must be a time such as 2026-12-24T13:00:00Z.", target)
			}
			*part.into = metav1.NewTime(at.UTC().Truncate(time.Second))
		}
		spec.NotAllowedTime = append(spec.NotAllowedTime, made)
	}
	maintenance.Default(spec)
	return spec, nil
}

func scheduleSpec(body *scheduleBody) v1beta1.MaintenanceSchedule {
	return v1beta1.MaintenanceSchedule{
		Daily: (*v1beta1.DailySchedule)(body.Daily), Weekly: (*v1beta1.WeeklySchedule)(body.Weekly),
		AbsoluteMonthly: (*v1beta1.AbsoluteMonthlySchedule)(body.AbsoluteMonthly), RelativeMonthly: (*v1beta1.RelativeMonthlySchedule)(body.RelativeMonthly),
	}
}

func renderMaintenance(r *arm.Request, v *view, config *v1beta1.MaintenanceConfiguration, now time.Time) *maintenanceBody {
	spec := &config.Spec
	body := &maintenanceBody{
		ID:   clusterID(r, &v.cluster.Spec) + "/maintenanceConfigurations/" + spec.Name,
		Name: spec.Name, Type: maintenanceType,
		SystemData: &systemData{CreatedAt: config.CreationTimestamp.UTC().Format(time.RFC3339)},
	}
	if window := spec.MaintenanceWindow; window != nil {
		body.Properties.MaintenanceWindow = renderWindow(window)
	}
	for _, entry := range spec.TimeInWeek {
		body.Properties.TimeInWeek = append(body.Properties.TimeInWeek, weekBody(entry))
	}
	for _, span := range spec.NotAllowedTime {
		body.Properties.NotAllowedTime = append(body.Properties.NotAllowedTime, timeBody{
			Start: span.Start.UTC().Format(time.RFC3339), End: span.End.UTC().Format(time.RFC3339),
		})
	}
	if calendar, found := maintenance.New(spec, config.CreationTimestamp.Time, operation.Saved(config)); len(found) == 0 {
		if next, ok := calendar.Find(now); ok {
			body.Properties.NextWindow = &timeBody{Start: next.Start.UTC().Format(time.RFC3339), End: next.End.UTC().Format(time.RFC3339)}
		}
	}
	for _, one := range renderAutoUpgrades(v) {
		if one.Schedule == spec.Name {
			body.Properties.AutoUpgrade = &one
		}
	}
	return body
}

func renderAutoUpgrades(v *view) []autoUpgradeBody {
	var bodies []autoUpgradeBody
	for _, one := range v.cluster.Status.AutoUpgrades {
		bodies = append(bodies, autoUpgradeBody(one))
	}
	return bodies
}

func renderWindow(window *v1beta1.MaintenanceWindow) *windowBody {
	schedule := window.Schedule
	body := &windowBody{
		Schedule: scheduleBody{
			Daily: (*dailyBody)(schedule.Daily), Weekly: (*weeklyBody)(schedule.Weekly),
			AbsoluteMonthly: (*absoluteBody)(schedule.AbsoluteMonthly), RelativeMonthly: (*relativeBody)(schedule.RelativeMonthly),
		},
		DurationHours: window.DurationHours, UTCOffset: window.UTCOffset, StartDate: window.StartDate, StartTime: window.StartTime,
	}
	for _, span := range window.NotAllowedDates {
		body.NotAllowedDates = append(body.NotAllowedDates, dateBody(span))
	}
	return body
}
