// Package supportaccess is the only way by which support reaches a customer's cluster
// (C7): an engineer's requests come to the front here with the credential of one access,
// are judged by what the customer consents to at that moment, written down (X5), and sent
// on under a name that the role aks-service is bound to. The engineer never holds what
// the cluster's API server trusts, so that there is nothing to take back; what is open
// when an access ends is cut.
//
// A request goes through these files in order: front.go knows the access and judges,
// record.go writes it down, backend.go reaches the API server, streams.go ends what is
// open, follow.go hears of what changes.
package supportaccess
