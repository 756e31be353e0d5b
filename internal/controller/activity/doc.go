// Package activity keeps the activity log: it has the entries of Operations say how these
// end, and removes what is older, or more, than ServicePolicy has it.
package activity
