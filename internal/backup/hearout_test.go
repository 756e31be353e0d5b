package backup

import (
	"context"
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// What an etcd that ends has said while a slow store was waited for is taken in: etcd may not be
// there to say it again.
func TestAnEtcdThatEndsIsHeardOut(t *testing.T) {
	watch := make(chan clientv3.WatchResponse, 3)
	says := func(revision int64, term uint64) {
		watch <- clientv3.WatchResponse{
			Header: &etcdserverpb.ResponseHeader{MemberId: 1, RaftTerm: term},
			Events: []*clientv3.Event{{Kv: &mvccpb.KeyValue{Key: []byte("a"), ModRevision: revision}}},
		}
	}
	says(7, 2)
	says(8, 2)
	says(9, 3) // it has begun again, perhaps with other data
	r := NewRecorder(Config{})
	r.era = era{1, 2}
	if err := r.hearOut(watch); !errors.Is(err, errLeaving) {
		t.Error(err)
	}
	if seen, _ := r.outbox.reach(); seen != 8 || len(r.outbox.unwritten()) != 2 || r.last.revision != 8 {
		t.Errorf("it has heard up to %d, %v", seen, r.outbox.unwritten())
	}
	close(watch)
	if err := r.hearOut(watch); err == nil || errors.Is(err, errLeaving) {
		t.Errorf("the watch has ended: %v", err)
	}
}

// What was said before an election may come after it was looked who answers since: it is heard out,
// too.
func TestWhatWasSaidBeforeAnElectionIsHeardOut(t *testing.T) {
	watch := make(chan clientv3.WatchResponse, 4)
	for i, term := range []uint64{2, 2, 3, 4} {
		watch <- saidIn(term, int64(7+i))
	}
	r := NewRecorder(Config{})
	r.era, r.heard = era{1, 3}, era{1, 2}
	if err := r.hearOut(watch); !errors.Is(err, errLeaving) {
		t.Error(err)
	}
	if seen, _ := r.outbox.reach(); seen != 9 {
		t.Errorf("it has heard up to %d", seen)
	}
}

// saidIn is what a watch brings of a member in a term.
func saidIn(term uint64, revision int64) clientv3.WatchResponse {
	return clientv3.WatchResponse{
		Header: &etcdserverpb.ResponseHeader{MemberId: 1, RaftTerm: term},
		Events: []*clientv3.Event{{Kv: &mvccpb.KeyValue{Key: []byte("a"), ModRevision: revision}}},
	}
}

// elected is an etcd that counts how often it is asked for its revision.
type elected struct {
	clientv3.KV
	term  uint64
	asked int
}

func (e *elected) Get(context.Context, string, ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	e.asked++
	return &clientv3.GetResponse{Header: &etcdserverpb.ResponseHeader{MemberId: 1, RaftTerm: e.term, Revision: 9}}, nil
}

// An election has it looked once who answers, whatever the watch has still to bring of before.
func TestAnElectionIsLookedAtOnce(t *testing.T) {
	r, etcd, kv := sharing(t, "a", NewTurns(1)), &membership{}, &elected{term: 2}
	client := &clientv3.Client{Cluster: etcd, Maintenance: etcd, KV: kv}
	gone, moved := make(chan struct{}), make(chan struct{}, 1)
	says := func(term uint64) (looked bool) {
		t.Helper()
		before := kv.asked
		if err := r.before(t.Context(), client, saidIn(term, 9), gone, moved); err != nil {
			t.Fatal(err)
		}
		return kv.asked > before
	}
	r.outbox.begin(9)
	r.era = era{1, 2}
	if says(2) {
		t.Error("nobody else answers")
	}
	kv.term = 3
	moved <- struct{}{}
	if !says(2) {
		t.Error("somebody else may answer")
	}
	for _, term := range []uint64{2, 2, 3, 3} {
		if says(term) {
			t.Errorf("what was said in term %d is looked at again", term)
		}
	}
	if kv.term = 4; !says(4) {
		t.Error("another election")
	}
}
