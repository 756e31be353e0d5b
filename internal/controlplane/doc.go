// Package controlplane renders the objects of one hosted control plane (A1, A3)
// in the management cluster. It does no I/O: addresses, stored secrets and the
// time come in, objects go out.
//
// Everything of the cluster with id X lives in two namespaces:
//
//	cp-X  Service kube-apiserver  ClusterIP that machines, tenants and konnectivity agents dial; advertised by the API server
//	      Service etcd            ClusterIP that the API server dials
//	      Deployment kube         kube-apiserver, controller-manager and scheduler in one process, konnectivity-server beside it
//	      StatefulSet etcd        with the claim data-etcd-0; three members if highly available
//	      Services etcd-0 ...     ClusterIPs of the members then, PodDisruptionBudgets and Secret etcd-members
//	      Pods kube-trial, etcd-snapshot, etcd-restore
//	                              only while the cluster changes its version
//	      Secret ca               the roots of trust: made once, never made again (see Roots)
//	      Secrets etcd, kube, konnectivity-server, *-kubeconfig
//	                              certificates below those roots, issued again when they no longer fit (see Plan)
//	      ConfigMap kube          audit policy, egress selection, anonymous access
//	mc-X  the machines, made by the machine provider
//
// NetworkPolicies close both namespaces against everybody else.
package controlplane
