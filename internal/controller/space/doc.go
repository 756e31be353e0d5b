// Package space keeps room in every cluster's etcd (A3): one that is full is compacted as far
// as the backups and the API server allow, its members are defragmented one at a time, while
// nobody reads a snapshot of it, and its alarm NOSPACE is taken back if that left room.
// Otherwise the customer is told to delete objects. internal/policy decides (space.go);
// status.etcdCleaning is how far an attempt is, and the condition EtcdHasSpace, events and
// metrics tell of it. The management cluster's own etcd is looked after too (management.go).
package space
