package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protodelim"
)

func TestChain(t *testing.T) {
	for _, c := range []struct {
		why      string
		list     []backup
		revision int64
		want     []backup
	}{
		{"nothing follows", nil, 10, nil},
		{"one after the other", []backup{delta(11, 20), delta(21, 30)}, 10, []backup{delta(11, 20), delta(21, 30)}},
		{"the snapshot lies within one", []backup{delta(5, 15), delta(16, 20)}, 10, []backup{delta(5, 15), delta(16, 20)}},
		{"what ends at the snapshot adds nothing", []backup{delta(5, 10), delta(11, 12)}, 10, []backup{delta(11, 12)}},
		{"a gap of one revision ends it", []backup{delta(11, 20), delta(22, 30)}, 10, []backup{delta(11, 20)}},
		{"a gap after the snapshot as well", []backup{delta(12, 20)}, 10, nil},
		{"fulls do not continue", []backup{full(11), delta(12, 20)}, 10, nil},
		{"the order of the list does not matter", []backup{delta(21, 30), delta(11, 20)}, 10, []backup{delta(11, 20), delta(21, 30)}},
		{"an overlap is passed over with the one that reaches further", []backup{delta(11, 20), delta(15, 18), delta(15, 30), delta(31, 40)}, 10, []backup{delta(11, 20), delta(15, 30), delta(31, 40)}},
		{"one that covers another replaces it", []backup{delta(11, 14), delta(11, 30)}, 10, []backup{delta(11, 30)}},
		{"the revisions jump where etcd was restored", []backup{delta(11, 20), delta(1_000_000_022, 1_000_000_030)}, 10, []backup{delta(11, 20)}},
	} {
		if got := chain(c.list, c.revision); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.why, got, c.want)
		}
	}
}

func event(revision int64, key string) *mvccpb.Event {
	return &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: revision}}
}

func deltaFile(t *testing.T, cut int, events ...*mvccpb.Event) string {
	t.Helper()
	var text bytes.Buffer
	for _, e := range events {
		if _, err := protodelim.MarshalTo(&text, e); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "delta")
	if err := os.WriteFile(path, text.Bytes()[:text.Len()-cut], 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A delta is whole if it has all of its revisions: one that is missing would be a
// write that is lost without a word.
func TestCheckDelta(t *testing.T) {
	for _, c := range []struct {
		why    string
		cut    int
		events []*mvccpb.Event
		whole  bool
	}{
		{"all revisions, two events in one", 0, []*mvccpb.Event{event(5, "a"), event(6, "a"), event(6, "b"), event(7, "a")}, true},
		{"nothing at all", 0, nil, false},
		{"the first is missing", 0, []*mvccpb.Event{event(6, "a"), event(7, "a")}, false},
		{"one within is missing", 0, []*mvccpb.Event{event(5, "a"), event(7, "a")}, false},
		{"the last is missing", 0, []*mvccpb.Event{event(5, "a"), event(6, "a")}, false},
		{"more than it says", 0, []*mvccpb.Event{event(5, "a"), event(6, "a"), event(7, "a"), event(8, "a")}, false},
		{"what was before it", 0, []*mvccpb.Event{event(4, "a"), event(5, "a"), event(6, "a"), event(7, "a")}, false},
		{"not in order", 0, []*mvccpb.Event{event(5, "a"), event(7, "a"), event(6, "a"), event(7, "a")}, false},
		{"cut off within an event", 2, []*mvccpb.Event{event(5, "a"), event(6, "a"), event(7, "a")}, false},
		{"no key and value", 0, []*mvccpb.Event{event(5, "a"), {}, event(6, "a"), event(7, "a")}, false},
	} {
		err := checkDelta(deltaFile(t, c.cut, c.events...), delta(5, 7))
		if (err == nil) != c.whole || err != nil && !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", c.why, err)
		}
	}
}

// Of each key the last event counts, in the order of revisions, and none that the
// snapshot or a delta before has.
func TestLatest(t *testing.T) {
	h := history{after: 5, paths: []string{
		deltaFile(t, 0, event(5, "old"), event(6, "a"), event(6, "b"), event(7, "a")),
		deltaFile(t, 0, event(6, "a"), event(7, "a"), event(8, "c"), event(9, "b")),
	}}
	var got []string
	err := h.latest(func(e *mvccpb.Event) error {
		got = append(got, string(e.Kv.Key)+"@"+string(rune('0'+e.Kv.ModRevision)))
		return nil
	})
	if want := []string{"a@7", "c@8", "b@9"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v (%v), want %v", got, err, want)
	}
}
