// Package agentpool makes and removes the Machines of every agent pool so that
// there are as many as the pool counts, each with the pool's labels and taints.
// What a machine then goes through is the machine controller's.
//
// An upgrade is a rollout: target says what nodes shall be made of, lineUp whose
// turn it is, and planRollout, which is pure, what to do next: add surge machines,
// give some machines the new versions, leave one aside, remove the surge. Each step
// can be repeated, and what was given up is put back by the next pass. The pool's
// status tells how far it is; the machines themselves hold everything else.
package agentpool
