// Package pod provides machines as privileged pods of the management cluster:
// each is one Pod that runs the node image, and one Secret with its files, both
// named after the node, in the cluster's machine namespace.
package pod
