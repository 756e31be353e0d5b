// Package authorization serves the resource provider Microsoft.Authorization: the locks
// of subscriptions, resource groups and resources. What locks refuse, package arm refuses.
package authorization
