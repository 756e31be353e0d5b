package chaos

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"berth.dev/berth/test/chaos/ledger"
)

const (
	// writers write to each cluster, each once every writeEvery at most.
	writers    = 2
	writeEvery = 100 * time.Millisecond
	// entriesKept is how many entries a writer leaves; older ones it removes.
	entriesKept = 50
	writesTo    = "default"
	valueKey    = "value"
	// written names what the writers made.
	written = "chaos-"
)

// load is a steady load of writes on one cluster: entries that are made and removed, and
// counters that go up.
type load struct {
	maps   typedv1.ConfigMapInterface
	ledger *ledger.Ledger
	// last is when a write was acknowledged last, in nanoseconds of Unix time.
	last atomic.Int64
	// going is held by a writer while it writes, and by who wants none to.
	going sync.RWMutex
}

func startLoad(ctx context.Context, running *sync.WaitGroup, cluster kubernetes.Interface) *load {
	l := &load{maps: cluster.CoreV1().ConfigMaps(writesTo), ledger: ledger.New()}
	for n := range writers {
		w := &writer{load: l, name: fmt.Sprintf("%s%d", written, n)}
		running.Go(func() { w.run(ctx) })
	}
	return l
}

// writer makes one write after the other.
type writer struct {
	*load
	name           string
	entries, count int
}

func (w *writer) run(ctx context.Context) {
	ticker := time.NewTicker(writeEvery)
	defer ticker.Stop()
	for ; ctx.Err() == nil; <-ticker.C {
		w.going.RLock()
		w.enter(ctx)
		w.countUp(ctx)
		w.going.RUnlock()
	}
}

// enter makes an entry, and removes an old one.
func (w *writer) enter(ctx context.Context) {
	w.entries++
	entry := w.object(w.entry(w.entries), w.entries)
	w.write(entry.Name, w.entries, func() error {
		_, err := w.maps.Create(ctx, entry, metav1.CreateOptions{})
		return err
	})
	if old := w.entry(w.entries - entriesKept); w.entries > entriesKept {
		w.write(old, ledger.Absent, func() error { return w.maps.Delete(ctx, old, metav1.DeleteOptions{}) })
	}
}

// countUp raises the writer's counter, from what it is and not from what it may be: an
// update that was given up and comes late is refused.
func (w *writer) countUp(ctx context.Context) {
	name := w.name + "-counter"
	now, err := w.maps.Get(ctx, name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return
	}
	w.count++
	next := w.object(name, w.count)
	w.write(name, w.count, func() error {
		if apierrors.IsNotFound(err) {
			_, err := w.maps.Create(ctx, next, metav1.CreateOptions{})
			return err
		}
		next.ResourceVersion = now.ResourceVersion
		_, err := w.maps.Update(ctx, next, metav1.UpdateOptions{})
		return err
	})
}

// write notes a write before and after. One that failed may have happened.
func (w *writer) write(key string, value int, do func() error) {
	w.ledger.Try(key, value)
	if do() == nil {
		now := time.Now()
		w.ledger.Acknowledge(key, now)
		w.last.Store(now.UnixNano())
	}
}

func (w *writer) entry(n int) string { return fmt.Sprintf("%s-%d", w.name, n) }

func (w *writer) object(name string, value int) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{valueKey: strconv.Itoa(value)}}
}

// answeredSince complains where no write was acknowledged after a time.
func (l *load) answeredSince(t time.Time) error {
	if l.last.Load() <= t.UnixNano() {
		return errors.New("no write was acknowledged since")
	}
	return nil
}

// check reads what the cluster has while nobody writes, and compares it.
func (l *load) check(ctx context.Context) (lost []string, err error) {
	l.going.Lock()
	defer l.going.Unlock()
	found, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	return l.ledger.Check(found), nil
}

func (l *load) read(ctx context.Context) (map[string]int, error) {
	list, err := l.maps.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	found := map[string]int{}
	for _, item := range list.Items {
		if value, err := strconv.Atoi(item.Data[valueKey]); err == nil && strings.HasPrefix(item.Name, written) {
			found[item.Name] = value
		}
	}
	return found, nil
}
