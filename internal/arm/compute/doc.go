// Package compute is the provider Microsoft.Compute as far as a node resource group has
// it: the scale sets of a cluster's pools and their instances, over the real machines
// (G1). What is changed here is real, and counts against the cluster's supportability
// (B3, B4, G2, G4).
package compute
