package tenant

import (
	"context"
	"errors"
	"sync"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Kind is a kind of object that is watched in tenant clusters.
type Kind string

// The kinds that Watches watches.
const (
	KindNode    Kind = "Node"
	KindRequest Kind = "CertificateSigningRequest"
)

// Event says that an object of a tenant cluster appeared, changed or went away.
// It carries no content: whoever acts on it reads the object.
type Event struct {
	ClusterID string
	Kind      Kind
	Name      string
}

// Watches keeps one watch of Nodes and one of certificate signing requests for
// each cluster that it is told of. It is safe for concurrent use.
type Watches struct {
	source Source

	mu       sync.Mutex
	root     context.Context
	running  map[string]context.CancelFunc
	wanted   map[string]bool
	names    map[string]map[Kind]cache.Store
	handlers []func(Event)
	group    sync.WaitGroup
}

// NewWatches returns a registry without a cluster.
func NewWatches(source Source) *Watches {
	return &Watches{
		source: source, running: map[string]context.CancelFunc{}, wanted: map[string]bool{},
		names: map[string]map[Kind]cache.Store{},
	}
}

// Subscribe calls the handler for all that is there, and adds it for all later
// events. Handlers run on the watches' own goroutines and must not block.
func (w *Watches) Subscribe(handler func(Event)) {
	w.mu.Lock()
	w.handlers = append(w.handlers, handler)
	var there []Event
	for id, stores := range w.names {
		for kind, store := range stores {
			for _, name := range store.ListKeys() {
				there = append(there, Event{ClusterID: id, Kind: kind, Name: name})
			}
		}
	}
	w.mu.Unlock()
	for _, event := range there {
		handler(event)
	}
}

// Start runs the watches until ctx ends, and returns when they all have ended.
func (w *Watches) Start(ctx context.Context) error {
	w.mu.Lock()
	w.root = ctx
	for id := range w.wanted {
		w.launch(id)
	}
	w.mu.Unlock()
	<-ctx.Done()
	w.mu.Lock()
	w.root = nil
	clear(w.running)
	clear(w.names)
	w.mu.Unlock()
	w.group.Wait()
	return nil
}

// Keep watches a cluster from now on, or from Start on. A cluster that is
// watched already is left alone.
func (w *Watches) Keep(clusterID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wanted[clusterID] = true
	w.launch(clusterID)
}

// Stop ends the watch of a cluster.
func (w *Watches) Stop(clusterID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.wanted, clusterID)
	if cancel := w.running[clusterID]; cancel != nil {
		cancel()
		delete(w.running, clusterID)
		delete(w.names, clusterID)
	}
}

// launch needs the lock.
func (w *Watches) launch(clusterID string) {
	if w.root == nil || w.root.Err() != nil || w.running[clusterID] != nil {
		return
	}
	ctx, cancel := context.WithCancel(w.root)
	w.running[clusterID] = cancel
	w.names[clusterID] = map[Kind]cache.Store{}
	for kind, list := range watchedLists() {
		w.group.Go(func() { w.run(ctx, clusterID, kind, list) })
	}
}

func watchedLists() map[Kind]func() client.ObjectList {
	return map[Kind]func() client.ObjectList{
		KindNode:    func() client.ObjectList { return &corev1.NodeList{} },
		KindRequest: func() client.ObjectList { return &certificatesv1.CertificateSigningRequestList{} },
	}
}

// run keeps a list-watch going. The reflector underneath retries with backoff,
// so that an API server may come later or go for a while.
func (w *Watches) run(ctx context.Context, clusterID string, kind Kind, newList func() client.ObjectList) {
	lister := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			c, err := w.source.Client(ctx, clusterID)
			if err != nil {
				return nil, err
			}
			list := newList()
			err = c.List(ctx, list, &client.ListOptions{Raw: &options})
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			c, err := w.source.Client(ctx, clusterID)
			if err != nil {
				return nil, err
			}
			return c.Watch(ctx, newList(), &client.ListOptions{Raw: &options})
		},
	}
	informer := cache.NewSharedIndexInformer(lister, nil, 0, nil)
	emit := func(object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		if accessor, err := meta.Accessor(object); err == nil {
			w.emit(Event{ClusterID: clusterID, Kind: kind, Name: accessor.GetName()})
		}
	}
	// Only names are of use here, so nothing else is kept in memory.
	err := errors.Join(informer.SetTransform(keepName), informer.SetWatchErrorHandlerWithContext(quiet))
	if err != nil {
		return
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: emit, UpdateFunc: func(_, now any) { emit(now) }, DeleteFunc: emit,
	}); err != nil {
		return
	}
	w.mu.Lock()
	if stores := w.names[clusterID]; stores != nil && ctx.Err() == nil {
		stores[kind] = informer.GetStore()
	}
	w.mu.Unlock()
	informer.RunWithContext(ctx)
}

// quiet drops what a watch complains about: an API server that is not there yet
// is no news, and the reconcilers report what stays unreachable.
func quiet(context.Context, *cache.Reflector, error) {}

func keepName(object any) (any, error) {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return object, nil //nolint:nilerr // what has no metadata is kept as it is
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: accessor.GetName(), UID: accessor.GetUID(), ResourceVersion: accessor.GetResourceVersion(),
	}}, nil
}

func (w *Watches) emit(event Event) {
	w.mu.Lock()
	handlers := w.handlers
	w.mu.Unlock()
	for _, handler := range handlers {
		handler(event)
	}
}
