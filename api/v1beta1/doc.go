// Package v1beta1 is Berth's only state: the kinds of API group berth.dev that
// the management cluster stores. ARM handlers, the command line and the portal
// write specs, controllers write statuses, and they meet nowhere else.
//
// Field names and JSON tags are ARM's (Microsoft.ContainerService
// managedClusters, api-version 2025-02-01) wherever ARM has the field.
//
// +kubebuilder:object:generate=true
// +groupName=berth.dev
package v1beta1
