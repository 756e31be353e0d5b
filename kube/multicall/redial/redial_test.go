package redial_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	_ "berth.dev/berth/kube/multicall/redial"
)

// A peer that is away is dialled again and again without pauses that grow: gRPC's own would
// be of eight seconds and more after so many attempts. The shortest of the last counts, so
// that a machine which stands still for a moment does not matter.
func TestPausesDoNotGrow(t *testing.T) {
	const attempts, last = 9, 3
	dialled := make(chan time.Time, attempts)
	away := func(ctx context.Context, _ string) (net.Conn, error) {
		select {
		case dialled <- time.Now():
		default:
		}
		return nil, errors.New("away")
	}
	client, err := grpc.NewClient("passthrough:///peer", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(away))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	stay, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // what is idle after a failure dials only when it is asked to
		for stay.Err() == nil {
			client.Connect()
			client.WaitForStateChange(stay, client.GetState())
		}
	}()
	var pauses []time.Duration
	before := <-dialled
	for range attempts - 1 {
		at := <-dialled
		pauses, before = append(pauses, at.Sub(before)), at
	}
	if shortest := slices.Min(pauses[len(pauses)-last:]); shortest > 4*time.Second {
		t.Errorf("pauses %v", pauses)
	}
}
