package backup

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// Until a snapshot is made under the key that there is, a recorder says that the key of
// those in the store is lost, and does not go on where they end. Nothing is stored that
// could be given back; how far the other history came is known all the same.
func TestLookAtBackupsOfAnotherKey(t *testing.T) {
	mine, other := drawn(t), drawn(t)
	for why, c := range map[string]struct {
		full, delta string // the keys that these are sealed with
		lost        bool
	}{
		"its own":                        {mine, mine, false},
		"another's":                      {other, other, true},
		"another's, with deltas of mine": {other, mine, true},
	} {
		root := t.TempDir()
		address := "file://" + root
		noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
		putSealed(t, address, fullObject(7, noon), c.full)
		putSealed(t, address, deltaObject(8, 9, noon.Add(time.Minute)), c.delta)
		r := NewRecorder(Config{ClusterID: "a", Stores: []string{address}, Key: mine, Log: slog.New(slog.DiscardHandler), Schedule: Schedule{Full: time.Hour, Delta: time.Minute}})
		if r.look(t.Context()) {
			t.Errorf("%s: it says that there is nothing", why)
		}
		state := r.State()
		_, flushed := r.outbox.reach()
		if state.KeyLost != c.lost || state.RecoveryPoint.IsZero() != c.lost || (state.Full == nil) != c.lost || (flushed == 0) != c.lost {
			t.Errorf("%s: state %+v, goes on after %d", why, state, flushed)
		}
		if due := r.places[0].due(noon.Add(2*time.Minute), r.Schedule); due != c.lost {
			t.Errorf("%s: a snapshot is due: %t", why, due)
		}
		if got := r.recorded.Load(); got != 9 {
			t.Errorf("%s: %d counts as recorded", why, got)
		}
	}
}

func drawn(t *testing.T) string {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// putSealed stores an object of cluster a.
func putSealed(t *testing.T, address string, object Object, key string) {
	t.Helper()
	recipient, err := recipientOf(key)
	if err != nil {
		t.Fatal(err)
	}
	var sealed bytes.Buffer
	if err := seal(&sealed, strings.NewReader("content"), recipient); err != nil {
		t.Fatal(err)
	}
	store, err := OpenStore(t.Context(), address, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.put(t.Context(), object.Name, &sealed); err != nil {
		t.Fatal(err)
	}
}
