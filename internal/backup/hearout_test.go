package backup

import (
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
