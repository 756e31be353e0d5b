package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/datadir"
)

const (
	// startLimit is how long an etcd may take to come up, and startRate how many bytes
	// of its database, all of which it reads, it may take another second for. On a disk
	// that is slow a large one is not damaged.
	startLimit = time.Minute
	startRate  = 16 << 20
	// transactionBytes and transactionKeys are how much goes into one transaction;
	// a larger value goes alone.
	transactionBytes = 2 << 20
	transactionKeys  = 1024
	// renewal is how often leases are renewed. None is shorter than a second.
	renewal = 300 * time.Millisecond
)

var errNotUp = errors.New("etcd does not come up")

// member is a running etcd that nobody else reaches: it has no listener.
type member struct {
	etcd   *embed.Etcd
	client *clientv3.Client
	// stop ends the renewal of leases, and renewed says that it has ended.
	stop    context.CancelFunc
	renewed chan struct{}
}

// startMember starts an etcd on a data directory that has its member; alone removes all
// others from its cluster.
func startMember(ctx context.Context, dir, name string, alone bool) (*member, error) {
	type start struct {
		etcd *embed.Etcd
		err  error
	}
	started := make(chan start, 1)
	go func() {
		config := memberConfig(dir, name)
		config.ForceNewCluster = alone
		etcd, err := embed.StartEtcd(config)
		started <- start{etcd, err}
	}()
	limit := startTime(dir)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case s := <-started:
		if s.err != nil {
			return nil, s.err
		}
		select {
		case <-s.etcd.Server.ReadyNotify():
			return newMember(s.etcd)
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	// The process ends after this: an etcd that hangs cannot be closed.
	return nil, fmt.Errorf("%w in %s", errNotUp, limit)
}

func startTime(dir string) time.Duration {
	info, err := os.Stat(datadir.ToBackendFileName(dir))
	if err != nil {
		return startLimit
	}
	return startLimit + time.Duration(info.Size()/startRate)*time.Second
}

func memberConfig(dir, name string) *embed.Config {
	config := embed.NewConfig()
	config.Dir, config.Name = dir, name
	config.ListenClientUrls, config.AdvertiseClientUrls = nil, nil
	config.ListenPeerUrls, config.AdvertisePeerUrls = nil, nil
	// Only what etcd dies of: the parent looks for the cause there.
	config.LogLevel = "panic"
	// A member that is alone elects itself after this.
	config.TickMs, config.ElectionMs = 10, 100
	// The quota is for the cluster's clients: what was backed up must fit.
	config.QuotaBackendBytes = -1
	config.MaxTxnOps = 2 * transactionKeys
	config.MaxRequestBytes = 2 * eventLimit
	// Transactions are large, and etcd holds in memory what a snapshot of raft's log
	// does not cover, also when it starts.
	config.SnapshotCount, config.SnapshotCatchUpEntries = 32, 32
	return config
}

// newMember keeps leases alive: what etcd holds must not change by itself while it is
// read or written to.
func newMember(etcd *embed.Etcd) (*member, error) {
	ctx, stop := context.WithCancel(context.Background())
	m := &member{etcd: etcd, client: v3client.New(etcd.Server), stop: stop, renewed: make(chan struct{})}
	leases, err := m.leases(ctx)
	if err != nil {
		close(m.renewed)
		m.close()
		return nil, err
	}
	go m.renew(ctx, leases)
	return m, nil
}

func (m *member) close() {
	m.stop()
	<-m.renewed
	m.client.Close()
	m.etcd.Close()
}

func (m *member) leases(ctx context.Context) (map[int64]bool, error) {
	found, err := m.etcd.Server.LeaseLeases(ctx, &pb.LeaseLeasesRequest{})
	if err != nil {
		return nil, fmt.Errorf("list leases: %w", err)
	}
	known := map[int64]bool{}
	for _, l := range found.Leases {
		known[l.ID] = true
	}
	return known, nil
}

func (m *member) renew(ctx context.Context, leases map[int64]bool) {
	defer close(m.renewed)
	for {
		for id := range leases {
			// What cannot be renewed now is tried again in a moment.
			_, _ = m.etcd.Server.LeaseRenew(ctx, lease.LeaseID(id))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(renewal):
		}
	}
}
