package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// proxy carries TCP connections from an address of the host to the machine.
type proxy struct {
	// Listen and Target are host:port.
	Listen, Target string
	// Header tells the target who called, with a PROXY protocol version 2 header.
	Header bool
}

// proxies are the ports of this host that lead into the machine.
func proxies() []proxy {
	return []proxy{
		{Listen: ARMAddress, Target: net.JoinHostPort(MachineAddress, "30443")},
		{Listen: GatewayAddress, Target: net.JoinHostPort(MachineAddress, "30643"), Header: true},
	}
}

// Where Berth answers on this host.
const (
	ARMAddress     = "127.0.0.1:8443"
	GatewayAddress = "127.0.0.1:6443"
)

const (
	dialTimeout = 5 * time.Second
	keepAlive   = 30 * time.Second
)

// listen takes the proxy's port. The caller serves or closes it.
func (p proxy) listen(ctx context.Context) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", p.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", p.Listen, err)
	}
	return listener, nil
}

// serve carries connections until the context ends, and returns when the last is closed.
func (p proxy) serve(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		client, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept on %s: %w", p.Listen, err)
		}
		if err != nil {
			slog.Warn("accept", "address", p.Listen, "error", err)
			continue
		}
		open.Go(func() { p.carry(ctx, client) })
	}
}

func (p proxy) carry(ctx context.Context, client net.Conn) {
	defer client.Close()
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}
	target, err := dialer.DialContext(ctx, "tcp", p.Target)
	if err != nil {
		return
	}
	defer target.Close()
	if p.Header {
		header := proxyproto.HeaderProxyFromAddrs(2, client.RemoteAddr(), client.LocalAddr())
		if _, err := header.WriteTo(target); err != nil {
			return
		}
	}
	stop := context.AfterFunc(ctx, func() {
		client.Close()
		target.Close()
	})
	defer stop()
	var upward sync.WaitGroup
	upward.Go(func() { pour(target, client) })
	pour(client, target)
	upward.Wait()
}

// pour copies one direction and passes its end on, so that the other direction
// can still finish. A direction that breaks ends both.
func pour(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if err != nil {
		to.Close()
		from.Close()
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
