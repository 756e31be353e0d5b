// Package autoupgrade begins the upgrades of clusters' channels in their
// maintenance windows (E2, F3, F4), as ordinary operations, and tells in each
// cluster's status what runs next, what ran last and why nothing runs (X7).
//
// A run is written into the status before its operation is made, and the
// operation's name follows from it. A process that dies anywhere finds the run
// there, and the operation by its name: no upgrade begins twice.
package autoupgrade
