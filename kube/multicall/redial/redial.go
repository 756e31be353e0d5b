// Package redial has the programs of this binary dial a peer that was away again within a
// second. gRPC waits for up to two minutes, and an API server takes gRPC's own pauses: its
// etcd would be back for as long before it is noticed.
//
// gRPC copies its configuration when its packages are initialised. Go initialises packages
// that depend on no other in the order of their paths, so that this one, which depends on
// nothing but the configuration, comes before google.golang.org/grpc/internal/backoff.
package redial

import (
	"time"

	"google.golang.org/grpc/backoff"
)

const (
	first = 100 * time.Millisecond
	last  = time.Second
)

func init() {
	backoff.DefaultConfig.BaseDelay, backoff.DefaultConfig.MaxDelay = first, last
}
