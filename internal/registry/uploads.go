package registry

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	maxUploads = 64
	// uploadIdle is how long an upload may stand still before another may take its place.
	uploadIdle = time.Hour
)

// uploads are the blobs being received. They do not outlive the process; clients start again.
type uploads struct {
	store store
	mu    sync.Mutex
	byID  map[string]*upload
}

type upload struct {
	name string
	used time.Time // guarded by uploads.mu

	mu   sync.Mutex
	file *os.File
	sum  hash.Hash
	size int64
}

func newUploads(s store) *uploads { return &uploads{store: s, byID: map[string]*upload{}} }

func (u *uploads) start(name string) (string, *upload, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, old := range u.byID {
		if time.Since(old.used) > uploadIdle && old.mu.TryLock() {
			discard(old.file)
			delete(u.byID, id)
			old.mu.Unlock()
		}
	}
	if len(u.byID) >= maxUploads {
		return "", nil, errBusy
	}
	file, err := u.store.receive()
	if err != nil {
		return "", nil, full(err)
	}
	id := rand.Text()
	u.byID[id] = &upload{name: name, used: time.Now(), file: file, sum: sha256.New()}
	return id, u.byID[id], nil
}

func (u *uploads) find(name, id string) (*upload, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	found, ok := u.byID[id]
	if !ok || found.name != name {
		return nil, errUploadUnknown
	}
	found.used = time.Now()
	return found, nil
}

func (u *uploads) forget(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.byID, id)
}

// add appends a chunk. If the client breaks off, what came is kept and counted; if the disk fails, the upload is lost.
func (up *upload) add(chunk io.Reader, contentRange string) error {
	if contentRange != "" {
		first, _, _ := strings.Cut(contentRange, "-")
		if start, err := strconv.ParseInt(first, 10, 64); err != nil || start != up.size {
			return errRange
		}
	}
	n, err := io.Copy(io.MultiWriter(up.file, up.sum), chunk)
	up.size += n
	var path *os.PathError
	if errors.As(err, &path) {
		return full(err)
	}
	if err != nil {
		return errUploadInvalid
	}
	return nil
}

// full tells a client of a full disk; other failures stay internal.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errFull
	}
	return err
}

func (r *Registry) startUpload(w http.ResponseWriter, request *http.Request, name string) error {
	if request.Method != http.MethodPost {
		return errMethod
	}
	query := request.URL.Query()
	if mount := query.Get("mount"); mount != "" {
		if digest, err := parseDigest(mount); err == nil {
			if _, ok := r.find(digest); ok {
				created(w, name, digest)
				return nil
			}
		}
	}
	if query.Get("digest") != "" {
		if _, err := parseDigest(query.Get("digest")); err != nil {
			return err
		}
	}
	id, up, err := r.uploads.start(name)
	if err != nil {
		return err
	}
	if query.Get("digest") != "" {
		up.mu.Lock()
		defer up.mu.Unlock()
		return r.finishUpload(w, request, id, up)
	}
	progress(w, name, id, up, http.StatusAccepted)
	return nil
}

func (r *Registry) upload(w http.ResponseWriter, request *http.Request, name, id string) error {
	up, err := r.uploads.find(name, id)
	if err != nil {
		return err
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	switch request.Method {
	case http.MethodGet:
		progress(w, name, id, up, http.StatusNoContent)
		return nil
	case http.MethodPatch:
		if err := up.add(request.Body, request.Header.Get("Content-Range")); err != nil {
			return r.endOn(err, id, up)
		}
		progress(w, name, id, up, http.StatusAccepted)
		return nil
	case http.MethodPut:
		return r.finishUpload(w, request, id, up)
	case http.MethodDelete:
		r.uploads.forget(id)
		discard(up.file)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return errMethod
}

// endOn drops the upload unless the client may go on with it.
func (r *Registry) endOn(err error, id string, up *upload) error {
	if !errors.Is(err, errRange) && !errors.Is(err, errUploadInvalid) {
		r.uploads.forget(id)
		discard(up.file)
	}
	return err
}

// finishUpload takes the last chunk and stores the blob if it has the digest that the client says.
func (r *Registry) finishUpload(w http.ResponseWriter, request *http.Request, id string, up *upload) error {
	digest, err := parseDigest(request.URL.Query().Get("digest"))
	if err != nil {
		return err
	}
	if err := up.add(request.Body, request.Header.Get("Content-Range")); err != nil {
		return r.endOn(err, id, up)
	}
	r.uploads.forget(id)
	if got := hex.EncodeToString(up.sum.Sum(nil)); got != digest.Hex {
		discard(up.file)
		return errDigest.with(fmt.Sprintf("received %d bytes with digest sha256:%s", up.size, got))
	}
	if err := r.store.commit(up.file, r.store.blob(digest)); err != nil {
		return full(err)
	}
	created(w, up.name, digest)
	return nil
}

func created(w http.ResponseWriter, name string, digest v1.Hash) {
	w.Header().Set("Location", "/v2/"+name+"/blobs/"+digest.String())
	w.Header().Set("Docker-Content-Digest", digest.String())
	w.WriteHeader(http.StatusCreated)
}

func progress(w http.ResponseWriter, name, id string, up *upload, status int) {
	w.Header().Set("Location", "/v2/"+name+"/blobs/uploads/"+id)
	w.Header().Set("Docker-Upload-Uuid", id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, up.size-1)))
	w.WriteHeader(status)
}
