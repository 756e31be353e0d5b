package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// trial is a running etcd with a past, which goes on, and its backups.
type trial struct {
	*scene
	writer
	proving
}

// proof starts the etcd with a certificate of another authority than the source's.
func (p *past) proof(t *testing.T) *trial {
	t.Helper()
	s := p.stage(t)
	own, secure := newAuthority(t).files(t), freeURL(t)
	secure.Scheme = "https"
	_, client, _ := startEtcd(t, s.dir, func(config *embed.Config) {
		config.ListenClientUrls = append(config.ListenClientUrls, secure)
		config.ClientTLSInfo.CertFile, config.ClientTLSInfo.KeyFile = own.cert, own.key
		config.ClientTLSInfo.TrustedCAFile, config.ClientTLSInfo.ClientCertAuth = s.server.asking.cacert, true
	})
	return &trial{s, writer{t, client}, proving{
		asking: s.server.asking, live: secure.String(), liveAuthority: own.cacert, scratch: t.TempDir(), pause: time.Millisecond,
	}}
}

func (r *trial) prove() (proof, error) {
	t := r.writer.t
	t.Helper()
	var out bytes.Buffer
	err := r.proving.run(t.Context(), &out)
	if left := listed(t, r.scratch); len(left) > 0 {
		t.Errorf("plain data are left in scratch: %v", left)
	}
	if strings.Contains(out.String()+fmt.Sprint(err), r.past.secret) {
		t.Errorf("content is shown: %s %v", out.String(), err)
	}
	var said proof
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &said); err != nil {
			t.Fatal(err)
		}
	}
	return said, err
}

func TestProve(t *testing.T) {
	p := record(t)
	for name, test := range map[string]func(*testing.T, *past){
		"backups of what etcd holds":                       testEqual,
		"damage is not passed over":                        testDamaged,
		"a difference is found":                            testUnequal,
		"a revision is compacted":                          testCompacted,
		"an etcd that went back is no one to compare with": testFuture,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, p) })
	}
}

func testEqual(t *testing.T, p *past) {
	r := p.proof(t)
	newest := full(p.lateAt - 3)
	// Neither what is damaged, though what is left of it suffices, nor what ends before etcd
	// does is equal.
	for _, test := range []struct {
		why   string
		alter func()
		full  string
		equal bool
	}{
		{"whole", func() {}, newest.Name, true},
		{"a write that no backup has", func() { r.do(clientv3.OpPut("later", "1")) }, newest.Name, false},
		{"a damaged snapshot", func() { delete(r.server.contents, newest.Name) }, full(p.earlyAt).Name, false},
	} {
		test.alter()
		live, err := revisionOf(t.Context(), r.client)
		if err != nil {
			t.Fatal(err)
		}
		said, err := r.prove()
		if said.Equal != test.equal || errors.Is(err, errUnequal) == test.equal || said.Differing != nil || said.Snapshot != test.full || len(said.Damaged) > 0 != (test.full != newest.Name) || said.Live != live {
			t.Errorf("%s: %+v (%v)", test.why, said, err)
		}
		if (content{Revision: said.Revision, Keys: said.Keys, Hash: said.Hash}) != p.end || !said.Time.Equal(delta(p.end.Revision, p.end.Revision).Time) || said.Deltas == 0 {
			t.Errorf("%s: %+v, want %+v", test.why, said, p.end)
		}
	}
	if exitCode(errors.New("the source does not answer")) != 1 {
		t.Error("a proof that could not be made ends as one that failed")
	}
}

// Damage alone is enough.
func testDamaged(t *testing.T, p *past) {
	r := p.proof(t)
	delete(r.server.contents, full(p.lateAt-3).Name)
	if said, err := r.prove(); said.Equal || !errors.Is(err, errUnequal) || len(said.Damaged) == 0 || said.Revision != said.Live {
		t.Errorf("%+v (%v)", said, err)
	}
}

// What the backups have instead of what was written is counted and not shown.
func testUnequal(t *testing.T, p *past) {
	r := p.proof(t)
	last := p.deltas(p.earlyAt+1, 4)[3]
	forged := *p
	forged.events = nil
	for _, e := range p.events {
		e = &mvccpb.Event{Type: e.Type, Kv: &mvccpb.KeyValue{Key: e.Kv.Key, Value: e.Kv.Value, ModRevision: e.Kv.ModRevision}}
		switch at := e.Kv.ModRevision; {
		case at == p.end.Revision:
			e.Kv.Value = []byte("other")
		case at == p.end.Revision-2:
			e.Kv.Key = append([]byte("/x"), e.Kv.Key...)
		}
		forged.events = append(forged.events, e)
	}
	r.server.contents[last.Name] = forged.delta(t, last.First, last.Last)
	said, err := r.prove()
	if !errors.Is(err, errUnequal) || exitCode(err) != 2 {
		t.Errorf("%v is exit code %d", err, exitCode(err))
	}
	if said.Equal || said.Differing == nil || *said.Differing != (difference{Missing: 1, Extra: 1, Changed: 1}) || said.Hash != p.end.Hash {
		t.Errorf("%+v, differing %+v", said, said.Differing)
	}
}

// Newer backups are taken where the running etcd does not know the old revision any
// more.
func testCompacted(t *testing.T, p *past) {
	r := p.proof(t)
	var newer past
	watching := r.client.Watch(t.Context(), "", clientv3.WithPrefix(), clientv3.WithRev(p.end.Revision+1))
	for i := range 5 {
		newer.end.Revision = r.do(clientv3.OpPut("newer", fmt.Sprint(i)))
	}
	for len(newer.events) < 5 {
		for _, event := range (<-watching).Events {
			newer.events = append(newer.events, (*mvccpb.Event)(event))
		}
	}
	if _, err := r.client.Compact(t.Context(), newer.end.Revision); err != nil {
		t.Fatal(err)
	}
	if _, err := r.prove(); !errors.Is(err, rpctypes.ErrCompacted) {
		t.Errorf("without newer backups: %v", err)
	}
	lists := 0
	for _, name := range r.server.gotten() {
		if name == "" {
			lists++
		}
	}
	if lists != proofAttempts {
		t.Errorf("the backups were listed %d times, want %d", lists, proofAttempts)
	}
	r.server.next = func() {
		r.server.next = nil
		r.server.addDeltas(&newer, delta(p.end.Revision+1, newer.end.Revision))
	}
	said, err := r.prove()
	if err != nil || !said.Equal || said.Revision != newer.end.Revision || said.Keys != p.end.Keys+1 {
		t.Errorf("%+v (%v)", said, err)
	}
}

func testFuture(t *testing.T, p *past) {
	r := p.proof(t)
	ahead := past{}
	for at := p.end.Revision + 1; at < p.end.Revision+5; at++ {
		ahead.events = append(ahead.events, event(at, "a"))
	}
	r.server.addDeltas(&ahead, delta(p.end.Revision+1, p.end.Revision+4))
	if _, err := r.prove(); !errors.Is(err, rpctypes.ErrFutureRev) || exitCode(err) != 1 {
		t.Errorf("%v", err)
	}
}
