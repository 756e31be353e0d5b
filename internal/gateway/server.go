package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Route is where the connections for one name go.
type Route struct {
	// Backend is the API server's address, "ip:6443".
	Backend string
	// AuthorizedIPRanges are the clients that may connect; empty means all. The range 0.0.0.0/32 holds no client and so
	// closes the cluster to everybody outside (aks-behaviours section 14).
	AuthorizedIPRanges []netip.Prefix
	// Stopped says that nobody answers there until the cluster is started (J1).
	Stopped bool
}

// Allows says whether a client at ip may use the route.
func (r Route) Allows(ip netip.Addr) bool {
	return len(r.AuthorizedIPRanges) == 0 || contains(r.AuthorizedIPRanges, ip)
}

// Config is what a Server needs. Zero limits take the defaults given with each.
type Config struct {
	// Routes finds the route of a name, which is in lower case and has no final dot. It must not block.
	Routes func(fqdn string) (Route, bool)
	// TrustedProxies are the sources whose PROXY protocol header (v1, v2) is believed.
	TrustedProxies []netip.Prefix
	// MaxConnections bounds all connections together (8192); more are closed at once.
	MaxConnections int
	// MaxPerClient bounds the connections of one address (1024).
	MaxPerClient int
	// HelloTimeout is the time for the PROXY header and the ClientHello together (10s).
	HelloTimeout time.Duration
	// DialTimeout is the time for reaching a backend (5s).
	DialTimeout time.Duration
	// DrainTimeout is how long streams may go on after Serve was told to end (20s).
	DrainTimeout time.Duration
	// Log gets refusals; nil means none.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	fallback := func(value *int, otherwise int) {
		if *value == 0 {
			*value = otherwise
		}
	}
	wait := func(value *time.Duration, otherwise time.Duration) {
		if *value == 0 {
			*value = otherwise
		}
	}
	fallback(&c.MaxConnections, 8192)
	fallback(&c.MaxPerClient, 1024)
	wait(&c.HelloTimeout, 10*time.Second)
	wait(&c.DialTimeout, 5*time.Second)
	wait(&c.DrainTimeout, 20*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Server routes TLS connections by server name. It is also a prometheus.Collector.
type Server struct {
	config  Config
	metrics *metrics
	slots   chan struct{}

	mu      sync.Mutex
	streams map[*stream]struct{}
	byName  map[string]int
	clients map[netip.Addr]int
}

// New makes a server. Config.Routes is required.
func New(config Config) *Server {
	config = config.withDefaults()
	return &Server{
		config:  config,
		metrics: newMetrics(),
		slots:   make(chan struct{}, config.MaxConnections),
		streams: map[*stream]struct{}{},
		byName:  map[string]int{},
		clients: map[netip.Addr]int{},
	}
}

// Serve accepts connections from listener, which it closes, until ctx is done. It then lets streams end by themselves
// for DrainTimeout, cuts what is left, and returns nil. Any other return is the listener's error.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	defer listener.Close()
	streams, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()

	var open sync.WaitGroup
	err := s.accept(ctx, listener, func(conn net.Conn) {
		open.Go(func() { s.handle(ctx, streams, conn) })
	})
	drained := make(chan struct{})
	go func() {
		open.Wait()
		close(drained)
	}()
	timer := time.NewTimer(s.config.DrainTimeout)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
		cut()
		<-drained
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// accept hands over connections while there are slots. It returns when the listener is closed; an error that passes,
// such as too many open files, is waited out.
func (s *Server) accept(ctx context.Context, listener net.Listener, handle func(net.Conn)) error {
	pause := 10 * time.Millisecond
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			if conn != nil {
				conn.Close()
			}
			return err
		}
		if err != nil {
			s.config.Log.Warn("accept", "error", err)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause):
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = 10 * time.Millisecond
		select {
		case s.slots <- struct{}{}:
			handle(conn)
		default:
			s.metrics.connection(outcomeBusy)
			conn.Close()
		}
	}
}

// handle takes one connection from its first byte to its end.
func (s *Server) handle(accepting, streaming context.Context, conn net.Conn) {
	defer func() { <-s.slots }()
	defer conn.Close()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(keepAlive) // the socket is dead, which the next read tells
	}
	a, refusal := s.admit(accepting, conn)
	if a.client.IsValid() {
		defer s.leave(a.client)
	}
	if refusal != nil {
		s.metrics.connection(refusal.outcome)
		s.config.Log.Info("refused", "client", a.client, "name", a.name, "outcome", refusal.outcome, "error", refusal.err)
		if refusal.alert != 0 {
			refuse(conn, refusal.alert)
		}
		return
	}
	st := &stream{name: a.name, client: a.client, backend: a.route.Backend, near: conn, far: a.far}
	defer st.cut()
	if !s.add(st) {
		return
	}
	defer s.remove(st)
	s.metrics.connection(outcomeOK)
	if _, err := st.far.Write(a.replay); err != nil {
		return
	}
	st.splice(streaming, s.metrics.bytes)
}

// admission is what is known of a connection when its stream starts.
type admission struct {
	client netip.Addr // valid once it is counted
	name   string
	route  Route
	replay []byte
	far    net.Conn
}

// refusal is why a connection goes no further; alert 0 means to close without a word.
type refusal struct {
	outcome string
	alert   byte
	err     error
}

// admit reads the head of a connection, checks it and reaches its backend. Until then the end of the server is the end
// of the connection.
func (s *Server) admit(ctx context.Context, conn net.Conn) (admission, *refusal) {
	var a admission
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := conn.SetReadDeadline(time.Now().Add(s.config.HelloTimeout)); err != nil {
		return a, &refusal{outcomeGone, 0, err}
	}
	reader := bufio.NewReaderSize(conn, 2048)
	client, err := clientAddress(conn, reader, s.config.TrustedProxies)
	if err != nil {
		return a, &refusal{outcomeBadHello, 0, err}
	}
	if !s.enter(client) {
		return a, &refusal{outcomeBusy, 0, errors.New("too many connections from this address")}
	}
	a.client = client
	raw, name, err := readHello(reader)
	if err != nil {
		return a, refusalOf(err)
	}
	a.name = name
	route, ok := s.config.Routes(name)
	if !ok {
		return a, &refusal{outcomeUnknown, alertUnrecognizedName, errors.New("no cluster has this name")}
	}
	if route.Stopped {
		return a, &refusal{outcomeStopped, alertUnrecognizedName, errors.New("the cluster is stopped")}
	}
	if !route.Allows(client) {
		return a, &refusal{outcomeDenied, alertAccessDenied, errors.New("not in the authorised IP ranges")}
	}
	a.route = route
	dialer := net.Dialer{Timeout: s.config.DialTimeout, KeepAliveConfig: keepAlive}
	far, err := dialer.DialContext(ctx, "tcp", route.Backend)
	if err != nil {
		return a, &refusal{outcomeUnreachable, alertInternalError, err}
	}
	a.far = far
	buffered, _ := reader.Peek(reader.Buffered())
	a.replay = append(raw, buffered...)
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		far.Close()
		return a, &refusal{outcomeGone, 0, err}
	}
	return a, nil
}

// refusalOf answers what spoke TLS with an alert and hangs up on everything else.
func refusalOf(err error) *refusal {
	switch {
	case errors.Is(err, errNoName):
		return &refusal{outcomeNoName, alertUnrecognizedName, err}
	case errors.Is(err, errBadHello), errors.Is(err, errTooLarge):
		return &refusal{outcomeBadHello, alertDecodeError, err}
	case errors.Is(err, io.EOF):
		return &refusal{outcomeGone, 0, err}
	default:
		return &refusal{outcomeBadHello, 0, err}
	}
}

// Recheck cuts the streams whose route is gone or stopped, leads elsewhere or no longer allows their client. Call it when routes
// have changed.
func (s *Server) Recheck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.streams {
		if !s.current(st) {
			st.cut()
		}
	}
}

func (s *Server) current(st *stream) bool {
	route, ok := s.config.Routes(st.name)
	return ok && !route.Stopped && route.Backend == st.backend && route.Allows(st.client)
}

// Connections counts the open streams by name.
func (s *Server) Connections() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := make(map[string]int, len(s.byName))
	for name, count := range s.byName {
		counts[name] = count
	}
	return counts
}

// add counts the stream in. The route is asked for once more under the lock, since it may have changed while the
// backend was dialled, before Recheck could see the stream.
func (s *Server) add(st *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.current(st) {
		return false
	}
	s.streams[st] = struct{}{}
	s.byName[st.name]++
	return true
}

func (s *Server) remove(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, st)
	if s.byName[st.name]--; s.byName[st.name] == 0 {
		delete(s.byName, st.name)
	}
}

func (s *Server) enter(client netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients[client] >= s.config.MaxPerClient {
		return false
	}
	s.clients[client]++
	return true
}

func (s *Server) leave(client netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients[client]--; s.clients[client] == 0 {
		delete(s.clients, client)
	}
}

// Listen opens the gateway's TCP port.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s for API servers: %w", address, err)
	}
	return listener, nil
}
