// Package backup has every cluster's etcd recorded while its control plane runs (C3), and
// says how far the backups have come: status.backup, the condition BackedUp, an event when
// that changes, and metrics. The recording itself is internal/backup's.
package backup
