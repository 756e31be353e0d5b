// Package event decides what of the activity log is told to whom, and how long it is
// tried: it makes CloudEvents of entries, reads the filters of event subscriptions and
// has the table of retries (Azure: event-grid, event-schema-aks, delivery-and-retry).
package event
