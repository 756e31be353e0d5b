// Package backup records what a managed cluster's etcd holds into object stores, and
// gives it back (C3, X2): full snapshots, and deltas with every revision since, at most
// some seconds apart. What is stored is compressed and sealed for the cluster's own
// key. Stores are named by URL: file:///directory, s3://bucket, azblob://container.
//
// Nothing here writes to an etcd or waits for a store on its behalf: a slow or missing
// store makes backups late, never the cluster.
package backup
