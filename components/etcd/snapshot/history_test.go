package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/encoding/protodelim"
)

// past is what was recorded of an etcd, and its data directory when it had stopped.
type past struct {
	dir    string
	events []*mvccpb.Event
	// early and late are snapshots at revisions in between.
	early, late     []byte
	earlyAt, lateAt int64
	// end is what it held when it stopped.
	end content
	// at is what it held at other revisions that tests recover to.
	at map[int64]content
	// secret is in keys and values, and must not be in anything that is said.
	secret string
}

// writer writes to an etcd.
type writer struct {
	t      *testing.T
	client *clientv3.Client
}

func (w writer) do(ops ...clientv3.Op) int64 {
	w.t.Helper()
	done, err := w.client.Txn(w.t.Context()).Then(ops...).Commit()
	if err != nil {
		w.t.Fatal(err)
	}
	return done.Header.Revision
}

func (w writer) lease(seconds int64) clientv3.LeaseID {
	w.t.Helper()
	granted, err := w.client.Grant(w.t.Context(), seconds)
	if err != nil {
		w.t.Fatal(err)
	}
	return granted.ID
}

func (w writer) snapshot() []byte {
	w.t.Helper()
	stream, err := w.client.Snapshot(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	defer stream.Close()
	text, err := io.ReadAll(stream)
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// record makes a history with all that a history may have.
func record(t *testing.T) *past {
	t.Helper()
	p := &past{dir: filepath.Join(t.TempDir(), "data"), at: map[int64]content{}, secret: "known-to-nobody"}
	_, client, stop := startEtcd(t, p.dir)
	w := writer{t, client}
	key := func(format string, args ...any) string {
		return "/registry/" + p.secret + "/" + fmt.Sprintf(format, args...)
	}
	value := strings.Repeat(p.secret, 60)
	noise := rand.NewChaCha8([32]byte{1})
	for i := range 40 {
		var ops []clientv3.Op
		for j := range 50 {
			ops = append(ops, clientv3.OpPut(key("bulk/%d-%d", i, j), value))
		}
		w.do(ops...)
	}
	old := w.lease(2)
	alive, err := client.KeepAlive(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for range alive {
		}
	}()
	w.do(clientv3.OpPut(key("leased/old"), value, clientv3.WithLease(old)))
	p.early, p.earlyAt = w.snapshot(), w.do(clientv3.OpGet("a"))

	for i := range 30 {
		w.do(clientv3.OpPut(key("counter"), fmt.Sprint(i)), clientv3.OpPut(key("both/%d", i), value), clientv3.OpDelete(key("bulk/1-%d", i)))
	}
	fresh := w.lease(600)
	w.do(clientv3.OpPut(key("leased/new"), value, clientv3.WithLease(fresh)))
	for i := range 3 {
		large := make([]byte, 1<<20)
		_, _ = noise.Read(large)
		w.do(clientv3.OpPut(key("large/%d", i), string(large)))
	}
	p.late, p.lateAt = w.snapshot(), w.do(clientv3.OpGet("a"))

	for i := range 40 {
		w.do(clientv3.OpPut(key("late/%d", i), value))
		w.do(clientv3.OpDelete(key("bulk/2-%d", i), clientv3.WithPrefix()))
		w.do(clientv3.OpPut(key("counter"), fmt.Sprint("late", i)))
	}
	w.do(clientv3.OpPut(key("leased/old-too"), value, clientv3.WithLease(old)))
	w.do(clientv3.OpDelete(key("late/7")))
	last := w.do(clientv3.OpPut(key("late/7"), "again"))
	w.watch(p, last)
	for _, revision := range []int64{p.earlyAt, p.lateAt, p.lateAt + 20, last} {
		if p.at[revision], err = readContent(t.Context(), client, revision, nil); err != nil {
			t.Fatal(err)
		}
	}
	p.end = p.at[last]
	stop()
	return p
}

// watch reads all events up to a revision.
func (w writer) watch(p *past, last int64) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	for answer := range w.client.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(1)) {
		for _, event := range answer.Events {
			p.events = append(p.events, (*mvccpb.Event)(event))
		}
		if n := len(p.events); n > 0 && p.events[n-1].Kv.ModRevision == last {
			return
		}
	}
	w.t.Fatal("the watch ended early")
}

// clone returns a copy of the data directory.
func (p *past) clone(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(dir, os.DirFS(p.dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// epoch is when the backups of tests begin.
var epoch = time.Date(2026, 11, 26, 7, 0, 0, 0, time.UTC)

// full is a full backup whose revision is known to be at least bound.
func full(bound int64) backup {
	at := epoch.Add(time.Duration(bound) * time.Second)
	return backup{Name: fmt.Sprintf("full-%s-%d.zst.age", at.Format("20060102T150405Z"), bound), Kind: kindFull, First: bound, Last: bound, Time: at}
}

func delta(first, last int64) backup {
	at := epoch.Add(time.Duration(last) * time.Second)
	return backup{Name: fmt.Sprintf("delta-%s-%d-%d.zst.age", at.Format("20060102T150405Z"), first, last), Kind: kindDelta, First: first, Last: last, Time: at}
}

// delta is the content of a delta.
func (p *past) delta(t *testing.T, first, last int64) []byte {
	t.Helper()
	var text bytes.Buffer
	for _, event := range p.events {
		if at := event.Kv.ModRevision; at < first || at > last {
			continue
		}
		if _, err := protodelim.MarshalTo(&text, event); err != nil {
			t.Fatal(err)
		}
	}
	return text.Bytes()
}

// deltas cuts the history into so many pieces from a revision on.
func (p *past) deltas(from int64, pieces int64) []backup {
	var found []backup
	size := (p.end.Revision-from)/pieces + 1
	for first := from; first <= p.end.Revision; first += size {
		found = append(found, delta(first, min(first+size-1, p.end.Revision)))
	}
	return slices.Clip(found)
}
