package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// The names that a MaintenanceConfiguration may have (AKS: planned-maintenance).
const (
	// MaintenanceDefault is when the service's own releases may be installed.
	MaintenanceDefault = "default"
	// MaintenanceAutoUpgrade is when upgradeChannel's upgrades may start.
	MaintenanceAutoUpgrade = "aksManagedAutoUpgradeSchedule"
	// MaintenanceNodeOS is when nodeOSUpgradeChannel's upgrades may start.
	MaintenanceNodeOS = "aksManagedNodeOSUpgradeSchedule"
)

// MaintenanceConfiguration says when the service may work on a cluster by itself
// (X7). Its object name is ObjectName(spec.resourceGroup, spec.clusterName,
// spec.name).
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=mcfg
type MaintenanceConfiguration struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec MaintenanceConfigurationSpec `json:"spec"`
}

// MaintenanceConfigurationSpec is what the customer asked for.
type MaintenanceConfigurationSpec struct {
	// ResourceGroup and ClusterName name the cluster, in the customer's casing.
	ResourceGroup string `json:"resourceGroup"`
	ClusterName   string `json:"clusterName"`
	// Name is one of the three Maintenance names.
	Name string `json:"name"`

	MaintenanceWindow *MaintenanceWindow `json:"maintenanceWindow,omitempty"`
	// TimeInWeek and NotAllowedTime are the older form, for the name default alone.
	TimeInWeek     []TimeInWeek `json:"timeInWeek,omitempty"`
	NotAllowedTime []TimeSpan   `json:"notAllowedTime,omitempty"`
}

// MaintenanceWindow opens again and again by its schedule.
type MaintenanceWindow struct {
	Schedule MaintenanceSchedule `json:"schedule"`
	// DurationHours is 4 to 24.
	DurationHours int32 `json:"durationHours"`
	// UTCOffset is +HH:mm or -HH:mm, by default +00:00. It holds for every date and
	// time of the window.
	UTCOffset string `json:"utcOffset,omitempty"`
	// StartDate is the first day, YYYY-MM-DD; empty means the day of its creation.
	StartDate string `json:"startDate,omitempty"`
	// StartTime is HH:mm.
	StartTime string `json:"startTime"`
	// NotAllowedDates are days without maintenance.
	NotAllowedDates []DateSpan `json:"notAllowedDates,omitempty"`
}

// MaintenanceSchedule is exactly one of its fields.
type MaintenanceSchedule struct {
	Daily           *DailySchedule           `json:"daily,omitempty"`
	Weekly          *WeeklySchedule          `json:"weekly,omitempty"`
	AbsoluteMonthly *AbsoluteMonthlySchedule `json:"absoluteMonthly,omitempty"`
	RelativeMonthly *RelativeMonthlySchedule `json:"relativeMonthly,omitempty"`
}

// DailySchedule is every 1 to 7 days.
type DailySchedule struct {
	IntervalDays int32 `json:"intervalDays"`
}

// WeeklySchedule is every 1 to 4 weeks on a day such as Monday.
type WeeklySchedule struct {
	IntervalWeeks int32  `json:"intervalWeeks"`
	DayOfWeek     string `json:"dayOfWeek"`
}

// AbsoluteMonthlySchedule is every 1 to 6 months on a day of 1 to 31; a month
// that lacks the day is skipped to its last day.
type AbsoluteMonthlySchedule struct {
	IntervalMonths int32 `json:"intervalMonths"`
	DayOfMonth     int32 `json:"dayOfMonth"`
}

// RelativeMonthlySchedule is every 1 to 6 months on the First, Second, Third,
// Fourth or Last day of a name such as Monday.
type RelativeMonthlySchedule struct {
	IntervalMonths int32  `json:"intervalMonths"`
	WeekIndex      string `json:"weekIndex"`
	DayOfWeek      string `json:"dayOfWeek"`
}

// DateSpan is from one day to another, YYYY-MM-DD, both included, in local time.
type DateSpan struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

// TimeInWeek is hours of a week's day: 1 is from 01:00 to 02:00 UTC.
type TimeInWeek struct {
	Day       string  `json:"day"`
	HourSlots []int32 `json:"hourSlots"`
}

// TimeSpan is from one moment to another.
type TimeSpan struct {
	Start metav1.Time `json:"start"`
	End   metav1.Time `json:"end"`
}

// MaintenanceConfigurationList is a list of maintenance configurations.
// +kubebuilder:object:root=true
type MaintenanceConfigurationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MaintenanceConfiguration `json:"items"`
}
