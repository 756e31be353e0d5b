package network

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// apiServer is as much of an API server as a reflector needs: lists, and watches with their whole history.
type apiServer struct {
	mu      sync.Mutex
	grown   *sync.Cond
	events  []apiEvent
	objects map[string]map[string]Object // by resource and key
	closed  bool
}

type apiEvent struct {
	resource string
	kind     string // ADDED, MODIFIED, DELETED
	object   json.RawMessage
}

func newAPIServer(t *testing.T, listener net.Listener) *apiServer {
	s := &apiServer{objects: map[string]map[string]Object{}}
	s.grown = sync.NewCond(&s.mu)
	server := &http.Server{Handler: s}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.grown.Broadcast()
		_ = server.Close()
	})
	return s
}

// put creates or replaces an object; kind is its Kind and resource its plural.
func (s *apiServer) put(resource, kind, version string, object Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects[resource] == nil {
		s.objects[resource] = map[string]Object{}
	}
	key := object.GetNamespace() + "/" + object.GetName()
	event := "ADDED"
	if _, exists := s.objects[resource][key]; exists {
		event = "MODIFIED"
	}
	object.GetObjectKind().SetGroupVersionKind(schema.FromAPIVersionAndKind(version, kind))
	s.objects[resource][key] = object
	s.record(resource, event, object)
}

func (s *apiServer) remove(resource, namespace, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	object := s.objects[resource][namespace+"/"+name]
	delete(s.objects[resource], namespace+"/"+name)
	s.record(resource, "DELETED", object)
}

func (s *apiServer) record(resource, kind string, object Object) {
	object.SetResourceVersion(strconv.Itoa(len(s.events) + 1))
	object.SetGeneration(int64(len(s.events) + 1))
	data, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	s.events = append(s.events, apiEvent{resource, kind, data})
	s.grown.Broadcast()
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resource := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	query := r.URL.Query()
	w.Header().Set("Content-Type", "application/json")
	if query.Get("watch") == "" {
		s.list(w, resource)
		return
	}
	if query.Get("sendInitialEvents") == "true" {
		http.Error(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`, http.StatusUnprocessableEntity)
		return
	}
	next, _ := strconv.Atoi(query.Get("resourceVersion"))
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-r.Context().Done():
			s.grown.Broadcast()
		case <-stop:
		}
	}()
	s.stream(w, r, resource, next)
}

func (s *apiServer) list(w http.ResponseWriter, resource string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kinds := map[string]string{"nodes": "Node", "pods": "Pod", "namespaces": "Namespace", "networkpolicies": "NetworkPolicy"}
	version := "v1"
	if resource == "networkpolicies" {
		version = "networking.k8s.io/v1"
	}
	items := []Object{}
	for _, object := range s.objects[resource] {
		items = append(items, object)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": kinds[resource] + "List", "apiVersion": version, "items": items,
		"metadata": map[string]string{"resourceVersion": strconv.Itoa(len(s.events))},
	})
}

func (s *apiServer) stream(w http.ResponseWriter, r *http.Request, resource string, next int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.(http.Flusher).Flush()
	for {
		for next < len(s.events) {
			event := s.events[next]
			next++
			if event.resource == resource {
				fmt.Fprintf(w, "{\"type\":%q,\"object\":%s}\n", event.kind, event.object)
			}
		}
		w.(http.Flusher).Flush()
		if s.closed || r.Context().Err() != nil {
			return
		}
		s.grown.Wait()
	}
}
