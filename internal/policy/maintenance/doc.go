// Package maintenance decides when a cluster's maintenance windows open (AKS:
// planned-maintenance). Everything is computed from a configuration, the time at
// which it was saved, and now; nothing here looks at a clock.
//
// A window belongs to a fixed offset from UTC. Daylight saving therefore never
// moves it, and every local day has 24 hours.
package maintenance
