package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"filippo.io/age"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"
)

// landmark is what was written at a revision, as a hash; none if it is zero.
type landmark struct {
	revision int64
	print    uint64
}

// lastOf is the landmark at the end of events, all of a revision among them; another if there
// are none.
func lastOf(events []*clientv3.Event, another landmark) landmark {
	if len(events) == 0 {
		return another
	}
	last, all := events[len(events)-1].Kv.ModRevision, prints{}
	for _, event := range events {
		if event.Kv.ModRevision == last {
			all.add(event)
		}
	}
	return landmark{last, all[last]}
}

// lastIn is the last landmark that stores have in a span; none if none can be read.
func (r *Recorder) lastIn(ctx context.Context, lists []listing, in span) landmark {
	identity, err := parseKey(r.Key)
	if err != nil {
		return landmark{} // the public half opens nothing
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	found := landmark{}
	for i, l := range lists {
		if l.err != nil || l.foreign {
			continue
		}
		beyond := span{max(in.first, found.revision+1), in.last}
		if there := r.places[i].lastIn(ctx, r, l.objects, identity, beyond); there.revision > found.revision {
			found = there
		}
	}
	return found
}

func (p *place) lastIn(ctx context.Context, r *Recorder, objects []Object, identity age.Identity, in span) landmark {
	newest := Object{}
	for _, object := range objects {
		if object.Kind == KindDelta && object.Last >= in.first && object.Last <= in.last && object.Last > newest.Last {
			newest = object
		}
	}
	if newest.Last == 0 {
		return landmark{}
	}
	all, err := p.printed(ctx, newest.Name, identity)
	if err != nil {
		r.Log.Warn("delta cannot be compared with etcd", "cluster", r.ClusterID, "delta", newest.Name, "error", err)
		return landmark{}
	}
	if _, whole := all[newest.Last]; !whole {
		return landmark{}
	}
	return landmark{newest.Last, all[newest.Last]}
}

// sight is what an etcd shows at a landmark.
type sight int

const (
	// unseen: it has compacted that.
	unseen sight = iota
	asRecorded
	otherwise
)

// seenAt looks at what an etcd that has reached a landmark shows there.
func seenAt(ctx context.Context, client *clientv3.Client, l landmark) (sight, error) {
	found, err := landmarkAt(ctx, client, l.revision)
	switch {
	case err != nil:
		return unseen, err
	case found == l:
		return asRecorded, nil
	case found == landmark{}:
		return unseen, nil
	default:
		return otherwise, nil
	}
}

// landmarkAt is the landmark at a revision that etcd has reached; none if it has compacted that.
func landmarkAt(ctx context.Context, client *clientv3.Client, revision int64) (landmark, error) {
	held := prints{}
	err := past(ctx, client, span{revision, revision}, held.add)
	if errors.As(err, new(compacted)) {
		return landmark{}, nil
	}
	if err != nil {
		return landmark{}, err
	}
	// A compaction keeps not all of the revision up to which it goes.
	if from, err := oldest(ctx, client); err != nil || from > revision {
		return landmark{}, err
	}
	return landmark{revision, held[revision]}, nil
}

// era is which member of etcd answers, and since which election. A lone one that has begun again
// has been elected again.
type era struct{ member, term uint64 }

func eraOf(header *etcdserverpb.ResponseHeader) era {
	return era{header.GetMemberId(), header.GetRaftTerm()}
}

// sameHistory says whether etcd has still what was recorded last, where somebody else may answer
// than did, and which revision it is at. One that lost its last writes and has taken as many others
// shows by nothing else.
func (r *Recorder) sameHistory(ctx context.Context, client *clientv3.Client) (current int64, err error) {
	header, err := r.header(ctx, client)
	if err != nil {
		return 0, err
	}
	r.era, current = eraOf(header), header.Revision
	recorded := r.furthest()
	if r.last == (landmark{}) || current < recorded || r.rolledBack.Load() {
		return current, nil
	}
	said, err := seenAt(ctx, client, r.last)
	switch {
	case err != nil || said == asRecorded:
		return current, err
	case said == otherwise:
		return current, r.replaced(ctx, client, current, recorded)
	case r.disputed.at != r.last.revision:
		return current, nil
	case r.disputed.of == 1: // it has said so itself
		return current, r.lost(ctx, client, current, recorded)
	}
	r.OnDisputed(r.disputed.at)
	return current, r.anew()
}

// dispute is the revision of the last landmark where a majority of so many members was seen to
// hold something else, or the only one, and not all have said what they have.
type dispute struct {
	at int64
	of int
}

// anew has the next session begin another chain: what was recorded cannot be continued.
func (r *Recorder) anew() error {
	r.doubt()
	r.last, r.disputed = landmark{}, dispute{}
	return errAnew
}

// errAnew ends a session with an etcd that is recorded anew in the next one.
var errAnew = errors.New("what was recorded is of a member of etcd that held other data, or may be: the others are recorded anew")

// replaced finds out what it means that the member that answers shows something else than was
// recorded last, as behind does of one that has less.
func (r *Recorder) replaced(ctx context.Context, client *clientv3.Client, current, recorded int64) error {
	has, lacks, of, err := r.show(ctx)
	most := of/2 + 1
	if of == 1 || of > 1 && lacks >= most {
		r.disputed = dispute{r.last.revision, of}
	}
	switch {
	case has >= most:
		r.doubt()
		return fmt.Errorf("a member of etcd holds something else at revision %d than the majority: it is recorded anew from the others", r.last.revision)
	case lacks < most:
		return fmt.Errorf("a member of etcd holds something else at revision %d than was recorded; of the others no majority says what it has: %w", r.last.revision, cmp.Or(err, errors.New("they differ")))
	case has > 0 || r.doubtful.Load() && r.members.several():
		return r.anew()
	case lacks < of: // who is silent may be the odd one that was recorded
		return fmt.Errorf("a majority of the members of etcd holds something else at revision %d than was recorded; of the others none says what it has: %w", r.last.revision, cmp.Or(err, errors.New("they have compacted that")))
	}
	return r.lost(ctx, client, current, recorded)
}

// lost notes that etcd has gone beyond what was recorded, without some of that.
func (r *Recorder) lost(ctx context.Context, client *clientv3.Client, current, recorded int64) error {
	at := r.Now()
	found := r.judge(ctx, client, current, recorded)
	found.Time, found.Revision, found.Recorded, found.Several = at, current, recorded, r.members.several()
	err := fmt.Errorf("%w: at revision %d it has another write than was recorded, up to %d, and is at %d; %s", ErrLost, r.last.revision, recorded, current, &found)
	r.know(&found, err)
	return err
}

// show has every member of etcd show what it has at the last landmark, and returns of how many
// how many have what was recorded, and how many have not.
func (r *Recorder) show(ctx context.Context) (has, lacks, of int, err error) {
	if r.Members == nil {
		return 0, 1, 1, nil
	}
	urls, err := r.Members(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	sights, errs := make([]sight, len(urls)), make([]error, len(urls))
	var asking sync.WaitGroup
	for i, url := range urls {
		asking.Go(func() { sights[i], errs[i] = r.showMember(ctx, url) })
	}
	asking.Wait()
	for _, said := range sights {
		switch said {
		case asRecorded:
			has++
		case otherwise:
			lacks++
		}
	}
	return has, lacks, len(urls), errors.Join(errs...)
}

func (r *Recorder) showMember(ctx context.Context, url string) (said sight, err error) {
	err = r.member(url, func(client *clientv3.Client) error {
		header, err := currentHeader(ctx, client)
		if err != nil {
			return err
		}
		if header.Revision < r.last.revision {
			said = otherwise
			return nil
		}
		said, err = seenAt(ctx, client, r.last)
		return err
	})
	return said, err
}

// another looks who answers now, which may be another etcd than did, or one that has begun
// again with other data.
func (r *Recorder) another(ctx context.Context, client *clientv3.Client) error {
	if err := r.agree(ctx, client); err != nil {
		return err
	}
	if _, err := r.sameHistory(ctx, client); err != nil {
		return err
	}
	return r.tick(ctx, client)
}

// before looks who answers, if that may be another, before what it says is taken in.
func (r *Recorder) before(ctx context.Context, client *clientv3.Client, said clientv3.WatchResponse, gone, moved <-chan struct{}) error {
	another := r.strange(said)
	select {
	case <-gone:
		if another || answers(client) {
			return errLeaving
		}
		return nil
	case <-moved:
		another = true
	default:
	}
	if another {
		if err := r.another(ctx, client); err != nil {
			return err
		}
	}
	if len(said.Events) > 0 {
		r.heard = eraOf(said.Header)
	}
	return nil
}

// strange says whether what a watch has brought is of somebody who was not looked at.
func (r *Recorder) strange(said clientv3.WatchResponse) bool {
	if len(said.Events) == 0 {
		return false
	}
	by := eraOf(said.Header)
	return by != r.era && by != r.heard
}

// answers says whether requests are taken: what a watch has brought by then may be of another
// etcd than before.
func answers(client *clientv3.Client) bool {
	return client.ActiveConnection().GetState() == connectivity.Ready
}
