// Package apply brings rendered objects into a cluster by server-side apply. It
// remembers what it applied and does not repeat it for a while, so that a
// reconcile may apply everything each time it runs.
package apply

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Applier applies objects as one field manager. It is safe for concurrent use.
type Applier struct {
	owner client.FieldOwner
	again time.Duration
	now   func() time.Time

	mu   sync.Mutex
	done map[string]map[key]stamp
}

type key struct{ kind, namespace, name string }

type stamp struct {
	hash [sha256.Size]byte
	at   time.Time
}

// New returns an applier that applies an unchanged object again after the given
// time, which puts back what others changed.
func New(owner string, again time.Duration, now func() time.Time) *Applier {
	return &Applier{owner: client.FieldOwner(owner), again: again, now: now, done: map[string]map[key]stamp{}}
}

// Apply applies the objects in order through c and stops at the first error. The
// scope names the cluster and part that they belong to, for Forget.
func (a *Applier) Apply(ctx context.Context, c client.Client, scope string, objects ...client.Object) error {
	for _, object := range objects {
		rendered, hash, err := Render(object)
		if err != nil {
			return err
		}
		id := key{rendered.GetKind(), rendered.GetNamespace(), rendered.GetName()}
		if a.fresh(scope, id, hash) {
			continue
		}
		if err := a.write(ctx, c, rendered); err != nil {
			return fmt.Errorf("apply %s %s: %w", id.kind, client.ObjectKeyFromObject(rendered), err)
		}
		a.remember(scope, id, hash)
	}
	return nil
}

// Forget makes the next Apply of a scope apply everything.
func (a *Applier) Forget(scope string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.done, scope)
}

func (a *Applier) write(ctx context.Context, c client.Client, object *unstructured.Unstructured) error {
	return c.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), a.owner, client.ForceOwnership)
}

func (a *Applier) fresh(scope string, id key, hash [sha256.Size]byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	last, ok := a.done[scope][id]
	return ok && last.hash == hash && a.now().Sub(last.at) < a.again
}

func (a *Applier) remember(scope string, id key, hash [sha256.Size]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.done[scope] == nil {
		a.done[scope] = map[key]stamp{}
	}
	a.done[scope][id] = stamp{hash: hash, at: a.now()}
}

// Render is an object as it is applied, and a hash of it. It leaves out what the
// renderer does not decide: the status, and the creation times that Go's zero values
// would write as null.
func Render(object client.Object) (*unstructured.Unstructured, [sha256.Size]byte, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, [sha256.Size]byte{}, fmt.Errorf("convert %T: %w", object, err)
	}
	delete(content, "status")
	dropNulls(content)
	raw, err := json.Marshal(content)
	if err != nil {
		return nil, [sha256.Size]byte{}, fmt.Errorf("encode %T: %w", object, err)
	}
	return &unstructured.Unstructured{Object: content}, sha256.Sum256(raw), nil
}

func dropNulls(value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, item := range v {
			if item == nil {
				delete(v, name)
				continue
			}
			dropNulls(item)
		}
	case []any:
		for _, item := range v {
			dropNulls(item)
		}
	}
}
