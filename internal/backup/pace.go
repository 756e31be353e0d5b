package backup

import (
	"context"
	"io"
	"time"
)

const (
	// ahead is how much of a snapshot etcd sends before it is read, in bytes.
	ahead = 256 << 10
	// stride is how much of it is read between two rests, in bytes. A write to etcd fits into
	// the rest after it.
	stride = 64 << 10
	// longestRest bounds a rest: an etcd that gave nothing for a minute is not rested from.
	longestRest = 50 * time.Millisecond
)

// paced is what a snapshot is read by. etcd, what seals the snapshot and everybody who writes
// to that etcd want the same processors: after each stride these are left to the others.
type paced struct {
	ctx  context.Context
	from io.Reader
	// read is how much of the stride that began at began was read.
	read  int
	began time.Time
	// fastest is how long the fastest stride took.
	fastest time.Duration
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

// rest is for two thirds as long as the stride took, and where others want the processors, so
// that it took longer than the fastest, for nearly as long.
func (p *paced) rest() error {
	now := time.Now()
	took := now.Sub(p.began)
	if p.fastest == 0 || took < p.fastest {
		p.fastest = took
	}
	p.owed += min(took-p.fastest/3, longestRest)
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
