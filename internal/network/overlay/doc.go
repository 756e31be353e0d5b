// Package overlay links the pod networks of a cluster's nodes with VXLAN: the device berth.1, and for each other node a
// route, a neighbour and a forwarding entry. Nothing is learned from packets; the list of nodes is the only truth.
//
// The device has the first address of the node's pod range, so that what the node itself sends to a pod of another node
// comes back through the overlay too: strict reverse path filters hold on every device.
package overlay
