// Package test runs all controllers together against a real API server: creating,
// scaling, stopping, starting and deleting clusters (ring 2), and the same with the process killed at
// every side effect (ring 3). Machines come from package memory; the tests play
// the kubelets, and the management cluster stands in for the tenants' API servers.
package test
