// Package cluster makes ManagedClusters true: it gives each a control plane of its
// own in the management cluster (A1), the first pools, and takes everything away
// again. It alone writes a ManagedCluster's status, but for the condition
// AddonsApplied, which is package addon's.
//
// A reconcile runs the steps below in order, each in a file of its own, and
// writes the status once at the end. Every step can be repeated: a process that
// dies after any line is continued by the next.
//
//	claim        finalizer, so that nothing is left behind
//	version      which release the cluster runs, and how far an upgrade is
//	foundation   namespaces, policies, Services; publishes the control plane's address
//	secrets      roots of trust, once; certificates below them, when they do not fit; new signing keys, when asked for
//	power        whether the control plane runs: not when all nodes of a stopped cluster are gone
//	workloads    etcd and the kube process
//	upgrade pods what stands beside the control plane while its version changes
//	certificates new authorities, when asked for and nothing runs that trusts the old ones
//	pools        the pools that stand in the cluster's own body, once
//	nodegroup    the resource group that shows the machines (G1)
//	readiness    whether the API server answers
//
// Deleting goes the other way round: pools with their machines, the control plane,
// its volumes, the namespaces, the finalizer.
package cluster
