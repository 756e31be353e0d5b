package backup

import (
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// What an etcd that ends has said while a slow store was waited for is taken in: etcd may not be
// there to say it again.
func TestAnEtcdThatEndsIsHeardOut(t *testing.T) {
	watch := make(chan clientv3.WatchResponse, 2)
	for _, revision := range []int64{7, 8} {
		watch <- clientv3.WatchResponse{Events: []*clientv3.Event{{Kv: &mvccpb.KeyValue{Key: []byte("a"), ModRevision: revision}}}}
	}
	r := NewRecorder(Config{})
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
