package backup

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A majority that answers decides whether etcd has what was recorded.
func TestWordOfMembers(t *testing.T) {
	for _, c := range []struct {
		why       string
		revisions []int64
		want      word
	}{
		{"a lone one has it", []int64{10}, has},
		{"a lone one has less", []int64{9}, lacks},
		{"one differs", []int64{11, 9, 10}, has},
		{"none has it", []int64{9, 8, 9}, lacks},
		{"one alone has it", []int64{9, 8, 10}, mostLack},
		{"one is away, the others agree", []int64{9, 0, 8}, mostLack},
		{"one is away, and the others do not agree", []int64{10, 0, 8}, unclear},
		{"two are away", []int64{0, 0, 8}, unclear},
		{"none is known", nil, unclear},
	} {
		if got := wordOf(c.revisions, 10); got != c.want {
			t.Errorf("%s: %v, want %v", c.why, got, c.want)
		}
	}
}

// membership is an etcd that has these members, and no alarms.
type membership struct {
	clientv3.Cluster
	clientv3.Maintenance
	members []*etcdserverpb.Member
}

func (m *membership) MemberList(context.Context, ...clientv3.OpOption) (*clientv3.MemberListResponse, error) {
	return &clientv3.MemberListResponse{Members: m.members}, nil
}

func (m *membership) AlarmList(context.Context) (*clientv3.AlarmResponse, error) {
	return &clientv3.AlarmResponse{}, nil
}

// A member that is taken out may have held other data for as long as the alarm was not seen:
// if it was read since the newest snapshot, or that is not known, it is recorded anew. One
// that is added, or never voted, is not; nor is another etcd.
func TestMemberThatIsTakenOut(t *testing.T) {
	of := func(ids ...uint64) (found []*etcdserverpb.Member) {
		for _, id := range ids {
			found = append(found, &etcdserverpb.Member{ID: id, IsLearner: id >= 100})
		}
		return found
	}
	for _, c := range []struct {
		why           string
		before, after []*etcdserverpb.Member
		// read are the members that answered since a snapshot; nil if there was none.
		read  []uint64
		taken bool
	}{
		{"nobody", of(1, 2, 3), of(1, 2, 3), nil, false},
		{"one that may have been read", of(1, 2, 3), of(1, 2), nil, true},
		{"one that was read before the one that is", of(1, 2, 3), of(1, 2), []uint64{3, 1}, true},
		{"one that was not", of(1, 2, 3), of(1, 2), []uint64{1}, false},
		{"one in whose place another is", of(1, 2, 3), of(1, 2, 4), nil, true},
		{"a learner", of(1, 2, 3, 104), of(1, 2, 3), nil, false},
		{"nobody, and one is new", of(1, 2), of(1, 2, 103), nil, false},
		{"all, since it is another etcd", of(1), of(2), nil, false},
	} {
		r, etcd := sharing(t, "a", NewTurns(1)), &membership{members: c.before}
		client := &clientv3.Client{Cluster: etcd, Maintenance: etcd}
		if err := r.agree(t.Context(), client); err != nil || r.doubtful.Load() {
			t.Errorf("%s: at first: %v", c.why, err)
		}
		for i, id := range c.read {
			if r.members.answers(id); i == 0 {
				r.members.anew(r.members.asked())
			}
		}
		etcd.members = c.after
		if err := r.agree(t.Context(), client); errors.Is(err, errReplaced) != c.taken || r.doubtful.Load() != c.taken || !c.taken && err != nil {
			t.Errorf("%s: %v", c.why, err)
		}
		if err := r.agree(t.Context(), client); err != nil {
			t.Errorf("%s: afterwards: %v", c.why, err)
		}
	}
}

// reader is an etcd that is at a revision, and tells nothing of its past.
type reader struct {
	clientv3.KV
	revision int64
}

func (r reader) Get(context.Context, string, ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return &clientv3.GetResponse{Header: &etcdserverpb.ResponseHeader{Revision: r.revision}}, nil
}

// An etcd that has lost what no store took has lost data all the same, for as long as the
// recorder holds that; but no backup has more, so that none is compared, and put back.
func TestLossOfWhatNoStoreTook(t *testing.T) {
	r, etcd := sharing(t, "a", NewTurns(1)), &membership{}
	r.outbox.begin(50)
	r.looked, r.outbox.seen = true, 90
	r.recorded.Store(50)
	for range 2 {
		err := r.findStart(t.Context(), &clientv3.Client{Cluster: etcd, Maintenance: etcd, KV: reader{revision: 60}})
		state := r.State()
		if !errors.Is(err, ErrLost) || !state.RolledBack || state.Rollback == nil || state.Rollback.Restorable() || state.Rollback.Recorded != 90 {
			t.Errorf("%v: %+v", err, state.Rollback)
		}
	}
}

// What is said of an etcd that went back is what becomes of it: of several members nothing is
// put back by itself, and whoever has to choose is told where it says how.
func TestWhatIsSaidOfARollback(t *testing.T) {
	for _, c := range []struct {
		why        string
		found      Rollback
		says, omit string
	}{
		{"a lone one that nobody counts on", Rollback{Revision: 60, Recorded: 90, Shared: 50}, "may be put back", "chooses"},
		{"three of those", Rollback{Revision: 60, Recorded: 90, Shared: 50, Several: true}, `the operator chooses (the guide, "Backups"`, "may be put back"},
		{"one that somebody counts on", Rollback{Revision: 60, Recorded: 90, Shared: 50, Written: 2}, `the operator chooses (the guide, "Backups"`, "may be put back"},
		{"three of those, too", Rollback{Revision: 60, Recorded: 90, Shared: 50, Written: 2, Several: true}, "2 at least", "may be put back"},
		{"one that tells nothing of its past", Rollback{Revision: 60, Recorded: 90}, `the operator chooses (the guide, "Backups"`, "may be put back"},
	} {
		if said := c.found.String(); !strings.Contains(said, c.says) || strings.Contains(said, c.omit) {
			t.Errorf("%s: %q", c.why, said)
		}
	}
	r, etcd := sharing(t, "a", NewTurns(1)), &membership{members: []*etcdserverpb.Member{{ID: 1}, {ID: 2}, {ID: 3}}}
	client := &clientv3.Client{Cluster: etcd, Maintenance: etcd, KV: reader{revision: 60}}
	if err := r.agree(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	r.recorded.Store(50)
	if err := r.behind(t.Context(), client, 60, 90); !errors.Is(err, ErrLost) {
		t.Fatal(err)
	}
	if found := r.State().Rollback; found == nil || !found.Several {
		t.Errorf("of three members: %+v", found)
	}
}

// A recorder that begins while the store is away that has the last of what was recorded knows how
// far that went; where all stores were emptied nothing is left to be continued.
func TestHowFarItWasRecordedIsKnown(t *testing.T) {
	for why, c := range map[string]struct{ emptied, lost bool }{"a store is away": {false, true}, "the stores are empty": {true, false}} {
		dir := "file://" + t.TempDir()
		stores := []string{dir, "file:///nowhere/to/be/found"}
		if c.emptied {
			stores = stores[:1]
		} else {
			putSealed(t, dir, fullObject(50, time.Now()), drawn(t))
		}
		r := NewRecorder(Config{ClusterID: "a", Stores: stores, Key: drawn(t), Log: slog.New(slog.DiscardHandler), RolledBack: true, Doubtful: true, Recorded: 90})
		etcd := &membership{}
		err := r.findStart(t.Context(), &clientv3.Client{Cluster: etcd, Maintenance: etcd, KV: reader{revision: 60}})
		if errors.Is(err, ErrLost) != c.lost || r.rolledBack.Load() != c.lost {
			t.Errorf("%s: %v", why, err)
		}
	}
}

// A snapshot is of the member that answered when it was asked for, though another one answers
// when a store has it.
func TestWhomASnapshotComesFrom(t *testing.T) {
	var m members
	m.take(map[uint64]bool{1: true, 2: true, 3: true})
	m.answers(1)
	m.answers(2)
	asked := m.asked()
	m.answers(3)
	m.anew(asked)
	if m.take(map[uint64]bool{2: true, 3: true}) {
		t.Error("one counts that answered before")
	}
	if !m.take(map[uint64]bool{3: true}) {
		t.Error("the one that it comes from does not count")
	}
}
