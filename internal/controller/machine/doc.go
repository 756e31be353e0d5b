// Package machine brings every Machine to what its pool wants of it: it has the
// provider make the machine, lets its kubelet join the tenant's cluster with a
// bootstrap token, approves the certificates of that kubelet and no other, puts
// the service's labels and taints on the Node, and in the end drains and removes
// it.
//
// What happens next is decided by the table in decide.go from what is observed,
// and nothing else: a controller that dies anywhere goes on from there.
package machine
