// Package clause is the support policy clause by clause: what the service promises
// and refuses, what holds each of it, and how far. docs/support-policy.md is
// written from it.
package clause

import "slices"

// ID names a clause, such as J4. Code that carries a clause out names it by this
// type, so that what is not in the table fails a test.
type ID string

// Status is how far a clause is held.
type Status string

// The statuses. A clause is held when the running service does what it says.
const (
	Held   Status = "held"
	InPart Status = "in part"
	NotYet Status = "not yet"
	// OfPeople is for what people do: nothing that a program could hold.
	OfPeople Status = "of people"
)

// Clause is one clause and what holds it.
type Clause struct {
	ID ID
	// Short is what it says.
	Short  string
	Status Status
	// Code and Tests name what holds it and what proves that, as file:symbol.
	Code, Tests []string
	// Missing says what is not held, of a clause that is held in part.
	Missing string
}

// Known says whether a clause is in the table.
func Known(id ID) bool {
	_, ok := Find(id)
	return ok
}

// Find returns a clause of the table.
func Find(id ID) (Clause, bool) {
	for _, part := range Parts() {
		if i := slices.IndexFunc(part.Clauses, func(c Clause) bool { return c.ID == id }); i >= 0 {
			return part.Clauses[i], true
		}
	}
	return Clause{}, false
}

// Part is a part of the policy.
type Part struct {
	Title   string
	Clauses []Clause
}
