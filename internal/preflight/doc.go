// Package preflight reads in managed clusters what policy must know before an
// upgrade: disruption budgets with the pods on the nodes that would be replaced, and
// the use of APIs that a later version does not have. It decides nothing.
//
// The API server counts requests for deprecated APIs without saying when they came.
// A Recorder therefore looks every hour, and keeps in the ConfigMap RecordName of the
// control plane's namespace when each count last grew:
//
//	uses.json   []policy.APIUse
package preflight
