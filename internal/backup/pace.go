package backup

import (
	"context"
	"io"
	"time"
)

const (
	// ahead is how much of a snapshot etcd sends before it is read, in bytes.
	ahead = 256 << 10
	// stride is how much of it is read between two rests, in bytes: what zstd seals at once.
	stride = 128 << 10
	// longestRest bounds a rest: an etcd that gave nothing for a minute is not rested from, and
	// the largest database is read in time.
	longestRest = 10 * time.Millisecond
)

// paced is what a snapshot is read by. etcd, what seals the snapshot and everybody who writes
// to that etcd want the same processors: after each stride these are left to the others.
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

// rest is for as long as the stride took: half of the time is the others'.
func (p *paced) rest() error {
	now := time.Now()
	p.owed += min(now.Sub(p.began), longestRest)
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
