// Package resources serves ARM's own resources: tenants, subscriptions and their
// locations, resource groups, the list of what is in them, and providers. Beside
// them stands the list of preview features, which is empty.
package resources
