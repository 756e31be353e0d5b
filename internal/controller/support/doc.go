// Package support keeps each cluster's supportability in its status: it collects the
// evidence, has internal/policy/support decide, and carries out what clocks that ran
// out ask for, as operations (X1, J1-J7).
package support
