// Package objects is an object store that hangs when it is told to: as much of S3 as a store
// of backups needs, in memory.
package objects

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Query is the part of a URL s3://… that has this answer, but for the endpoint.
const Query = "region=us-east-1&use_path_style=true&disable_https=true&anonymous=true" +
	"&request_checksum_calculation=when_required&response_checksum_validation=when_required"

// Store is a handler that has one bucket, under whatever name it is asked for it.
type Store struct {
	mu      sync.Mutex
	objects map[string]object
	// parts are those of uploads that are not complete.
	parts map[string]map[int][]byte
	// hangs is closed when requests are answered again; nil while they are.
	hangs chan struct{}
	// held is how many requests have come since it hangs.
	held int
}

type object struct {
	content []byte
	at      time.Time
}

// New has nothing.
func New() *Store {
	return &Store{objects: map[string]object{}, parts: map[string]map[int][]byte{}}
}

// Hang has every request wait until release is called.
func (s *Store) Hang() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hangs := make(chan struct{})
	s.hangs, s.held = hangs, 0
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(hangs)
		if s.hangs == hangs {
			s.hangs = nil
		}
	})
}

// Held is how many requests have come since it last began to hang.
func (s *Store) Held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

// Names are the objects that it has, in order.
func (s *Store) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// ServeHTTP implements http.Handler.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.answers(r) {
		return
	}
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodGet && key == "":
		s.list(w, query.Get("prefix"), query.Get("delimiter"))
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		s.get(w, r, key)
	case r.Method == http.MethodPut && query.Has("partNumber"):
		s.putPart(w, r)
	case r.Method == http.MethodPut:
		s.put(w, r, key)
	case r.Method == http.MethodPost && query.Has("uploads"):
		s.begin(w, key)
	case r.Method == http.MethodPost && query.Has("uploadId"):
		s.complete(w, key, query.Get("uploadId"))
	case r.Method == http.MethodDelete:
		s.remove(w, key, query.Get("uploadId"))
	default:
		w.WriteHeader(http.StatusNotImplemented)
	}
}

// answers waits while it hangs. Who does not wait for the end of that gets no answer.
func (s *Store) answers(r *http.Request) bool {
	s.mu.Lock()
	hangs := s.hangs
	if hangs != nil {
		s.held++
	}
	s.mu.Unlock()
	if hangs == nil {
		return true
	}
	select {
	case <-hangs:
		return true
	case <-r.Context().Done():
		return false
	}
}

type listed struct {
	XMLName        xml.Name `xml:"ListBucketResult"`
	IsTruncated    bool
	KeyCount       int
	Contents       []listedObject
	CommonPrefixes []listedPrefix
}

type listedObject struct {
	Key, LastModified, ETag string
	Size                    int
}

type listedPrefix struct{ Prefix string }

func (s *Store) list(w http.ResponseWriter, prefix, delimiter string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found listed
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		rest, within := strings.CutPrefix(key, prefix)
		if !within {
			continue
		}
		if at := strings.Index(rest, delimiter); delimiter != "" && at >= 0 {
			common := listedPrefix{Prefix: prefix + rest[:at+len(delimiter)]}
			if !slices.Contains(found.CommonPrefixes, common) {
				found.CommonPrefixes = append(found.CommonPrefixes, common)
			}
			continue
		}
		o := s.objects[key]
		found.Contents = append(found.Contents, listedObject{Key: key, LastModified: o.at.UTC().Format(time.RFC3339), ETag: o.tag(), Size: len(o.content)})
	}
	found.KeyCount = len(found.Contents) + len(found.CommonPrefixes)
	answer(w, found)
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(value) // whoever asked has gone
}

// tag tells contents apart well enough.
func (o object) tag() string { return fmt.Sprintf(`"%d-%d"`, o.at.UnixNano(), len(o.content)) }

func (s *Store) get(w http.ResponseWriter, r *http.Request, key string) {
	s.mu.Lock()
	o, there := s.objects[key]
	s.mu.Unlock()
	if !there {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", o.tag())
	http.ServeContent(w, r, "", o.at, bytes.NewReader(o.content))
}

func (s *Store) put(w http.ResponseWriter, r *http.Request, key string) {
	content, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("ETag", s.store(key, content).tag())
}

// store keeps an object. The caller holds the lock.
func (s *Store) store(key string, content []byte) object {
	o := object{content: content, at: time.Now()}
	s.objects[key] = o
	return o
}

func (s *Store) begin(w http.ResponseWriter, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := strconv.Itoa(len(s.parts)) + "-" + strconv.FormatInt(time.Now().UnixNano(), 10)
	s.parts[id] = map[int][]byte{}
	answer(w, struct {
		XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
		Key      string
		UploadID string `xml:"UploadId"`
	}{Key: key, UploadID: id})
}

func (s *Store) putPart(w http.ResponseWriter, r *http.Request) {
	number, numberErr := strconv.Atoi(r.URL.Query().Get("partNumber"))
	content, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := s.parts[r.URL.Query().Get("uploadId")]
	if numberErr != nil || err != nil || parts == nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	parts[number] = content
	w.Header().Set("ETag", object{content: content}.tag())
}

// complete makes an object of all parts that were sent.
func (s *Store) complete(w http.ResponseWriter, key, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var content []byte
	for _, number := range slices.Sorted(maps.Keys(s.parts[id])) {
		content = append(content, s.parts[id][number]...)
	}
	delete(s.parts, id)
	answer(w, struct {
		XMLName   xml.Name `xml:"CompleteMultipartUploadResult"`
		Key, ETag string
	}{Key: key, ETag: s.store(key, content).tag()})
}

func (s *Store) remove(w http.ResponseWriter, key, upload string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if upload != "" {
		delete(s.parts, upload)
	} else {
		delete(s.objects, key)
	}
	w.WriteHeader(http.StatusNoContent)
}
