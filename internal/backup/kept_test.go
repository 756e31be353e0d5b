package backup

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Of what etcd has gone on to since it was recorded no more is kept than is compared, and what it
// had last.
func TestNoMoreIsKeptThanIsCompared(t *testing.T) {
	held, last := prints{}, prints{}
	tell := keep(held, 5, last, 9)
	for revision := int64(2); revision <= 9; revision++ {
		tell(&clientv3.Event{Kv: &mvccpb.KeyValue{Key: []byte("a"), ModRevision: revision}})
	}
	if len(held) != 4 || held[5] == 0 || len(last) != 1 || last[9] == 0 {
		t.Errorf("it keeps %v, and %v of the last", held, last)
	}
}

// Where the stores end early it is said up to where they reach.
func TestHowFarTheStoresReachIsSaid(t *testing.T) {
	for why, c := range map[string]struct {
		stored []int64
		says   string
	}{"they end early": {[]int64{2, 3, 4}, "up to revision 4 only"}, "they have nothing": {nil, "do not have every write"}} {
		r, held := sharing(t, "a", NewTurns(1)), prints{}
		for revision := int64(2); revision <= 9; revision++ {
			held.add(&clientv3.Event{Kv: &mvccpb.KeyValue{Key: []byte("a"), ModRevision: revision}})
		}
		for _, revision := range c.stored {
			r.outbox.add([]*clientv3.Event{{Kv: &mvccpb.KeyValue{Key: []byte("a"), ModRevision: revision}}}, time.Now())
		}
		if err := r.compare(t.Context(), held, span{2, 9}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

// The last delta is read in one of the stores that have it.
func TestLastDeltaIsReadOnce(t *testing.T) {
	key, dir, said := drawn(t), "file://"+t.TempDir(), &bytes.Buffer{}
	events := []*clientv3.Event{{Kv: &mvccpb.KeyValue{Key: []byte("a"), ModRevision: 8}}}
	sealed, err := sealEvents(events, key)
	if err != nil {
		t.Fatal(err)
	}
	store, err := OpenStore(t.Context(), dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	delta := deltaObject(8, 8, time.Now())
	if err := store.put(t.Context(), delta.Name, bytes.NewReader(sealed)); err != nil {
		t.Fatal(err)
	}
	r := NewRecorder(Config{ClusterID: "a", Stores: []string{dir, "file:///nowhere/to/be/found"}, Key: key, Log: slog.New(slog.NewTextHandler(said, nil))})
	t.Cleanup(r.closeStores)
	lists := []listing{{objects: []Object{delta}}, {objects: []Object{delta}}}
	if got := r.lastIn(t.Context(), lists, span{8, 8}); got != lastOf(events, landmark{}) || said.Len() > 0 {
		t.Errorf("%v; %s", got, said)
	}
}
