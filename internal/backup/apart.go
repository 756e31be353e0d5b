package backup

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"slices"
	"time"

	"filippo.io/age"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/encoding/protodelim"
)

// apartTimeout bounds the comparison of what etcd tells of its past with what was recorded.
const apartTimeout = time.Minute

// prints are what happened in each of many revisions, as hashes.
type prints map[int64]uint64

// printSeed makes prints comparable.
var printSeed = maphash.MakeSeed()

// add takes in an event; those of a revision come in their order.
func (p prints) add(event *clientv3.Event) {
	var sum maphash.Hash
	sum.SetSeed(printSeed)
	for _, part := range []int64{int64(p[event.Kv.ModRevision]), int64(event.Type), event.Kv.Version, int64(len(event.Kv.Key))} {
		_ = binary.Write(&sum, binary.LittleEndian, part)
	}
	_, _ = sum.Write(event.Kv.Key)
	_, _ = sum.Write(event.Kv.Value)
	p[event.Kv.ModRevision] = sum.Sum64()
}

// apart finds out up to where etcd's past is what was recorded, and what it has taken since:
// etcd tells of some minutes before it lost data, and the deltas of hours.
func (r *Recorder) apart(ctx context.Context, client *clientv3.Client, current, recorded int64) (*Rollback, error) {
	if current < 2 {
		return &Rollback{}, nil // it holds nothing
	}
	ctx, cancel := context.WithTimeout(ctx, apartTimeout)
	defer cancel()
	identity, err := parseKey(r.Key)
	if err != nil {
		return nil, err
	}
	from, err := oldest(ctx, client)
	if err != nil {
		return nil, err
	}
	last := min(current, recorded)
	stored, unread := r.printed(ctx, identity, span{from, last})
	held := prints{}
	if err := past(ctx, client, span{from, last}, held.add); err != nil {
		return nil, err
	}
	found := &Rollback{Revision: current, Recorded: recorded, Shared: shared(stored, held, span{from, last})}
	if found.Shared == 0 {
		found.unread = unread
		return found, nil
	}
	written := map[int64]bool{}
	err = past(ctx, client, span{found.Shared + 1, current}, func(event *clientv3.Event) {
		if !writtenAgain(event) {
			written[event.Kv.ModRevision] = true
		}
	}, withPrevKV)
	found.Written = int64(len(written))
	return found, err
}

// span is of revisions, both ends included.
type span struct{ first, last int64 }

// shared is the last revision of a span before which, from the first on that both know,
// nothing differs; zero if there is none.
func shared(stored, held prints, in span) int64 {
	same := int64(0)
	for revision := in.first; revision <= in.last; revision++ {
		recorded, known := stored[revision]
		switch {
		case known && recorded == held[revision]:
			same = revision
		case known || same > 0:
			return same
		}
	}
	return same
}

// printed is what the stores have of a span, and what has not yet gone there. What cannot be
// read is not known; the error says why some is not.
func (r *Recorder) printed(ctx context.Context, identity *age.X25519Identity, of span) (prints, error) {
	all, reached := prints{}, of.first-1
	deltas, unread := r.deltasOf(ctx, of)
	for _, d := range deltas {
		if d.object.Last <= reached {
			continue
		}
		found, err := d.place.printed(ctx, d.object.Name, identity)
		if err != nil {
			r.Log.Warn("delta cannot be compared with etcd", "cluster", r.ClusterID, "delta", d.object.Name, "error", err)
			if unread == nil {
				unread = fmt.Errorf("%s: %w", d.object.Name, err)
			}
			continue
		}
		maps.Copy(all, found)
		reached = d.object.Last
	}
	unwritten := prints{}
	for _, event := range r.outbox.unwritten() {
		unwritten.add(event)
	}
	maps.Copy(all, unwritten)
	return all, unread
}

// placed is an object in one of the stores that have it.
type placed struct {
	object Object
	place  *place
}

// deltasOf are those that hold any of a span, by their first revision; those that reach
// further first.
func (r *Recorder) deltasOf(ctx context.Context, of span) (found []placed, unread error) {
	for i, l := range r.lists(ctx) {
		if unread == nil {
			unread = l.err
		}
		for _, object := range l.objects {
			if object.Kind == KindDelta && object.Last >= of.first && object.First <= of.last {
				found = append(found, placed{object, r.places[i]})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.object.First, b.object.First), cmp.Compare(b.object.Last, a.object.Last))
	})
	return found, unread
}

// printed does not share what it returns with the call, which may end later.
func (p *place) printed(ctx context.Context, name string, identity age.Identity) (prints, error) {
	found := make(chan prints, 1)
	err := p.use(ctx, func(s *Store) error {
		sealed, err := s.open(ctx, name)
		if err != nil {
			return err
		}
		defer sealed.Close()
		var plain bytes.Buffer
		if err := unseal(&plain, sealed, identity); err != nil {
			return err
		}
		all, err := readDelta(&plain)
		found <- all
		return err
	})
	if err != nil {
		return nil, err
	}
	return <-found, nil
}

// readDelta reads what a delta holds.
func readDelta(from io.Reader) (prints, error) {
	all, reading := prints{}, bufio.NewReader(from)
	for {
		event := &mvccpb.Event{}
		err := protodelim.UnmarshalOptions{MaxSize: maxBuffer}.UnmarshalFrom(reading, event)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decode a delta: %w", err)
		}
		all.add(event)
	}
}
