package backup

import (
	"context"
	"errors"
	"time"

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
// itself. Another etcd of the same cluster that takes requests keeps it open.
func leaving(ctx context.Context, connection *grpc.ClientConn) <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		if !connection.WaitForStateChange(ctx, connectivity.Ready) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(lastWords):
			close(gone)
		}
	}()
	return gone
}
