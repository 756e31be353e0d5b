package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// compacted says up to where etcd's past is gone.
type compacted int64

// Error implements error.
func (c compacted) Error() string { return fmt.Sprintf("etcd has compacted revision %d", int64(c)) }

// oldest is the first revision that etcd tells of.
func oldest(ctx context.Context, client *clientv3.Client) (int64, error) {
	gone := compacted(0)
	err := past(ctx, client, span{1, 1}, func(*clientv3.Event) {})
	if errors.As(err, &gone) {
		return int64(gone) + 1, nil
	}
	return 2, err // the first write of an etcd is revision 2
}

// pastAttempts is how many connections etcd's past is read over: all but the last may break.
const pastAttempts = 3

// past has etcd tell of a span of revisions. What breaks off goes on, once each, as long as the
// same etcd answers.
func past(ctx context.Context, client *clientv3.Client, of span, tell func(*clientv3.Event), how ...func(*etcdserverpb.WatchCreateRequest)) error {
	if of.first > of.last {
		return nil
	}
	t := &telling{span: of, tell: tell}
	err := t.read(ctx, client, how)
	for attempt := 1; attempt < pastAttempts && status.Code(err) == codes.Unavailable; attempt++ {
		err = t.read(ctx, client, how, grpc.WaitForReady(true))
	}
	if err != nil && !errors.As(err, new(compacted)) {
		return fmt.Errorf("read the past of etcd: %w", err)
	}
	return err
}

// telling is how far a span has been told.
type telling struct {
	span
	tell func(*clientv3.Event)
	// by is who told it.
	by era
	// at is the last revision of which something was told, and told how many events of it.
	at   int64
	told int
}

// errOther says that who goes on to tell is not who began.
var errOther = errors.New("another etcd answers than before")

// read reads over one connection, in pieces: clientv3 would put together what
// etcd has in memory at once, up to a thousand revisions, however short the span is.
func (t *telling) read(ctx context.Context, client *clientv3.Client, how []func(*etcdserverpb.WatchCreateRequest), options ...grpc.CallOption) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dog := newWatchdog(askTimeout, cancel) // another etcd that has less would be silent
	defer dog.goesOn()
	// From the key zero to the key zero is all (etcd's API, "WatchCreateRequest").
	create := &etcdserverpb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: max(t.first, t.at), Fragment: true}
	for _, also := range how {
		also(create)
	}
	watch, err := etcdserverpb.NewWatchClient(client.ActiveConnection()).Watch(clientv3.WithRequireLeader(ctx), append(options, grpc.MaxCallRecvMsgSize(math.MaxInt32))...)
	if err == nil {
		err = watch.Send(&etcdserverpb.WatchRequest{RequestUnion: &etcdserverpb.WatchRequest_CreateRequest{CreateRequest: create}})
	}
	if errors.Is(err, io.EOF) {
		err = nil // what is received says why
	}
	again, same := t.told, t.at == 0
	for err == nil {
		var response *etcdserverpb.WatchResponse
		if response, err = watch.Recv(); err != nil {
			break
		}
		dog.waits()
		by := eraOf(response.Header)
		if same = same || by == t.by; !same {
			return errOther
		}
		t.by = by
		switch {
		case response.CompactRevision != 0:
			return compacted(response.CompactRevision)
		case response.Canceled:
			return errors.New(response.CancelReason)
		case t.take(response, &again):
			return nil
		}
	}
	return cmp.Or(ctx.Err(), err)
}

// withPrevKV has etcd tell what there was before, too.
func withPrevKV(create *etcdserverpb.WatchCreateRequest) { create.PrevKv = true }

// take tells of what a watch has brought, but for what it brings again, and says whether that is
// all. All of a revision come together, but for one that is in pieces.
func (t *telling) take(response *etcdserverpb.WatchResponse, again *int) (all bool) {
	for _, event := range response.Events {
		revision := event.Kv.ModRevision
		switch {
		case revision > t.last:
			return true
		case revision == t.at && *again > 0:
			*again--
		case revision == t.at:
			t.told++
			t.tell(event)
		default:
			t.at, t.told, *again = revision, 1, 0
			t.tell(event)
		}
		all = revision == t.last && !response.Fragment
	}
	return all
}
