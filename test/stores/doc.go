// Package stores pins the object stores that backups are tested against. They are
// programs of others, built as they are.
package stores
