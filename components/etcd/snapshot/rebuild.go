package main

import (
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
)

// leaseTTL is that of a lease which the snapshot does not know, in seconds: the
// deltas name leases and no more, and Kubernetes gives events an hour.
const leaseTTL = 3600

// inspection reads a snapshot's revision, and all of its pages with it.
type inspection struct {
	Path string `json:"path"`
	// Pages: the structure of the pages is checked too, as of a database that etcd is to start on.
	Pages bool `json:"pages,omitempty"`
}

func (i inspection) run(_ context.Context, stage func(string)) (content, error) {
	stage("verify the snapshot")
	if err := verify(i.Path); err != nil {
		return content{}, err
	}
	stage("check the snapshot")
	status, err := snapshot.NewV3(zap.NewNop()).Status(i.Path)
	if err != nil {
		// The error may quote what the snapshot holds.
		return content{}, errors.New("its pages are damaged")
	}
	if i.Pages {
		if _, err := checkDatabase(i.Path); err != nil {
			return content{}, err
		}
	}
	return content{Revision: status.Revision}, nil
}

// rebuilding makes a data directory of a snapshot and the deltas after it.
type rebuilding struct {
	DataDir string `json:"dataDir"`
	// Name, Peer and Token are the member's, as in its flags.
	Name  string `json:"name"`
	Peer  string `json:"peer"`
	Token string `json:"token"`
	// Snapshot is a file, Revision its revision, and Deltas are files, in order.
	Snapshot string   `json:"snapshot"`
	Revision int64    `json:"revision"`
	Deltas   []string `json:"deltas"`
	// Used is the last revision that clients may have seen, in any history: the new
	// one must not count any of them again.
	Used int64 `json:"used"`
	// Digests is a file for the digests of what the result holds; none if empty.
	Digests string `json:"digests,omitempty"`
}

// run returns what the result holds, all of which has been read once.
func (r rebuilding) run(ctx context.Context, stage func(string)) (content, error) {
	stage("restore the snapshot")
	restore := restoring{from: r.Snapshot, dataDir: r.DataDir, name: r.Name, peer: r.Peer, token: r.Token, lead: max(0, r.Used-r.Revision)}
	if err := restore.write(r.DataDir); err != nil {
		return content{}, err
	}
	stage("start etcd on the restored data")
	m, err := startMember(ctx, r.DataDir, r.Name, false)
	if err != nil {
		return content{}, err
	}
	stage("replay the deltas")
	if err := m.replay(ctx, history{paths: r.Deltas, after: r.Revision}); err != nil {
		return content{}, err
	}
	stage("read all keys")
	found, err := r.read(ctx, m)
	if err != nil {
		return content{}, err
	}
	stage("stop etcd")
	m.close()
	return found, nil
}

func (r rebuilding) read(ctx context.Context, m *member) (content, error) {
	if r.Digests == "" {
		return readContent(ctx, m.client, 0, nil)
	}
	return readTo(ctx, m.client, 0, r.Digests)
}

// replay brings an etcd to where the deltas end.
func (m *member) replay(ctx context.Context, deltas history) error {
	// An etcd that was full refuses writes until somebody says that it is not.
	if _, err := m.client.AlarmDisarm(ctx, &clientv3.AlarmMember{}); err != nil {
		return fmt.Errorf("disarm: %w", err)
	}
	known, err := m.leases(ctx)
	if err != nil {
		return err
	}
	var batch []clientv3.Op
	size := 0
	err = deltas.latest(func(event *mvccpb.Event) error {
		length := len(event.Kv.Key) + len(event.Kv.Value)
		if len(batch) > 0 && (size+length > transactionBytes || len(batch) == transactionKeys) {
			if err := m.apply(ctx, batch); err != nil {
				return err
			}
			batch, size = nil, 0
		}
		if id := event.Kv.Lease; event.Type == mvccpb.Event_PUT && id != 0 && !known[id] {
			if err := m.grant(ctx, id); err != nil {
				return err
			}
			known[id] = true
		}
		batch, size = append(batch, operation(event)), size+length
		return nil
	})
	if err != nil || len(batch) == 0 {
		return err
	}
	return m.apply(ctx, batch)
}

func operation(event *mvccpb.Event) clientv3.Op {
	if event.Type == mvccpb.Event_DELETE {
		return clientv3.OpDelete(string(event.Kv.Key))
	}
	return clientv3.OpPut(string(event.Kv.Key), string(event.Kv.Value), clientv3.WithLease(clientv3.LeaseID(event.Kv.Lease)))
}

// apply repeats a transaction whose end was not seen in time: each key has its last
// value after any number of them.
func (m *member) apply(ctx context.Context, batch []clientv3.Op) error {
	const attempts = 5
	var err error
	for range attempts {
		_, err = m.client.Txn(ctx).Then(batch...).Commit()
		if !errors.Is(err, rpctypes.ErrTimeout) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("apply a transaction of %d keys: %w", len(batch), err)
	}
	return nil
}

func (m *member) grant(ctx context.Context, id int64) error {
	if _, err := m.etcd.Server.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: leaseTTL}); err != nil {
		return fmt.Errorf("grant a lease: %w", err)
	}
	return nil
}
