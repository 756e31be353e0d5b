package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// fullTimeout bounds a snapshot and its way to the stores.
const fullTimeout = 25 * time.Minute

// full makes a snapshot and gives it to the places. It lies sealed on the local disk
// meanwhile: etcd keeps what a snapshot shows for as long as somebody reads it, which
// must not depend on a store.
func (r *Recorder) full(ctx context.Context, client *clientv3.Client, places []*place) error {
	ctx, cancel := context.WithTimeout(ctx, fullTimeout)
	defer cancel()
	begun := r.Now()
	lags := map[*place]int{}
	for _, p := range places {
		made := p.begin(begun)
		// etcd is not asked for what nobody could keep.
		if _, err := p.list(ctx); err == nil {
			lags[p] = made
		}
	}
	if len(lags) == 0 {
		return errors.New("no store answers")
	}
	spool, err := os.CreateTemp(r.Scratch, "backup-*.zst.age")
	if err != nil {
		return fmt.Errorf("make room for a snapshot: %w", err)
	}
	defer os.Remove(spool.Name())
	defer spool.Close()
	revision, err := r.spool(ctx, client, spool)
	if err != nil {
		return err
	}
	object := fullObject(revision, begun)
	if object.Size, err = spool.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("measure the snapshot: %w", err)
	}
	var errs []error
	for p, made := range lags {
		errs = append(errs, r.give(ctx, p, made, object, spool))
	}
	return errors.Join(errs...)
}

// spool writes a sealed snapshot and returns a revision that it has at least reached.
func (r *Recorder) spool(ctx context.Context, client *clientv3.Client, to io.Writer) (int64, error) {
	identity, err := parseKey(r.Key)
	if err != nil {
		return 0, err
	}
	revision, err := currentRevision(ctx, client)
	if err != nil {
		return 0, err
	}
	if recorded := r.State().Revision; revision < recorded {
		return 0, lost(revision, recorded)
	}
	stream, err := client.SnapshotWithVersion(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask etcd for a snapshot: %w", err)
	}
	defer stream.Snapshot.Close()
	sum := &trailing{hash: sha256.New()}
	if err := seal(to, io.TeeReader(stream.Snapshot, sum), identity.Recipient()); err != nil {
		return 0, err
	}
	return revision, sum.verify()
}

// give stores a snapshot in one place and removes there what is not to be kept.
func (r *Recorder) give(ctx context.Context, p *place, lags int, object Object, spool io.ReaderAt) error {
	err := p.put(ctx, object, func() io.Reader { return io.NewSectionReader(spool, 0, object.Size) })
	if err != nil {
		return err
	}
	p.stored(object.Time, lags)
	r.mu.Lock()
	r.state.Full = &object
	if object.Time.After(r.state.RecoveryPoint) {
		r.state.RecoveryPoint, r.state.Revision = object.Time, object.Last
	}
	r.mu.Unlock()
	return p.use(ctx, func(s *Store) error { return s.retain(ctx, r.Schedule.Keep, r.Now()) })
}

// trailing checks the hash that etcd appends to a snapshot, as it passes by.
type trailing struct {
	hash hash.Hash
	tail []byte
}

// Write implements io.Writer. It holds back what may be the hash.
func (t *trailing) Write(p []byte) (int, error) {
	t.tail = append(t.tail, p...)
	if surplus := len(t.tail) - sha256.Size; surplus > 0 {
		t.hash.Write(t.tail[:surplus])
		t.tail = append(t.tail[:0], t.tail[surplus:]...)
	}
	return len(p), nil
}

func (t *trailing) verify() error {
	if !bytes.Equal(t.tail, t.hash.Sum(nil)) {
		return errors.New("the snapshot does not have the hash that it ends with: it was cut off or changed on its way")
	}
	return nil
}
