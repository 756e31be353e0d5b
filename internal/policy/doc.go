// Package policy is the service's decisions as pure functions: no I/O, no clock,
// no randomness. Each takes what is known as arguments and answers; the rules
// stand in tables that name the clause or the AKS article that they come from.
package policy
