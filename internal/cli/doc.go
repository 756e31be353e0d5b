// Package cli is the berth command line. Commands, verbs and flags are named after `az`, and everything that concerns
// clusters goes through ARM with the public Azure SDK, so that every use of it also exercises the API.
//
// One file holds one noun (cluster, nodepool, group, machine); session.go finds the server, output.go prints, wait.go
// follows long operations, errors.go explains failures and sets the exit code.
package cli
