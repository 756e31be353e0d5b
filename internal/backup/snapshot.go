package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"filippo.io/age"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// What an etcd of Berth's has for its clients (components/etcd/server).
const (
	snapshotPath   = "/berth/snapshot"
	memberHeader   = "Berth-Member"
	revisionHeader = "Berth-Revision"
	// beginTimeout bounds how long it takes to begin: etcd writes out what it has in memory.
	beginTimeout = 30 * time.Second
)

// readInto writes a snapshot sealed that has at least reached a revision, as etcd sends it.
func (r *Recorder) readInto(ctx context.Context, client *clientv3.Client, revision int64, to io.Writer) error {
	recipient, err := recipientOf(r.Key)
	if err != nil {
		return err
	}
	// A member that says nothing any more may be another one than the one that is watched.
	reading, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	body, err := r.direct(reading, revision)
	if err != nil {
		r.Log.Info("etcd is read over gRPC", "cluster", r.ClusterID, "reason", err)
		return readStream(ctx, client, to, recipient)
	}
	defer body.Close()
	dog := newWatchdog(askTimeout, func() { giveUp(errStalls) })
	defer dog.goesOn()
	err = seal(to, &paced{ctx: ctx, from: &watched{from: body, dog: dog}}, recipient)
	if err != nil && errors.Is(context.Cause(reading), errStalls) {
		return errStalls
	}
	return err
}

// errStalls says why a snapshot was given up.
var errStalls = errors.New("etcd began to give a snapshot, and then nothing of it any more")

// readStream reads it by etcd's own Maintenance.Snapshot, which any etcd has.
func readStream(ctx context.Context, client *clientv3.Client, to io.Writer, recipient age.Recipient) error {
	stream, err := client.SnapshotWithVersion(ctx)
	if err != nil {
		return fmt.Errorf("ask etcd for a snapshot: %w", err)
	}
	defer stream.Snapshot.Close()
	sum := &trailing{hash: sha256.New()}
	if err := seal(to, io.TeeReader(&paced{ctx: ctx, from: stream.Snapshot}, sum), recipient); err != nil {
		return err
	}
	return sum.verify()
}

// direct begins to read it from a member at less than half of what it costs both sides over
// gRPC. It fails where that member has not reached the revision, or has it in no such way.
func (r *Recorder) direct(ctx context.Context, revision int64) (io.ReadCloser, error) {
	if len(r.way.Endpoints) == 0 {
		return nil, errors.New("etcd has no address")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.way.Endpoints[0]+snapshotPath, nil)
	if err != nil {
		return nil, errors.New("etcd's address is no URL")
	}
	answer, err := (&http.Client{Transport: r.transport()}).Do(request)
	if err != nil {
		return nil, err
	}
	if err := r.begun(answer, revision); err != nil {
		_ = answer.Body.Close()
		return nil, err
	}
	return answer.Body, nil
}

// transport serves one request: a connection that stays open would keep an etcd from ending.
func (r *Recorder) transport() *http.Transport {
	dialer := &net.Dialer{Timeout: r.way.DialTimeout}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			connection, err := dialer.DialContext(ctx, network, address)
			if tcp, ok := connection.(*net.TCPConn); ok {
				_ = tcp.SetReadBuffer(ahead) // etcd is to be paced as what reads it is
			}
			return connection, err
		},
		TLSClientConfig: r.way.TLS.Clone(), TLSHandshakeTimeout: r.way.DialTimeout, ResponseHeaderTimeout: beginTimeout,
		DisableKeepAlives: true, DisableCompression: true, ReadBufferSize: 64 << 10,
	}
}

// begun looks at how an answer begins, and notes whose it is.
func (r *Recorder) begun(answer *http.Response, revision int64) error {
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd answers %s", answer.Status)
	}
	member, err := strconv.ParseUint(answer.Header.Get(memberHeader), 16, 64)
	if err != nil {
		return errors.New("etcd does not say which member answers")
	}
	reached, err := strconv.ParseInt(answer.Header.Get(revisionHeader), 10, 64)
	if answer.ContentLength < 0 {
		return errors.New("etcd does not say how long its database is")
	}
	if answer.ContentLength == 0 || answer.ContentLength%sector != 0 {
		return fmt.Errorf("etcd's answer has %d bytes, which no database has", answer.ContentLength)
	}
	if err != nil || reached < revision {
		return fmt.Errorf("member %x is at revision %d, before %d", member, reached, revision)
	}
	if !r.members.has(member) {
		return fmt.Errorf("member %x is none that is counted on", member)
	}
	r.members.answers(member)
	return nil
}
