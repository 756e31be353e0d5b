package backup

import (
	"context"
	"io"
	"time"
)

const (
	// stride is how much of a snapshot is read between two rests, in bytes. etcd reads as much
	// ahead of the recorder, and no more (cheaply).
	stride = 256 << 10
	// longestRest bounds a rest: an etcd that gave nothing for a minute is not rested from.
	longestRest = 50 * time.Millisecond
)

// paced is what a snapshot is read by. etcd, what seals the snapshot and everybody who writes
// to that etcd want the same processors: after each stride these are left to the others for
// half as long as the stride took. Where they are busy a stride takes longer, and so does the
// rest.
type paced struct {
	ctx  context.Context
	from io.Reader
	// read is how much of the stride that began at began was read.
	read  int
	began time.Time
	// owed is how much rest is due. Timers are late: what was too long is taken off the next.
	owed time.Duration
}

// Read implements io.Reader.
func (p *paced) Read(into []byte) (int, error) {
	if p.read >= stride {
		if err := p.rest(); err != nil {
			return 0, err
		}
	}
	if p.read == 0 {
		p.began = time.Now()
	}
	n, err := p.from.Read(into)
	p.read += n
	return n, err
}

func (p *paced) rest() error {
	now := time.Now()
	p.owed += min(now.Sub(p.began)/2, longestRest)
	p.read = 0
	if p.owed <= 0 {
		return nil
	}
	select {
	case <-time.After(p.owed):
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
	p.owed -= time.Since(now)
	return nil
}
