// Package agentpool makes and removes the Machines of every agent pool so that
// there are as many as the pool counts, each with the pool's labels and taints.
// What a machine then goes through is the machine controller's.
package agentpool
