// Package eventgrid is the resource provider Microsoft.EventGrid: event subscriptions of
// subscriptions, resource groups and managed clusters (docs/decisions/0019-events.md).
package eventgrid
