package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.uber.org/zap"
)

const (
	// snapshotPath is where a member gives what it holds, on the addresses that it has for its
	// clients, to whom it would give it by Maintenance.Snapshot as well.
	snapshotPath = "/berth/snapshot"
	// memberHeader says which member it is (hexadecimal), and revisionHeader a revision that is
	// in it.
	memberHeader, revisionHeader = "Berth-Member", "Berth-Revision"
	// readPatience is how long a reader may take nothing. etcd keeps all that a snapshot shows
	// for as long as it is read, and a reader that has vanished does not say so.
	readPatience = time.Minute
)

// snapshots gives a member's database as etcd's Maintenance.Snapshot does, without the hash at
// its end. That costs etcd a quarter of the time: there are no messages of 32 KiB to be put
// together, copied and cut into frames.
type snapshots struct {
	of       atomic.Pointer[etcdserver.EtcdServer]
	patience time.Duration
	// ending is done when etcd is told to end: nobody is read to the end then.
	ending context.Context
}

// ServeHTTP answers GET. 403: etcd asks its clients for passwords, which are not looked at
// here; 503: it has not started.
func (s *snapshots) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	server := s.of.Load()
	switch {
	case r.Method != http.MethodGet:
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	case server == nil:
		http.Error(w, "etcd has not started", http.StatusServiceUnavailable)
		return
	case server.AuthStore().IsAuthEnabled():
		http.Error(w, "etcd asks for passwords: use Maintenance.Snapshot", http.StatusForbidden)
		return
	}
	revision := server.KV().Rev() // before: the snapshot has at least that
	snapshot := server.Backend().Snapshot()
	defer snapshot.Close()
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Length", strconv.FormatInt(snapshot.Size(), 10))
	header.Set(memberHeader, fmt.Sprintf("%x", uint64(server.MemberID())))
	header.Set(revisionHeader, strconv.FormatInt(revision, 10))
	server.Logger().Info("gives its database", zap.Int64("total-bytes", snapshot.Size()), zap.String("remote", r.RemoteAddr))
	to := patient{w, http.NewResponseController(w), s.patience, s.ending}
	defer context.AfterFunc(s.ending, to.leave)()
	if _, err := snapshot.WriteTo(to); err != nil {
		panic(http.ErrAbortHandler) // whoever reads sees that the end is missing
	}
}

// patient waits so long for a reader that takes nothing, until etcd ends.
type patient struct {
	to       http.ResponseWriter
	way      *http.ResponseController
	patience time.Duration
	ending   context.Context
}

// Write implements io.Writer.
func (p patient) Write(b []byte) (int, error) {
	if err := p.way.SetWriteDeadline(time.Now().Add(p.patience)); err != nil {
		return 0, err
	}
	// After that: who leaves sets another one.
	if err := p.ending.Err(); err != nil {
		return 0, err
	}
	return p.to.Write(b)
}

// leave ends a write that is under way.
func (p patient) leave() { _ = p.way.SetWriteDeadline(time.Now()) }
