package load

import (
	"context"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/test/chaos/ledger"
)

// writer makes one write after the other. It alone writes what it has named.
type writer struct {
	*Load
	name string
	// entries were made, and those up to removed are not its own any more.
	entries, removed int
	count            int
}

func (w *writer) run(ctx context.Context) {
	ticker := time.NewTicker(writeEvery)
	defer ticker.Stop()
	for ; ctx.Err() == nil; <-ticker.C {
		w.going.RLock()
		w.enter(ctx)
		w.removeOld(ctx)
		w.countUp(ctx)
		w.going.RUnlock()
	}
}

// enter makes an entry.
func (w *writer) enter(ctx context.Context) {
	w.entries++
	entry := w.object(w.entry(w.entries), w.entries)
	w.write(entry.Name, w.entries, func() error {
		_, err := w.maps.Create(ctx, entry, metav1.CreateOptions{})
		return err
	})
}

// removeOld removes old entries, each after a look whether it is there: afterwards nobody
// could tell. That a removal finds nothing says nothing, since the client sends one again
// that was done and had no answer.
func (w *writer) removeOld(ctx context.Context) {
	for n := 0; n < removeAtOnce && w.entries-w.removed > entriesKept; n++ {
		old := w.entry(w.removed + 1)
		now, err := w.look(ctx, old)
		if err != nil {
			return
		}
		w.removed++
		if now != nil {
			w.write(old, ledger.Absent, func() error { return w.maps.Delete(ctx, old, metav1.DeleteOptions{}) })
		}
	}
}

// countUp raises the writer's counter, from what it is and not from what it may be: an
// update that was given up and comes late is refused.
func (w *writer) countUp(ctx context.Context) {
	name := w.name + counted
	now, err := w.look(ctx, name)
	if err != nil {
		return
	}
	w.count++
	next := w.object(name, w.count)
	w.write(name, w.count, func() error {
		if now == nil {
			_, err := w.maps.Create(ctx, next, metav1.CreateOptions{})
			return err
		}
		next.ResourceVersion = now.ResourceVersion
		_, err := w.maps.Update(ctx, next, metav1.UpdateOptions{})
		return err
	})
}

// look reads what the next write will hide, and shows it to the ledger; nil if it is not
// there. A read without a resource version is of etcd itself, and not of a cache.
func (w *writer) look(ctx context.Context, name string) (*corev1.ConfigMap, error) {
	seen := ledger.Sight{Value: ledger.Absent, Sent: time.Now()}
	now, err := w.maps.Get(ctx, name, metav1.GetOptions{})
	seen.Answered = time.Now()
	if apierrors.IsNotFound(err) && !apierrors.IsUnexpectedServerError(err) { // the object, and not the path
		now, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	if now != nil {
		seen.Value = valueOf(now)
	}
	w.ledger.Saw(name, seen)
	return now, nil
}

// write notes a write before and after. One that failed may have happened.
func (w *writer) write(key string, value int, do func() error) {
	w.ledger.Try(key, value, time.Now())
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
