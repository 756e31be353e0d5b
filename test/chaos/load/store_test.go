package load

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

var errNoAnswer = errors.New("no answer")

var resource = schema.GroupResource{Resource: "configmaps"}

// store has what was written to it, as an API server with its etcd has, and answers as badly
// as one under faults does.
type store struct {
	typedv1.ConfigMapInterface // nothing else is called

	mu       sync.Mutex
	objects  map[string]corev1.ConfigMap
	revision int
	// faults draws what becomes of a request; nil where each is answered.
	faults *rand.Rand
}

func newStore(faults *rand.Rand) *store {
	return &store{objects: map[string]corev1.ConfigMap{}, faults: faults}
}

// do carries a request out, perhaps: it may get no answer before or after that, be carried
// out late or be sent a second time by a client that had no answer to the first.
func (s *store) do(request func() error) error {
	locked := func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		return request()
	}
	switch s.draw() {
	case 0:
		return errNoAnswer
	case 1:
		_ = locked()
		return errNoAnswer
	case 2:
		time.AfterFunc(3*time.Second, func() { _ = locked() })
		return errNoAnswer
	case 3:
		_ = locked()
		return locked()
	default:
		return locked()
	}
}

func (s *store) draw() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults == nil {
		return -1
	}
	return s.faults.IntN(20)
}

// keep stores an object; the caller holds the lock.
func (s *store) keep(object *corev1.ConfigMap) *corev1.ConfigMap {
	s.revision++
	kept := object.DeepCopy()
	kept.ResourceVersion = strconv.Itoa(s.revision)
	s.objects[kept.Name] = *kept
	return kept.DeepCopy()
}

func (s *store) Create(_ context.Context, object *corev1.ConfigMap, _ metav1.CreateOptions) (*corev1.ConfigMap, error) {
	return nil, s.do(func() error {
		if _, found := s.objects[object.Name]; found {
			return apierrors.NewAlreadyExists(resource, object.Name)
		}
		s.keep(object)
		return nil
	})
}

func (s *store) Update(_ context.Context, object *corev1.ConfigMap, _ metav1.UpdateOptions) (*corev1.ConfigMap, error) {
	return nil, s.do(func() error {
		now, found := s.objects[object.Name]
		if !found {
			return apierrors.NewNotFound(resource, object.Name)
		}
		if now.ResourceVersion != object.ResourceVersion {
			return apierrors.NewConflict(resource, object.Name, errors.New("it is another one"))
		}
		s.keep(object)
		return nil
	})
}

func (s *store) Delete(_ context.Context, name string, _ metav1.DeleteOptions) error {
	return s.do(func() error {
		if _, found := s.objects[name]; !found {
			return apierrors.NewNotFound(resource, name)
		}
		s.revision++
		delete(s.objects, name)
		return nil
	})
}

func (s *store) Get(_ context.Context, name string, _ metav1.GetOptions) (*corev1.ConfigMap, error) {
	var found corev1.ConfigMap
	err := s.do(func() error {
		now, there := s.objects[name]
		if !there {
			return apierrors.NewNotFound(resource, name)
		}
		found = *now.DeepCopy()
		return nil
	})
	return &found, err
}

func (s *store) List(context.Context, metav1.ListOptions) (*corev1.ConfigMapList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list corev1.ConfigMapList
	for object := range maps.Values(s.objects) {
		list.Items = append(list.Items, *object.DeepCopy())
	}
	return &list, nil
}

// backup is what the store has.
func (s *store) backup() map[string]corev1.ConfigMap {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.objects)
}

// restore puts back what it had, as a recovery does: revisions are never used again.
func (s *store) restore(objects map[string]corev1.ConfigMap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects = maps.Clone(objects)
	s.revision += 1e6
}

// takeBack takes so much from the value of an object, all of it where that is zero, and
// returns what it was.
func (s *store) takeBack(name string, by int) (was int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	object := s.objects[name]
	was = valueOf(&object)
	if delete(s.objects, name); by > 0 {
		object.Data = map[string]string{valueKey: strconv.Itoa(was - by)}
		s.keep(&object)
	}
	return was
}

// answerWell ends the faults.
func (s *store) answerWell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}
