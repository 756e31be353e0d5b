// Package netpol decides what NetworkPolicy (networking.k8s.io/v1) means for the pods of one node.
//
// Compile turns an API object into a Policy once; Decide is a pure function from policies, pods and namespaces to a
// RuleSet of IPv4 addresses, ports and verdicts, which package nft writes to the kernel. It does no I/O.
//
// What Kubernetes leaves open is decided so:
//   - A local pod that is not known yet may neither send nor receive (Decide lists the known ones): a pod must not run,
//     however briefly, without its policies. A TCP connection to it, or to one that is gone, is refused, not dropped.
//   - ipBlock is compared with the address in the packet as the forward hook sees it: after DNAT, before masquerading.
//     It covers pod addresses like any other.
//   - Pods on the host network are neither selected nor matched by selectors; ipBlock matches their node's address.
//   - Egress policies cover traffic from a pod to its own node too; traffic from a node to its own pods is always
//     allowed.
//   - A pod may always talk to itself.
//   - Connections that are established stay allowed when a policy changes.
//   - Only IPv4 exists here; IPv6 blocks match nothing.
package netpol
