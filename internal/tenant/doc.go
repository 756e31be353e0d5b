// Package tenant reaches the API servers of managed clusters from inside the
// management cluster: one client for each cluster id, made from the Secret
// controller-kubeconfig of its control plane, one watch of its Nodes and
// certificate signing requests, and an inventory of objects by their metadata.
package tenant
