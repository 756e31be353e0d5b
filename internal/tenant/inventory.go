package tenant

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Ref names an object of a cluster.
type Ref struct {
	schema.GroupVersionKind
	client.ObjectKey
}

// String is how people name it.
func (r Ref) String() string {
	if r.Namespace == "" {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.ObjectKey.String()
}

// Followed is what an Inventory follows of a kind.
type Followed struct {
	schema.GroupVersionKind
	// Namespace limits it; empty for all, and for a kind without namespaces.
	Namespace string
	// Name limits it to objects of that name; empty for all.
	Name string
}

// Inventory knows of each object of some kinds in each cluster a small digest of its
// metadata, which is all that it reads and keeps. It is safe for concurrent use.
type Inventory[T comparable] struct {
	// Source gives the clients, Kinds and Labels say what is followed.
	Source Source
	Kinds  []Followed
	Labels client.MatchingLabels
	// Digest reduces an object's metadata.
	Digest func(*metav1.PartialObjectMetadata) T
	// Changed is called when a digest is new, differs or is gone, on the watches' own
	// goroutines. It must not block.
	Changed func(clusterID string, ref Ref)

	mu       sync.Mutex
	root     context.Context
	wanted   map[string]bool
	followed map[string]*following[T]
	group    sync.WaitGroup
}

// following is one cluster's.
type following[T comparable] struct {
	cancel context.CancelFunc

	mu      sync.Mutex
	digests map[schema.GroupVersionKind]map[client.ObjectKey]T // a kind is there once it was listed
}

// Start follows until ctx ends, and returns when everything has ended.
func (i *Inventory[T]) Start(ctx context.Context) error {
	i.mu.Lock()
	i.root = ctx
	for id := range i.wanted {
		i.launch(id)
	}
	i.mu.Unlock()
	<-ctx.Done()
	i.mu.Lock()
	i.root = nil
	clear(i.followed)
	i.mu.Unlock()
	i.group.Wait()
	return nil
}

// Keep follows a cluster from now on, or from Start on. It does nothing for one that is
// followed already.
func (i *Inventory[T]) Keep(clusterID string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.wanted == nil {
		i.wanted, i.followed = map[string]bool{}, map[string]*following[T]{}
	}
	i.wanted[clusterID] = true
	i.launch(clusterID)
}

// Stop forgets a cluster.
func (i *Inventory[T]) Stop(clusterID string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.wanted, clusterID)
	if f := i.followed[clusterID]; f != nil {
		f.cancel()
		delete(i.followed, clusterID)
	}
}

// Get returns the digest of an object; there is false for one that does not exist. Known
// is false as long as its kind was not listed, and for what is not followed.
func (i *Inventory[T]) Get(clusterID string, ref Ref) (digest T, there, known bool) {
	f := i.of(clusterID)
	if f == nil {
		return digest, false, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	digests, known := f.digests[ref.GroupVersionKind]
	digest, there = digests[ref.ObjectKey]
	return digest, there, known
}

// Each visits every object of a cluster that is known, in no order.
func (i *Inventory[T]) Each(clusterID string, visit func(ref Ref, digest T)) {
	f := i.of(clusterID)
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for kind, digests := range f.digests {
		for key, digest := range digests {
			visit(Ref{kind, key}, digest)
		}
	}
}

func (i *Inventory[T]) of(clusterID string) *following[T] {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.followed[clusterID]
}

// launch needs the lock.
func (i *Inventory[T]) launch(clusterID string) {
	if i.root == nil || i.root.Err() != nil || i.followed[clusterID] != nil {
		return
	}
	ctx, cancel := context.WithCancel(i.root)
	f := &following[T]{cancel: cancel, digests: map[schema.GroupVersionKind]map[client.ObjectKey]T{}}
	i.followed[clusterID] = f
	// An API server that is not there is no news: whoever needs it says so.
	ctx = klog.NewContext(ctx, logr.Discard())
	for _, kind := range i.Kinds {
		i.group.Go(func() { i.follow(ctx, clusterID, kind, f) })
	}
}

// follow lists and watches a kind. A reflector of its own costs a third of the
// goroutines of a shared informer, and there are many kinds.
func (i *Inventory[T]) follow(ctx context.Context, clusterID string, kind Followed, f *following[T]) {
	newList := func() *metav1.PartialObjectMetadataList {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		return list
	}
	options := func(raw *metav1.ListOptions) []client.ListOption {
		limits := []client.ListOption{&client.ListOptions{Raw: raw}, client.InNamespace(kind.Namespace), i.Labels}
		if kind.Name != "" {
			limits = append(limits, client.MatchingFields{"metadata.name": kind.Name})
		}
		return limits
	}
	lister := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, raw metav1.ListOptions) (runtime.Object, error) {
			c, err := i.Source.Client(ctx, clusterID)
			if err != nil {
				return nil, err
			}
			list := newList()
			return list, c.List(ctx, list, options(&raw)...)
		},
		WatchFuncWithContext: func(ctx context.Context, raw metav1.ListOptions) (watch.Interface, error) {
			c, err := i.Source.Client(ctx, clusterID)
			if err != nil {
				return nil, err
			}
			return c.Watch(ctx, newList(), options(&raw)...)
		},
	}
	store := &digests[T]{inventory: i, clusterID: clusterID, kind: kind.GroupVersionKind, into: f}
	cache.NewReflectorWithOptions(lister, &metav1.PartialObjectMetadata{}, store, cache.ReflectorOptions{
		Name:    kind.Kind,
		Backoff: &wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 6, Cap: 5 * time.Second},
	}).RunWithContext(ctx)
}

// digests is one kind of one cluster, as the reflector feeds it.
type digests[T comparable] struct {
	inventory *Inventory[T]
	clusterID string
	kind      schema.GroupVersionKind
	into      *following[T]
}

// Add is the reflector's.
func (d *digests[T]) Add(object any) error { return d.Update(object) }

// Update is the reflector's.
func (d *digests[T]) Update(object any) error {
	key, digest, err := d.reduce(object)
	if err != nil {
		return err
	}
	d.into.mu.Lock()
	all := d.into.digests[d.kind] // there since Replace, which comes first
	old, had := all[key]
	all[key] = digest
	d.into.mu.Unlock()
	if !had || old != digest {
		d.inventory.Changed(d.clusterID, Ref{d.kind, key})
	}
	return nil
}

// Delete is the reflector's.
func (d *digests[T]) Delete(object any) error {
	key, _, err := d.reduce(object)
	if err != nil {
		return err
	}
	d.into.mu.Lock()
	delete(d.into.digests[d.kind], key)
	d.into.mu.Unlock()
	d.inventory.Changed(d.clusterID, Ref{d.kind, key})
	return nil
}

// Replace is the reflector's: a complete list.
func (d *digests[T]) Replace(list []any, _ string) error {
	all := make(map[client.ObjectKey]T, len(list))
	for _, object := range list {
		key, digest, err := d.reduce(object)
		if err != nil {
			return err
		}
		all[key] = digest
	}
	d.into.mu.Lock()
	before := d.into.digests[d.kind]
	d.into.digests[d.kind] = all
	d.into.mu.Unlock()
	for key, digest := range all {
		if old, had := before[key]; !had || old != digest {
			d.inventory.Changed(d.clusterID, Ref{d.kind, key})
		}
	}
	for key := range before {
		if _, has := all[key]; !has {
			d.inventory.Changed(d.clusterID, Ref{d.kind, key})
		}
	}
	return nil
}

// Resync is the reflector's; there is nothing to do.
func (d *digests[T]) Resync() error { return nil }

func (d *digests[T]) reduce(object any) (client.ObjectKey, T, error) {
	metadata, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		var none T
		return client.ObjectKey{}, none, fmt.Errorf("inventory of %s: unexpected object %T", d.kind.Kind, object)
	}
	return client.ObjectKeyFromObject(metadata), d.inventory.Digest(metadata), nil
}
