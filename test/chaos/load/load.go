// Package load writes to a cluster without end, and says what of it the cluster has lost.
package load

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"berth.dev/berth/test/chaos/ledger"
)

const (
	// writers write to each cluster, each once every writeEvery at most.
	writers    = 2
	writeEvery = 100 * time.Millisecond
	// entriesKept is how many entries a writer leaves; older ones it removes, so many at a
	// time at most: more than it makes, since it leaves one that it cannot read.
	entriesKept  = 50
	removeAtOnce = 2
	valueKey     = "value"
	// written names what the writers made, counted is the end of a counter's name.
	written = "chaos-"
	counted = "-counter"
)

// Load is a steady load of writes on one cluster: entries that are made and removed, and
// counters that go up.
type Load struct {
	maps   typedv1.ConfigMapInterface
	ledger *ledger.Ledger
	// last is when a write was acknowledged last, in nanoseconds of Unix time.
	last atomic.Int64
	// going is held by a writer while it writes, and by who wants none to.
	going sync.RWMutex
}

// Start has writers write to a namespace until the context ends.
func Start(ctx context.Context, running *sync.WaitGroup, to typedv1.ConfigMapInterface) *Load {
	l := &Load{maps: to, ledger: ledger.New()}
	for n := range writers {
		w := &writer{Load: l, name: fmt.Sprintf("%s%d", written, n)}
		running.Go(func() { w.run(ctx) })
	}
	return l
}

// AnsweredSince complains where no write was acknowledged after a time.
func (l *Load) AnsweredSince(t time.Time) error {
	if l.last.Load() <= t.UnixNano() {
		return errors.New("no write was acknowledged since")
	}
	return nil
}

// Acknowledged is how many writes were confirmed.
func (l *Load) Acknowledged() int { return l.ledger.Acknowledged() }

// Excuse takes back the promise for what a loss cost.
func (l *Load) Excuse(loss ledger.Loss) { l.ledger.Excuse(loss) }

// Seen has a line for each loss that the writers have come upon, and that nothing excuses.
// It is asked for when all excuses are known.
func (l *Load) Seen() []string { return l.ledger.Seen() }

// Lost has those of Seen, and what shows when all that the cluster has is read while nobody
// writes.
func (l *Load) Lost(ctx context.Context) ([]string, error) {
	l.going.Lock()
	defer l.going.Unlock()
	lost, err := l.compare(ctx)
	if err != nil {
		return nil, err
	}
	return append(l.Seen(), lost...), nil
}

// Planted are two acknowledged writes that were taken back.
type Planted struct {
	// Entry was removed, and Counter set back by as little as shows.
	Entry, Counter string
	// Found is what a comparison says of it before the writers go on.
	Found []string
}

// Plant takes two acknowledged writes back behind the writers' backs, to see whether that
// is found: a check that finds nothing would show nothing.
func (l *Load) Plant(ctx context.Context) (*Planted, error) {
	l.going.Lock()
	defer l.going.Unlock()
	sent := time.Now()
	found, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	isLoss := func(key string, value int) bool {
		changed := maps.Clone(found)
		changed[key] = value
		return len(l.ledger.Check(changed, sent, time.Now())) == 1
	}
	p := &Planted{Counter: written + "0" + counted}
	for name := range found {
		if !strings.HasSuffix(name, counted) && isLoss(name, ledger.Absent) {
			p.Entry = name
		}
	}
	back := found[p.Counter] - 1
	for back > 0 && !isLoss(p.Counter, back) {
		back--
	}
	if err := l.takeBack(ctx, p, back); err != nil {
		return nil, err
	}
	p.Found, err = l.compare(ctx)
	return p, err
}

func (l *Load) takeBack(ctx context.Context, p *Planted, count int) error {
	if err := l.maps.Delete(ctx, p.Entry, metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("remove entry %q: %w", p.Entry, err)
	}
	older, err := l.maps.Get(ctx, p.Counter, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read counter: %w", err)
	}
	older.Data[valueKey] = strconv.Itoa(count)
	if _, err := l.maps.Update(ctx, older, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("set counter back: %w", err)
	}
	return nil
}

// compare reads what the cluster has, and says what it has not. The caller holds the writers.
func (l *Load) compare(ctx context.Context) ([]string, error) {
	sent := time.Now()
	found, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	return l.ledger.Check(found, sent, time.Now()), nil
}

func (l *Load) read(ctx context.Context) (map[string]int, error) {
	list, err := l.maps.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	found := map[string]int{}
	for i := range list.Items {
		if item := &list.Items[i]; strings.HasPrefix(item.Name, written) {
			found[item.Name] = valueOf(item)
		}
	}
	return found, nil
}

// valueOf is what an object says; Absent if that is nothing a writer wrote.
func valueOf(object *corev1.ConfigMap) int {
	value, err := strconv.Atoi(object.Data[valueKey])
	if err != nil {
		return ledger.Absent
	}
	return value
}
