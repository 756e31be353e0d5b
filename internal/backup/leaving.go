package backup

import (
	"context"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// errLeaving ends a session with an etcd that is about to end.
var errLeaving = errors.New("etcd ends: it takes no more requests")

// lastWords is how long an etcd that ends is listened to still: its watches bring what was
// written just before.
const lastWords = 250 * time.Millisecond

// leaving is closed soon after the other end has said that it takes no more requests. An
// etcd that is told to end says so first and then waits up to seven seconds for the streams
// that are open (gRPC's GOAWAY; etcd's embed.Etcd.Close), which a watch never ends by
// itself. Where requests are taken again at once it stays open, as when another member takes
// them, or a connection alone broke: the watch goes on by itself, and moved gets a word, since
// it may be read from that member now.
func leaving(ctx context.Context, connection *grpc.ClientConn) (gone, moved chan struct{}) {
	gone, moved = make(chan struct{}), make(chan struct{}, 1)
	go func() {
		for connection.WaitForStateChange(ctx, connectivity.Ready) && ctx.Err() == nil {
			said := time.After(lastWords)
			if !refused(ctx, connection) {
				select {
				case moved <- struct{}{}:
				default:
				}
				continue
			}
			select {
			case <-ctx.Done():
			case <-said:
				close(gone)
			}
			return
		}
	}()
	return gone, moved
}

// refused waits until it is known whether anybody takes requests.
func refused(ctx context.Context, connection *grpc.ClientConn) bool {
	for ctx.Err() == nil {
		state := connection.GetState()
		switch state {
		case connectivity.Ready:
			return false
		case connectivity.TransientFailure, connectivity.Shutdown:
			return true
		case connectivity.Idle:
			connection.Connect()
		}
		connection.WaitForStateChange(ctx, state)
	}
	return false
}

// hearOut takes in what the watch has brought while something else was done, as where a
// store is slow: it may be all there will be.
func (r *Recorder) hearOut(watch clientv3.WatchChan) error {
	for {
		select {
		case response, open := <-watch:
			if r.strange(response) {
				return errLeaving // it has come back, and may be another
			}
			if err := r.receive(response, open); err != nil {
				return err
			}
		default:
			return errLeaving
		}
	}
}
