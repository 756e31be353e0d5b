// Package machine is the contract between Berth and whatever carries the nodes
// of managed clusters. Package pod is the default provider, package memory one for
// tests, and package conformance the suite that every provider must pass.
//
// A provider holds no decision: it makes what a Machine says, tells what it sees
// and removes it. What has power over a machine that runs raises one of the figures
// of Observation: Boots for a reboot, Incarnation for what makes the machine anew. A
// caller that names the figure that it saw can then ask twice and act once.
package machine
