// Package insights serves the resource provider Microsoft.Insights: the activity log,
// which says who did what with a subscription's resources.
package insights
