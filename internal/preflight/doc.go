// Package preflight reads in managed clusters what policy must know before an
// upgrade: disruption budgets with the pods on the nodes that would be replaced, and
// the use of APIs that a later version does not have. It decides nothing.
//
// An API server counts the requests for deprecated APIs that it got, since it was
// started, without saying when they came. A Recorder therefore asks each of them every
// hour, and keeps in the ConfigMap RecordName of the control plane's namespace when the
// count of any last grew:
//
//	uses.json   []policy.APIUse
//
// What an API server got since it was last asked ends with it.
package preflight
