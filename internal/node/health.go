package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// checkKubelet asks the kubelet whether its loops run.
func checkKubelet(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, kubeletHealthz, nil)
	if err != nil {
		return err
	}
	// A connection of its own each time, so that a kubelet that was replaced is not asked over its predecessor's.
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the kubelet: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the kubelet answers %s", response.Status)
	}
	return nil
}

// checkContainerd calls containerd's gRPC health service: grpc.health.v1.Health/Check with an empty request, whose
// answer is one field, status = SERVING. The two messages are too small to need a gRPC library.
func checkContainerd(socket string) func(context.Context) error {
	return func(ctx context.Context) error {
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		transport := &http.Transport{Protocols: &protocols,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "unix", socket)
			}}
		defer transport.CloseIdleConnections()
		frame := []byte{0, 0, 0, 0, 0} // not compressed, length 0
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://containerd/grpc.health.v1.Health/Check", bytes.NewReader(frame))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/grpc")
		request.Header.Set("TE", "trailers")
		response, err := transport.RoundTrip(request)
		if err != nil {
			return fmt.Errorf("ask containerd: %w", err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		if err != nil {
			return fmt.Errorf("read containerd's answer: %w", err)
		}
		if serving := []byte{0, 0, 0, 0, 2, 0x08, 0x01}; !bytes.Equal(body, serving) {
			return errors.New("containerd is not serving")
		}
		return nil
	}
}
