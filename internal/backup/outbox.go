package backup

import (
	"bytes"
	"fmt"
	"io"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/encoding/protodelim"
)

// maxBuffer is how much is kept while no store answers, in bytes. After that a snapshot
// is cheaper.
const maxBuffer = 32 << 20

// buffer holds what etcd said since the last delta.
type buffer struct {
	events []*clientv3.Event
	size   int
	// seen is the last revision, and at when it was received.
	seen int64
	at   time.Time
}

func (b *buffer) empty() bool { return len(b.events) == 0 }

// add takes in events; all of a revision come together.
func (b *buffer) add(events []*clientv3.Event, at time.Time) {
	for _, event := range events {
		b.events = append(b.events, event)
		b.size += len(event.Kv.Key) + len(event.Kv.Value)
		b.seen = event.Kv.ModRevision
	}
	b.at = at
}

func (b *buffer) clear() { b.events, b.size = nil, 0 }

// seal encodes the events, each with its length before it, compresses and encrypts them.
func (b *buffer) seal(key string) ([]byte, error) {
	recipient, err := recipientOf(key)
	if err != nil {
		return nil, err
	}
	plain, encoding := io.Pipe()
	go func() {
		for _, event := range b.events {
			if _, err := protodelim.MarshalTo(encoding, event); err != nil {
				encoding.CloseWithError(fmt.Errorf("encode a delta: %w", err))
				return
			}
		}
		_ = encoding.Close() // never fails
	}()
	defer func() { _ = plain.Close() }()
	var sealed bytes.Buffer
	if err := seal(&sealed, plain, recipient); err != nil {
		return nil, err
	}
	return sealed.Bytes(), nil
}
