package etcd

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Usage is how much one member stores.
type Usage struct {
	ID uint64
	// Size is how much its database takes, InUse how much of that holds something, and Quota
	// how much it may take, in bytes; all are zero of a member that does not answer.
	Size, InUse, Quota int64
	// Healthy: it answers and knows the leader. Leader: it leads.
	Healthy, Leader bool
}

// Space is how much an etcd stores.
type Space struct {
	Members []Usage
	// NoSpace and Corrupt: the alarms of these names are raised, so that nothing is written.
	NoSpace, Corrupt bool
	// Revision is what etcd has reached, and Marked the revision at which Kubernetes' API
	// server did its last turn of compaction: its next one goes up to there.
	Revision, Marked int64
}

// mark is the key that API servers take turns by (compact.go of package etcd3).
const mark = "compact_rev_key"

// Space asks the members what they store. The error wraps ErrNoLeader if none leads.
func (Client) Space(ctx context.Context, target Target) (Space, error) {
	var space Space
	err := withLeader(ctx, target, func(ctx context.Context, client *clientv3.Client, seen map[uint64]*clientv3.StatusResponse) error {
		list, err := client.MemberList(ctx)
		if err != nil {
			return fmt.Errorf("list the members of etcd: %w", err)
		}
		alarms, err := client.AlarmList(ctx)
		if err != nil {
			return fmt.Errorf("list the alarms of etcd: %w", err)
		}
		marked, err := client.Get(ctx, mark, clientv3.WithKeysOnly())
		if err != nil {
			return fmt.Errorf("read what was compacted: %w", err)
		}
		space.Revision = marked.Header.Revision
		if len(marked.Kvs) == 1 {
			space.Marked = marked.Kvs[0].ModRevision
		}
		for _, alarm := range alarms.Alarms {
			space.NoSpace = space.NoSpace || alarm.Alarm == etcdserverpb.AlarmType_NOSPACE
			space.Corrupt = space.Corrupt || alarm.Alarm == etcdserverpb.AlarmType_CORRUPT
		}
		for _, m := range list.Members {
			if m.IsLearner {
				continue // one that catches up is neither counted nor defragmented
			}
			usage := Usage{ID: m.ID}
			if status := seen[m.ID]; status != nil {
				usage.Size, usage.InUse, usage.Quota = status.DbSize, status.DbSizeInUse, status.DbSizeQuota
				usage.Healthy, usage.Leader = status.Leader != 0, status.Leader == m.ID
			}
			space.Members = append(space.Members, usage)
		}
		return nil
	})
	return space, err
}

// Compact lets history go up to a revision, and waits until every member that answers has
// let it go and knows what that gave; it is well if it has gone before. How long it may take
// is ctx's.
func (Client) Compact(ctx context.Context, target Target, revision int64) error {
	client, err := dial(target)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	for i, status := range statuses(ctx, client, target.Endpoints) {
		if status == nil || status.IsLearner {
			continue
		}
		client.SetEndpoints(target.Endpoints[i]) // who is asked waits for itself alone, also where it has gone before
		// Each time ends with a commit. What etcd itself was reading still at the first counts as
		// in use until the second.
		for range 2 {
			_, err := client.Compact(ctx, revision, clientv3.WithCompactPhysical())
			if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
				return fmt.Errorf("compact etcd: %w", err)
			}
		}
	}
	return nil
}

// Defragment has one member give back what holds nothing. It answers nothing else meanwhile.
// How long it may take is ctx's.
func (Client) Defragment(ctx context.Context, target Target, id uint64) error {
	client, err := dial(target)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	for i, status := range statuses(ctx, client, target.Endpoints) {
		if status == nil || status.Header.MemberId != id {
			continue
		}
		if _, err := client.Defragment(ctx, target.Endpoints[i]); err != nil {
			return fmt.Errorf("defragment member %x of etcd: %w", id, err)
		}
		return nil
	}
	return fmt.Errorf("defragment member %x of etcd: %w", id, errAway)
}

var errAway = errors.New("it does not answer")

// DisarmNoSpace takes the alarm NOSPACE of all members back.
func (Client) DisarmNoSpace(ctx context.Context, target Target) error {
	return withLeader(ctx, target, func(ctx context.Context, client *clientv3.Client, _ map[uint64]*clientv3.StatusResponse) error {
		return disarm(ctx, client, func(alarm *etcdserverpb.AlarmMember) bool { return alarm.Alarm == etcdserverpb.AlarmType_NOSPACE })
	})
}

// disarm takes alarms back, each as it was raised.
func disarm(ctx context.Context, client *clientv3.Client, which func(*etcdserverpb.AlarmMember) bool) error {
	alarms, err := client.AlarmList(ctx)
	if err != nil {
		return fmt.Errorf("list the alarms of etcd: %w", err)
	}
	for _, alarm := range alarms.Alarms {
		if !which(alarm) {
			continue
		}
		if _, err := client.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: alarm.MemberID, Alarm: alarm.Alarm}); err != nil {
			return fmt.Errorf("take back the alarm %s of etcd: %w", alarm.Alarm, err)
		}
	}
	return nil
}
