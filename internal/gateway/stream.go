package gateway

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	alertInternalError    = 80
	alertAccessDenied     = 49
	alertUnrecognizedName = 112
	alertDecodeError      = 50

	// goodbyeTime is how long a refused client may take to read its alert.
	goodbyeTime = time.Second
	// halfOpenTime is how long one direction may outlive the other.
	halfOpenTime = 5 * time.Minute
)

// keepAlive finds peers that vanished; an idle but living stream (kubectl exec) is never cut.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}

// stream is one admitted connection.
type stream struct {
	name    string
	client  netip.Addr
	backend string
	near    net.Conn
	far     net.Conn
}

// cut ends the stream at once.
func (st *stream) cut() {
	st.near.Close()
	st.far.Close()
}

// splice copies both ways until both directions have ended or ctx is done. An end of file travels on as one, any other
// failure ends the whole stream. On Linux the bytes stay in the kernel.
func (st *stream) splice(ctx context.Context, count func(direction string, bytes int64)) {
	stop := context.AfterFunc(ctx, st.cut)
	defer stop()
	var upward sync.WaitGroup
	upward.Go(func() { count("in", st.copy(st.far, st.near)) })
	count("out", st.copy(st.near, st.far))
	upward.Wait()
	st.cut()
}

func (st *stream) copy(to, from net.Conn) int64 {
	n, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil || to.SetReadDeadline(time.Now().Add(halfOpenTime)) != nil {
		st.cut()
	}
	return n
}

// refuse sends a fatal TLS alert and closes. It reads what the client still sends for a moment, since closing with
// unread bytes would reset the connection and lose the alert.
func refuse(conn net.Conn, alert byte) {
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(goodbyeTime)) != nil {
		return
	}
	if _, err := conn.Write([]byte{21, 3, 3, 0, 2, 2, alert}); err != nil {
		return
	}
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, conn, maxHelloRaw) // it ends as it likes
}
