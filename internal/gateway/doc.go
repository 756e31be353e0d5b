// Package gateway carries the API servers of all managed clusters on one TLS port.
//
// A connection's ClientHello names the cluster (SNI); the gateway looks the name up, checks the client's address against
// the cluster's authorised ranges and then copies bytes both ways. It never ends TLS: it holds no key and sees no
// request. A client that is refused gets a TLS alert that says why.
//
// A connection goes through these files in order: server.go accepts and bounds it, client.go finds out who it is (PROXY
// protocol), hello.go reads the name, clusters.go knows the routes, stream.go carries the bytes.
package gateway
