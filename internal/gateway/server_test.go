package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// tenant is a TLS API server that answers with its own name.
func tenant(t testing.TB, name string) *httptest.Server {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", name, r.TLS.ServerName)
	}))
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// table is a routing table that a test may change.
type table struct {
	mu     sync.Mutex
	routes map[string]Route
}

func (r *table) lookup(name string) (Route, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	route, ok := r.routes[name]
	return route, ok
}

func (r *table) set(name string, route Route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.routes == nil {
		r.routes = map[string]Route{}
	}
	r.routes[name] = route
}

type running struct {
	*Server
	address string
	stop    context.CancelFunc
	ended   chan error
}

func start(t testing.TB, config Config) *running {
	listener, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &running{Server: New(config), address: listener.Addr().String(), stop: stop, ended: make(chan error, 1)}
	go func() {
		err := r.Serve(ctx, listener)
		r.ended <- err
		close(r.ended)
	}()
	t.Cleanup(func() {
		stop()
		<-r.ended
	})
	return r
}

// dial speaks TLS to the gateway under a name, after sending prefix in the clear.
func (r *running) dial(name string, prefix []byte) (*tls.Conn, error) {
	raw, err := net.Dial("tcp", r.address)
	if err != nil {
		return nil, err
	}
	raw.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := raw.Write(prefix); err != nil {
		raw.Close()
		return nil, err
	}
	conn := tls.Client(raw, &tls.Config{ServerName: name, InsecureSkipVerify: true}) // the test looks at the answer
	if err := conn.Handshake(); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

// ask does one request and returns its body.
func (r *running) ask(name string, prefix []byte) (string, error) {
	conn, err := r.dial(name, prefix)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", name)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 10s: %s", what)
		}
	}
}

func TestRoutesByServerName(t *testing.T) {
	one, two := tenant(t, "one"), tenant(t, "two")
	routes := &table{}
	routes.set("one.example", Route{Backend: one.Listener.Addr().String()})
	routes.set("two.example", Route{Backend: two.Listener.Addr().String()})
	gateway := start(t, Config{Routes: routes.lookup})
	for name, want := range map[string]string{
		"one.example": "one one.example", "two.example": "two two.example",
		"TWO.Example": "two TWO.Example", // names have no case
	} {
		if got, err := gateway.ask(name, nil); err != nil || got != want {
			t.Errorf("ask %s: %q, %v; want %q", name, got, err, want)
		}
	}
	eventually(t, "streams counted out", func() bool { return len(gateway.Connections()) == 0 })
	if got := testutil.ToFloat64(gateway.metrics.connections.WithLabelValues(outcomeOK)); got != 3 {
		t.Errorf("counted %v connections, want 3", got)
	}
}

func TestRefusals(t *testing.T) {
	server := tenant(t, "one")
	backend := server.Listener.Addr().String()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	prefix := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	routes := &table{}
	routes.set("open.example", Route{Backend: backend, AuthorizedIPRanges: prefix("127.0.0.1/32")})
	routes.set("closed.example", Route{Backend: backend, AuthorizedIPRanges: prefix("203.0.113.0/24")})
	routes.set("cluster-only.example", Route{Backend: backend, AuthorizedIPRanges: prefix("0.0.0.0/32")})
	routes.set("unreadable.example", Route{Backend: backend, AuthorizedIPRanges: []netip.Prefix{{}}})
	routes.set("down.example", Route{Backend: closed.Addr().String()})
	gateway := start(t, Config{Routes: routes.lookup})
	for _, c := range []struct{ name, why, want string }{
		{"open.example", "its range holds the client", ""},
		{"closed.example", "its range does not hold the client", "access denied"},
		{"cluster-only.example", "0.0.0.0/32 admits nobody from outside", "access denied"},
		{"unreadable.example", "a bad range must not open the cluster", "access denied"},
		{"other.example", "no cluster has this name", "unrecognized name"},
		{"down.example", "its API server does not answer", "internal error"},
		{"", "no name leads nowhere", "unrecognized name"},
	} {
		_, err := gateway.ask(c.name, nil)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q (%s): got %v, want %q", c.name, c.why, err, c.want)
		}
	}
}

func TestPlainTextIsClosed(t *testing.T) {
	gateway := start(t, Config{Routes: (&table{}).lookup})
	conn, err := net.Dial("tcp", gateway.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if answer, err := io.ReadAll(conn); len(answer) != 0 || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %q, %v; want the connection closed", answer, err)
	}
}

func proxyHeader(t *testing.T, version byte, source string) []byte {
	t.Helper()
	header := proxyproto.HeaderProxyFromAddrs(version,
		net.TCPAddrFromAddrPort(netip.MustParseAddrPort(source)),
		net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.1:443")))
	out, err := header.Format()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestProxyProtocol(t *testing.T) {
	server := tenant(t, "one")
	routes := &table{}
	routes.set("one.example", Route{
		Backend:            server.Listener.Addr().String(),
		AuthorizedIPRanges: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
	})
	for _, c := range []struct {
		why     string
		trusted []netip.Prefix
		prefix  []byte
		admit   bool
	}{
		{"v1 from a trusted proxy", loopback, proxyHeader(t, 1, "203.0.113.9:1"), true},
		{"v2 from a trusted proxy", loopback, proxyHeader(t, 2, "203.0.113.9:1"), true},
		{"a client outside the range", loopback, proxyHeader(t, 2, "192.0.2.1:1"), false},
		{"no header from a trusted proxy means the proxy itself", loopback, nil, false},
		{"v1 from a stranger is spoofing", nil, proxyHeader(t, 1, "203.0.113.9:1"), false},
		{"v2 from a stranger is spoofing", nil, proxyHeader(t, 2, "203.0.113.9:1"), false},
		{"a second header is not believed", loopback,
			append(proxyHeader(t, 2, "192.0.2.1:1"), proxyHeader(t, 2, "203.0.113.9:1")...), false},
		{"a broken header", loopback, []byte("PROXY TCP4 x y z\r\n"), false},
	} {
		gateway := start(t, Config{Routes: routes.lookup, TrustedProxies: c.trusted})
		if _, err := gateway.ask("one.example", c.prefix); (err == nil) != c.admit {
			t.Errorf("%s: got %v, want admitted %v", c.why, err, c.admit)
		}
	}
}

func TestSlowHelloIsCutOff(t *testing.T) {
	gateway := start(t, Config{Routes: (&table{}).lookup, HelloTimeout: 50 * time.Millisecond})
	conn, err := net.Dial("tcp", gateway.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	conn.Write([]byte{22, 3, 1, 2, 0, 1})
	if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("the gateway did not hang up: %v", err)
	}
	eventually(t, "the slot is free", func() bool { return len(gateway.slots) == 0 })
}

func TestLargeTransferBothWays(t *testing.T) {
	const size = 64 << 20
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%x\n", sum.Sum(nil))
		io.Copy(w, io.LimitReader(pattern{}, size))
	}))
	defer server.Close()
	routes := &table{}
	routes.set("one.example", Route{Backend: server.Listener.Addr().String()})
	gateway := start(t, Config{Routes: routes.lookup})
	client := gateway.client("one.example")
	response, err := client.Post("https://one.example/", "", io.LimitReader(pattern{}, size))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body := bufio.NewReader(response.Body)
	up, err := body.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	down := sha256.New()
	if n, err := io.Copy(down, body); err != nil || n != size {
		t.Fatalf("got %d bytes, %v", n, err)
	}
	want := sha256.New()
	io.Copy(want, io.LimitReader(pattern{}, size))
	if strings.TrimSpace(up) != fmt.Sprintf("%x", want.Sum(nil)) || !bytes.Equal(down.Sum(nil), want.Sum(nil)) {
		t.Error("the bytes changed on the way")
	}
}

// client is an HTTP client whose every name leads to the gateway.
func (r *running) client(name string) *http.Client {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{ServerName: name, InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, r.address)
		},
		DisableKeepAlives: true,
	}
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestHalfClose(t *testing.T) {
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	go func() { // answers only when the client has finished
		conn, err := backend.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		all, _ := io.ReadAll(conn)
		fmt.Fprintf(conn, "read %d", len(all))
	}()
	routes := &table{}
	routes.set("one.example", Route{Backend: backend.Addr().String()})
	gateway := start(t, Config{Routes: routes.lookup})
	conn, err := net.Dial("tcp", gateway.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	hello := captureHello(t, "one.example")
	conn.Write(append(hello, "and more"...))
	conn.(*net.TCPConn).CloseWrite()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	answer, err := io.ReadAll(conn)
	if want := fmt.Sprintf("read %d", len(hello)+len("and more")); err != nil || string(answer) != want {
		t.Errorf("got %q, %v; want %q", answer, err, want)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	server := tenant(t, "one")
	routes := &table{}
	routes.set("one.example", Route{Backend: server.Listener.Addr().String()})
	const limit = 1000
	gateway := start(t, Config{Routes: routes.lookup, MaxConnections: limit, MaxPerClient: 2 * limit})
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	hello := captureHello(t, "one.example")
	for range limit {
		conn, err := net.Dial("tcp", gateway.address)
		if err != nil {
			t.Fatal(err)
		}
		conn.Write(hello)
		conns = append(conns, conn)
	}
	eventually(t, "all are streams", func() bool { return gateway.Connections()["one.example"] == limit })
	if _, err := gateway.ask("one.example", nil); err == nil {
		t.Fatal("one connection too many was served")
	}
	conns[0].Close()
	eventually(t, "a slot is free again", func() bool {
		_, err := gateway.ask("one.example", nil)
		return err == nil
	})
}

func TestOneClientCannotTakeAll(t *testing.T) {
	server := tenant(t, "one")
	routes := &table{}
	routes.set("one.example", Route{Backend: server.Listener.Addr().String()})
	gateway := start(t, Config{Routes: routes.lookup, MaxPerClient: 1, TrustedProxies: loopback})
	conn, err := gateway.dial("one.example", proxyHeader(t, 2, "203.0.113.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := gateway.ask("one.example", proxyHeader(t, 2, "203.0.113.1:2")); err == nil {
		t.Error("the same client got a second connection")
	}
	if _, err := gateway.ask("one.example", proxyHeader(t, 2, "203.0.113.2:1")); err != nil {
		t.Errorf("another client was refused: %v", err)
	}
}

func TestRecheckCutsWhatIsNoLongerAllowed(t *testing.T) {
	server := tenant(t, "one")
	backend := server.Listener.Addr().String()
	routes := &table{}
	routes.set("one.example", Route{Backend: backend})
	gateway := start(t, Config{Routes: routes.lookup})
	conn, err := gateway.dial("one.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	gateway.Recheck()
	if n := gateway.Connections()["one.example"]; n != 1 {
		t.Fatalf("%d streams after a recheck that changes nothing, want 1", n)
	}
	routes.set("one.example", Route{Backend: backend, AuthorizedIPRanges: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}})
	gateway.Recheck()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the stream goes on")
	}
	eventually(t, "stream counted out", func() bool { return len(gateway.Connections()) == 0 })
}

func TestShutdownDrains(t *testing.T) {
	server := tenant(t, "one")
	routes := &table{}
	routes.set("one.example", Route{Backend: server.Listener.Addr().String()})
	gateway := start(t, Config{Routes: routes.lookup})
	conn, err := gateway.dial("one.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	gateway.stop()
	eventually(t, "no new connection", func() bool {
		fresh, err := net.Dial("tcp", gateway.address)
		if err == nil {
			fresh.Close()
		}
		return err != nil
	})
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if answer, err := io.ReadAll(conn); err != nil || !strings.Contains(string(answer), "one one.example") {
		t.Errorf("the open stream got %q, %v", answer, err)
	}
	conn.Close()
	if err := <-gateway.ended; err != nil {
		t.Errorf("Serve returned %v", err)
	}
}

func TestShutdownCutsWhatStays(t *testing.T) {
	server := tenant(t, "one")
	routes := &table{}
	routes.set("one.example", Route{Backend: server.Listener.Addr().String()})
	gateway := start(t, Config{Routes: routes.lookup, DrainTimeout: 20 * time.Millisecond})
	conn, err := gateway.dial("one.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	gateway.stop()
	if err := <-gateway.ended; err != nil {
		t.Errorf("Serve returned %v", err)
	}
}
