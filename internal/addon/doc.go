// Package addon renders what Berth installs in a customer's cluster and answers
// for (A4, A5, A6): the rights that nodes join with, CoreDNS, kube-proxy, the
// konnectivity agent and metrics-server. It does no I/O.
//
// Names and labels are AKS's, since dashboards and scripts select on them. The
// label addonmanager.kubernetes.io/mode says how an object is kept: Reconcile
// puts it back as rendered, EnsureExists makes it once and leaves it to the customer.
package addon
