package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// lookForAlarms asks etcd which alarms it has raised. One that does not say keeps those that
// are known.
func (r *Recorder) lookForAlarms(ctx context.Context, client *clientv3.Client) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	response, err := client.AlarmList(ctx)
	if err != nil {
		r.Log.Warn("alarms of etcd cannot be read", "cluster", r.ClusterID, "error", err)
		return
	}
	var alarms []string
	for _, alarm := range response.Alarms {
		alarms = append(alarms, alarm.Alarm.String())
	}
	slices.Sort(alarms)
	alarms = slices.Compact(alarms) // each member raises its own
	r.mu.Lock()
	changed := !slices.Equal(r.state.Alarms, alarms)
	r.state.Alarms = alarms
	r.mu.Unlock()
	if changed {
		r.OnChange()
	}
}

// errApart says that members of etcd hold different data: what is read may be one's that
// nobody counts on.
var errApart = errors.New("members of etcd hold different data (CORRUPT): it is recorded anew when they agree again")

// errReplaced ends a session with an etcd one of whose members was taken out.
var errReplaced = errors.New("a member of etcd was taken out: it is recorded anew, since that one may have been read")

// agree looks whether the members of etcd hold the same, as far as etcd knows, and whether
// they are the same members. If not, what was recorded is in doubt: it may be of the one that
// held other data, which is taken out within seconds.
func (r *Recorder) agree(ctx context.Context, client *clientv3.Client) error {
	if r.lookForAlarms(ctx, client); r.alarmed(etcdserverpb.AlarmType_CORRUPT) {
		r.doubt()
		return errApart
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	list, err := client.MemberList(ctx)
	if err != nil {
		return fmt.Errorf("list the members of etcd: %w", err)
	}
	voters := map[uint64]bool{}
	for _, m := range list.Members {
		if !m.IsLearner {
			voters[m.ID] = true
		}
	}
	if r.members.take(voters) {
		r.doubt()
		return errReplaced
	}
	return nil
}

// members are those of an etcd, and those of them that were read.
type members struct {
	mu     sync.Mutex
	voters map[uint64]bool
	// read are those that the newest snapshot and what was recorded since come from. All may
	// be while it is nil. order has who answered one after the other.
	read  map[uint64]bool
	order []uint64
}

// take notes who the members are, and says whether one was taken out that was read. Where
// none stayed it is another etcd.
func (m *members) take(voters map[uint64]bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	stayed, taken := false, false
	for id := range m.voters {
		stayed = stayed || voters[id]
		taken = taken || !voters[id] && (m.read == nil || m.read[id])
	}
	m.voters = voters
	return stayed && taken
}

// answers notes which member answers.
func (m *members) answers(id uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.order); n == 0 || m.order[n-1] != id {
		m.order = append(m.order, id)
	}
	if m.read != nil {
		m.read[id] = true
	}
}

// asked says since when those count whom a snapshot comes from that is asked for now.
func (m *members) asked() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return max(len(m.order)-1, 0)
}

// anew notes that a snapshot begins another chain, which was asked for then.
func (m *members) anew(asked int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read = map[uint64]bool{}
	for _, id := range m.order[min(asked, len(m.order)):] {
		m.read[id] = true
	}
}

// has says whether a member is one of them, as far as is known.
func (m *members) has(id uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.voters[id]
}

// several says whether there is more than one.
func (m *members) several() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.voters) > 1
}

// revision asks etcd how far it is.
func (r *Recorder) revision(ctx context.Context, client *clientv3.Client) (int64, error) {
	header, err := r.header(ctx, client)
	return header.GetRevision(), err
}

func (r *Recorder) header(ctx context.Context, client *clientv3.Client) (*etcdserverpb.ResponseHeader, error) {
	header, err := currentHeader(ctx, client)
	if err == nil {
		r.members.answers(header.MemberId)
	}
	return header, err
}

func (r *Recorder) alarmed(alarm etcdserverpb.AlarmType) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.state.Alarms, alarm.String())
}

// doubt notes that what was recorded may be of a member that held other data. A snapshot of
// what the members hold begins the next chain.
func (r *Recorder) doubt() {
	r.renewed.Store(0)
	if !r.doubtful.Swap(true) {
		r.OnChange()
	}
}

// word is what a majority of the members of etcd says to whether it has what was recorded.
type word int

const (
	// unclear: those that answer are no majority of one mind.
	unclear word = iota
	has
	lacks
	// mostLack: a majority has less, and another has it, or does not answer.
	mostLack
)

// wordOf is that of members at these revisions, zero where one does not answer.
func wordOf(revisions []int64, recorded int64) word {
	yes, no := 0, 0
	for _, revision := range revisions {
		switch {
		case revision >= recorded:
			yes++
		case revision > 0:
			no++
		}
	}
	switch most := len(revisions)/2 + 1; {
	case yes >= most:
		return has
	case no >= most && no == len(revisions):
		return lacks
	case no >= most:
		return mostLack
	default:
		return unclear
	}
}

// ask has every member of etcd say whether it has what was recorded: one that differs from
// the others answers for itself alone, whatever a linearizable read promises.
func (r *Recorder) ask(ctx context.Context, current, recorded int64) (word, error) {
	if r.Members == nil {
		return wordOf([]int64{current}, recorded), nil
	}
	urls, err := r.Members(ctx)
	if err != nil {
		return unclear, err
	}
	revisions, errs := make([]int64, len(urls)), make([]error, len(urls))
	var asking sync.WaitGroup
	for i, url := range urls {
		asking.Go(func() { revisions[i], errs[i] = r.askMember(ctx, url) })
	}
	asking.Wait()
	return wordOf(revisions, recorded), errors.Join(errs...)
}

func (r *Recorder) askMember(ctx context.Context, url string) (revision int64, err error) {
	err = r.member(url, func(client *clientv3.Client) error {
		header, err := currentHeader(ctx, client)
		if err == nil {
			revision = header.Revision
		}
		return err
	})
	return revision, err
}

// member asks one of etcd's members alone.
func (r *Recorder) member(url string, ask func(*clientv3.Client) error) error {
	way := r.way
	way.Endpoints = []string{url}
	client, err := clientv3.New(way)
	if err != nil {
		return fmt.Errorf("dial a member of etcd: %w", err)
	}
	defer func() { _ = client.Close() }()
	return ask(client)
}
