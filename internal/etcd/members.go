// Package etcd reads and changes the membership of a hosted etcd. Etcd's own list of
// members is the state: whoever changes it may die and find what was done.
package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
)

const (
	// statusTimeout bounds the question to one member, and callTimeout one change.
	statusTimeout = 2 * time.Second
	callTimeout   = 5 * time.Second
)

var (
	// ErrNoLeader says that no member which answers leads: there is no majority, or an
	// election is going on.
	ErrNoLeader = errors.New("etcd has no leader")
	// ErrNotYet says that etcd refuses a change for now, since it could cost the majority.
	ErrNotYet = errors.New("etcd is not ready for this change")
)

// Target is how an etcd is reached: the client URLs of its members, some of which may not
// run, and the certificate to show.
type Target struct {
	Endpoints []string
	TLS       *tls.Config
}

// Member is one member as etcd lists it.
type Member struct {
	ID uint64
	// Name is empty until the member has come up once, and Peer the first of its peer URLs.
	Name, Peer string
	// Learner: it has no vote. Leader: it leads. Healthy: it answers and knows the leader.
	Learner, Leader, Healthy bool
}

// Action is one kind of change.
type Action string

// The changes of membership.
const (
	AddVoter   Action = "add a member"
	AddLearner Action = "add a learner"
	Promote    Action = "promote a learner"
	Remove     Action = "remove a member"
	Update     Action = "change a member's address"
	MoveLeader Action = "move the leadership"
	// Disarm takes the alarm CORRUPT back, whomever it names.
	Disarm Action = "take back the alarm CORRUPT"
)

// Change is one change: of the member with ID, or of a new one at Peer.
type Change struct {
	Action Action
	ID     uint64
	Peer   string
}

// Client reaches etcds over the network. The zero value is ready.
type Client struct{}

// List asks the leader for the members, and each of them how it is. The error wraps
// ErrNoLeader if none leads.
func (Client) List(ctx context.Context, target Target) ([]Member, error) {
	var members []Member
	err := withLeader(ctx, target, func(ctx context.Context, client *clientv3.Client, seen map[uint64]*clientv3.StatusResponse) error {
		list, err := client.MemberList(ctx)
		if err != nil {
			return fmt.Errorf("list the members of etcd: %w", err)
		}
		for _, m := range list.Members {
			member := Member{ID: m.ID, Name: m.Name, Learner: m.IsLearner}
			if len(m.PeerURLs) > 0 {
				member.Peer = m.PeerURLs[0]
			}
			if status := seen[m.ID]; status != nil {
				member.Healthy, member.Leader = status.Leader != 0, status.Leader == m.ID
			}
			members = append(members, member)
		}
		return nil
	})
	return members, err
}

// Do makes one change. The error wraps ErrNotYet if etcd refuses it for now, and
// ErrNoLeader if none leads.
func (Client) Do(ctx context.Context, target Target, change Change) error {
	return withLeader(ctx, target, func(ctx context.Context, client *clientv3.Client, _ map[uint64]*clientv3.StatusResponse) error {
		var err error
		switch change.Action {
		case AddVoter:
			_, err = client.MemberAdd(ctx, []string{change.Peer})
		case AddLearner:
			_, err = client.MemberAddAsLearner(ctx, []string{change.Peer})
		case Promote:
			_, err = client.MemberPromote(ctx, change.ID)
		case Remove:
			_, err = client.MemberRemove(ctx, change.ID)
		case Update:
			_, err = client.MemberUpdate(ctx, change.ID, []string{change.Peer})
		case MoveLeader:
			_, err = client.MoveLeader(ctx, change.ID)
		case Disarm:
			err = disarm(ctx, client, func(alarm *etcdserverpb.AlarmMember) bool { return alarm.Alarm == etcdserverpb.AlarmType_CORRUPT })
		default:
			err = errors.New("no such change")
		}
		for _, refusal := range refusals {
			if errors.Is(err, refusal) {
				return fmt.Errorf("%s: %w: %w", change.Action, ErrNotYet, err)
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", change.Action, err)
		}
		return nil
	})
}

// refusals pass by themselves.
var refusals = []error{
	rpctypes.ErrMemberLearnerNotReady, rpctypes.ErrMemberNotEnoughStarted, rpctypes.ErrUnhealthy, rpctypes.ErrTooManyLearners,
	rpctypes.ErrNotLeader, rpctypes.ErrLeaderChanged, rpctypes.ErrBadLeaderTransferee,
}

// withLeader dials the member that leads, which alone can do all of this.
func withLeader(ctx context.Context, target Target, do func(context.Context, *clientv3.Client, map[uint64]*clientv3.StatusResponse) error) error {
	client, err := dial(target)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	seen, leader := look(ctx, client, target.Endpoints)
	if leader == "" {
		return ErrNoLeader
	}
	client.SetEndpoints(leader)
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return do(ctx, client, seen)
}

func dial(target Target) (*clientv3.Client, error) {
	if len(target.Endpoints) == 0 {
		return nil, ErrNoLeader
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: target.Endpoints[:1], TLS: target.TLS, DialTimeout: statusTimeout, Logger: zap.NewNop()})
	if err != nil {
		return nil, fmt.Errorf("dial etcd: %w", err)
	}
	return client, nil
}

// look asks every endpoint how its member is, and finds the one that leads.
func look(ctx context.Context, client *clientv3.Client, endpoints []string) (map[uint64]*clientv3.StatusResponse, string) {
	seen, leader := map[uint64]*clientv3.StatusResponse{}, ""
	for i, status := range statuses(ctx, client, endpoints) {
		if status == nil {
			continue
		}
		seen[status.Header.MemberId] = status
		if status.Leader == status.Header.MemberId && status.Leader != 0 {
			leader = endpoints[i]
		}
	}
	return seen, leader
}

// statuses are what the endpoints answer, nil of one that does not.
func statuses(ctx context.Context, client *clientv3.Client, endpoints []string) []*clientv3.StatusResponse {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	answers := make([]*clientv3.StatusResponse, len(endpoints))
	var asking sync.WaitGroup
	for i, endpoint := range endpoints {
		asking.Go(func() {
			if status, err := client.Status(ctx, endpoint); err == nil {
				answers[i] = status
			}
		})
	}
	asking.Wait()
	return answers
}
