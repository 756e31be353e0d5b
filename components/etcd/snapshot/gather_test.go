package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protodelim"
)

// Deltas are asked for some at a time, and are in order however they come. One that is
// refused ends it, and is no damage.
func TestDeltasAtOnce(t *testing.T) {
	var list []backup
	for revision := range int64(10) {
		list = append(list, delta(2*revision+1, 2*revision+2))
	}
	asked, enough := &atomic.Int64{}, make(chan struct{})
	refused := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == deltasAtOnce {
			close(enough)
		}
		select {
		case <-enough:
		case <-time.After(time.Minute):
			t.Error("deltas are asked for one after the other")
		}
		if path.Base(r.URL.Path) == refused {
			http.Error(w, "as the test wants", http.StatusForbidden)
			return
		}
		at := slices.IndexFunc(list, func(b backup) bool { return b.Name == path.Base(r.URL.Path) })
		var text bytes.Buffer
		for revision := list[at].First; revision <= list[at].Last; revision++ {
			_, _ = protodelim.MarshalTo(&text, &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte("a"), ModRevision: revision}})
		}
		_, _ = w.Write(text.Bytes())
	}))
	defer server.Close()
	g := &gathering{source: &source{address: server.URL, client: server.Client()}, dir: t.TempDir()}
	got, err := g.continued(t.Context(), list, recording{})
	if err != nil || len(got.paths) != len(list) || got.reached() != 20 || len(g.damaged) > 0 {
		t.Fatalf("%+v, damaged %v, error %v", got, g.damaged, err)
	}
	for i, file := range got.paths {
		if err := checkDelta(file, list[i]); err != nil {
			t.Errorf("delta %d: %v", i, err)
		}
	}
	refused = list[4].Name
	if _, err := g.continued(t.Context(), list, recording{}); err == nil || useless(err) || errors.Is(err, errDamaged) || len(g.damaged) > 0 {
		t.Errorf("of a refusal: %v, damaged %v", err, fmt.Sprint(g.damaged))
	}
}
