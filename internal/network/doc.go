// Package network is the network agent of one node: `berth-node network`.
//
// It writes the node's CNI configuration, links the pod networks of all nodes with VXLAN, masquerades what leaves the
// cluster, and enforces NetworkPolicy. The same agent serves the management cluster and every tenant cluster. Objects
// renders what installs it.
//
// The work is divided by what it touches: netpol decides (no I/O), nft writes nftables, overlay writes links and
// routes, cni writes the CNI configuration and reads the CNI's results, watch follows the API server.
package network
