package redial_test

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"

	_ "berth.dev/berth/kube/multicall/redial"
)

// A peer that was away for long is dialled again within about a second of its return.
func TestPeerIsBackSoon(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	client, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	client.Connect()
	time.Sleep(10 * time.Second) // gRPC's own next attempt would be one at 16 seconds or so
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	defer server.Stop()
	go func() { _ = server.Serve(listener) }()
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	for state := client.GetState(); state != connectivity.Ready; state = client.GetState() {
		client.Connect()
		if !client.WaitForStateChange(ctx, state) {
			t.Fatalf("not connected: %s", state)
		}
	}
}
