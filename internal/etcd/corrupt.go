package etcd

import (
	"context"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Hash is what one member holds, as a hash of it.
type Hash struct {
	ID uint64
	// Learner: it has no vote.
	Learner bool
	// Answered: the rest is known.
	Answered bool
	// Hash is of all keys and values up to Revision, which is what the member has reached;
	// Compacted is how far its history has gone.
	Hash                uint32
	Compacted, Revision int64
}

// Corruption is what is known of an etcd whose members may hold different data.
type Corruption struct {
	// Alarmed are the IDs of the members that the alarm CORRUPT names, zero where it names
	// none; there are none without the alarm, and then no hashes.
	Alarmed []uint64
	Members []Hash
}

// Alarms are the names of those that etcd has raised: NOSPACE, CORRUPT. The error wraps
// ErrNoLeader if none leads.
func (Client) Alarms(ctx context.Context, target Target) ([]string, error) {
	var names []string
	err := withLeader(ctx, target, func(ctx context.Context, client *clientv3.Client, _ map[uint64]*clientv3.StatusResponse) error {
		alarms, err := client.AlarmList(ctx)
		if err != nil {
			return fmt.Errorf("list the alarms of etcd: %w", err)
		}
		for _, alarm := range alarms.Alarms {
			names = append(names, alarm.Alarm.String())
		}
		return nil
	})
	return names, err
}

// hashTime bounds the hash of what a member holds, all of which is read.
const hashTime = 2 * time.Minute

// Corruption asks whether etcd has raised the alarm CORRUPT, and if so what each member
// holds. The error wraps ErrNoLeader if none leads.
func (Client) Corruption(ctx context.Context, target Target) (Corruption, error) {
	var found Corruption
	err := withLeader(ctx, target, func(ctx context.Context, client *clientv3.Client, _ map[uint64]*clientv3.StatusResponse) error {
		alarms, err := client.AlarmList(ctx)
		if err != nil {
			return fmt.Errorf("list the alarms of etcd: %w", err)
		}
		for _, alarm := range alarms.Alarms {
			if alarm.Alarm == etcdserverpb.AlarmType_CORRUPT {
				found.Alarmed = append(found.Alarmed, alarm.MemberID)
			}
		}
		if len(found.Alarmed) == 0 {
			return nil
		}
		list, err := client.MemberList(ctx)
		if err != nil {
			return fmt.Errorf("list the members of etcd: %w", err)
		}
		for _, m := range list.Members {
			found.Members = append(found.Members, Hash{ID: m.ID, Learner: m.IsLearner})
		}
		return nil
	})
	if err != nil || len(found.Alarmed) == 0 {
		return found, err
	}
	client, err := dial(target)
	if err != nil {
		return found, err
	}
	defer func() { _ = client.Close() }()
	at := map[uint64]string{}
	for i, status := range statuses(ctx, client, target.Endpoints) {
		if status != nil {
			at[status.Header.MemberId] = target.Endpoints[i]
		}
	}
	hash(ctx, client, found.Members, at)
	return found, nil
}

// hash asks all members at once what they hold now: of an earlier revision they may remember
// what they held. One that does not say has not answered.
func hash(ctx context.Context, client *clientv3.Client, members []Hash, at map[uint64]string) {
	ctx, cancel := context.WithTimeout(ctx, hashTime)
	defer cancel()
	var asking sync.WaitGroup
	for i := range members {
		m := &members[i]
		if at[m.ID] == "" {
			continue
		}
		asking.Go(func() {
			if answer, err := client.HashKV(ctx, at[m.ID], 0); err == nil {
				m.Answered, m.Hash, m.Compacted, m.Revision = true, answer.Hash, answer.CompactRevision, answer.Header.Revision
			}
		})
	}
	asking.Wait()
}
