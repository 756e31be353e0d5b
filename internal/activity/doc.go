// Package activity writes the activity log: an entry before each act, and how it went
// afterwards (docs/decisions/0017-activity-log.md).
//
// An entry is best effort. A request goes on where its entry cannot be written, and the
// process's own log says so; what an Operation is about is written again when the
// Operation is seen. Everything here may be repeated after a crash at any line.
package activity
