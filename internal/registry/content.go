package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const maxManifestBytes = 4 << 20

// blob serves content by digest, also in ranges. Content is the same in every repository: pulling is open anyway.
func (r *Registry) blob(w http.ResponseWriter, request *http.Request, reference string) error {
	if request.Method != http.MethodGet && request.Method != http.MethodHead {
		return errMethod
	}
	digest, err := parseDigest(reference)
	if err != nil {
		return err
	}
	path, ok := r.find(digest)
	if !ok {
		return errBlobUnknown
	}
	file, err := os.Open(path)
	if err != nil {
		return missing(err, errBlobUnknown)
	}
	defer file.Close()
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Docker-Content-Digest", digest.String())
	header.Set("Etag", `"`+digest.String()+`"`)
	http.ServeContent(w, request, "", time.Time{}, file)
	return nil
}

// find is the path of a blob, wherever it is.
func (r *Registry) find(digest v1.Hash) (path string, ok bool) {
	if _, ok := r.store.has(digest); ok {
		return r.store.blob(digest), true
	}
	return r.layouts.blob(digest)
}

// resolve is what a tag or digest means, first in the store and then in the layouts.
func (r *Registry) resolve(name, reference string) (v1.Hash, string, error) {
	digest, mediaType, err := r.store.resolve(name, reference)
	if errors.Is(err, errManifestUnknown) {
		if found, ok := r.layouts.resolve(name, reference); ok {
			return found.digest, found.mediaType, nil
		}
	}
	return digest, mediaType, err
}

func (r *Registry) manifest(w http.ResponseWriter, request *http.Request, name, reference string) error {
	switch request.Method {
	case http.MethodGet, http.MethodHead:
		return r.getManifest(w, request, name, reference)
	case http.MethodPut:
		return r.putManifest(w, request, name, reference)
	case http.MethodDelete:
		if err := r.store.alone(request.Context(), func() error { return r.store.unlink(name, reference) }); err != nil {
			return err
		}
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	return errMethod
}

func (r *Registry) getManifest(w http.ResponseWriter, request *http.Request, name, reference string) error {
	digest, mediaType, err := r.resolve(name, reference)
	if err != nil {
		return err
	}
	path, _ := r.find(digest)
	content, err := os.ReadFile(path)
	if err != nil {
		return missing(err, errManifestUnknown)
	}
	header := w.Header()
	header.Set("Content-Type", mediaType)
	header.Set("Content-Length", strconv.Itoa(len(content)))
	header.Set("Docker-Content-Digest", digest.String())
	header.Set("Etag", `"`+digest.String()+`"`)
	w.WriteHeader(http.StatusOK)
	if request.Method == http.MethodGet {
		_, _ = w.Write(content) // the client went away
	}
	return nil
}

func (r *Registry) putManifest(w http.ResponseWriter, request *http.Request, name, reference string) error {
	content, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxManifestBytes))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return errTooLarge
		}
		return errUploadInvalid
	}
	sum := sha256.Sum256(content)
	digest := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
	tag := reference
	if strings.Contains(reference, ":") {
		tag = ""
		if wanted, err := parseDigest(reference); err != nil || wanted != digest {
			return errDigest
		}
	} else if !tagName.MatchString(tag) {
		return errTag
	}
	err = r.store.beside(request.Context(), func() error {
		mediaType, err := r.check(name, content, request.Header.Get("Content-Type"))
		if err != nil {
			return err
		}
		if err := r.store.write(r.store.blob(digest), content); err != nil {
			return full(err)
		}
		return full(r.store.link(name, digest, mediaType, tag))
	})
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v2/"+name+"/manifests/"+digest.String())
	w.Header().Set("Docker-Content-Digest", digest.String())
	w.WriteHeader(http.StatusCreated)
	return nil
}

// check holds that the content is a manifest of its type and that all it names is here.
func (r *Registry) check(name string, content []byte, mediaType string) (string, error) {
	body, err := parseManifest(content)
	if err != nil {
		return "", errManifestInvalid.with(err.Error())
	}
	if mediaType == "" {
		mediaType = body.MediaType
	}
	kind := types.MediaType(mediaType)
	if !kind.IsImage() && !kind.IsIndex() || body.MediaType != "" && body.MediaType != mediaType {
		return "", errManifestInvalid.with(fmt.Sprintf("content type %q, media type %q", mediaType, body.MediaType))
	}
	for _, child := range body.Manifests {
		if _, _, err := r.resolve(name, child.Digest.String()); err != nil {
			return "", errManifestBlob.with("manifest " + child.Digest.String() + " is not here")
		}
	}
	for _, part := range body.blobs() {
		path, _ := r.find(part.Digest)
		if info, err := os.Stat(path); err != nil || info.Size() != part.Size {
			return "", errManifestBlob.with("blob " + part.Digest.String() + " is not here")
		}
	}
	return mediaType, nil
}

// manifestBody is what images and indexes name.
type manifestBody struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     string          `json:"mediaType"`
	Config        *v1.Descriptor  `json:"config"`
	Layers        []v1.Descriptor `json:"layers"`
	Manifests     []v1.Descriptor `json:"manifests"`
}

func parseManifest(content []byte) (manifestBody, error) {
	var body manifestBody
	if err := json.Unmarshal(content, &body); err != nil {
		return body, fmt.Errorf("parse manifest: %w", err)
	}
	if body.SchemaVersion != 2 {
		return body, fmt.Errorf("parse manifest: schemaVersion is %d, not 2", body.SchemaVersion)
	}
	for _, part := range append(body.blobs(), body.Manifests...) {
		if _, err := parseDigest(part.Digest.String()); err != nil {
			return body, fmt.Errorf("parse manifest: %w", err)
		}
	}
	return body, nil
}

func (m manifestBody) blobs() []v1.Descriptor {
	var parts []v1.Descriptor
	if m.Config != nil {
		parts = append(parts, *m.Config)
	}
	return append(parts, m.Layers...)
}

func (m manifestBody) references() []v1.Hash {
	var digests []v1.Hash
	for _, part := range append(m.blobs(), m.Manifests...) {
		digests = append(digests, part.Digest)
	}
	return digests
}

func (r *Registry) tags(w http.ResponseWriter, request *http.Request, name string) error {
	tags, err := r.store.listTags(name)
	served, ok := r.layouts.tags(name)
	if err != nil && (!ok || !errors.Is(err, errNameUnknown)) {
		return err
	}
	return page(w, request, merge(tags, served), func(tags []string) any {
		return map[string]any{"name": name, "tags": tags}
	})
}

func (r *Registry) catalog(w http.ResponseWriter, request *http.Request) error {
	names, err := r.store.listRepositories()
	if err != nil {
		return err
	}
	return page(w, request, merge(names, r.layouts.repositories()), func(names []string) any {
		return map[string]any{"repositories": names}
	})
}

// page answers with the part of a sorted list that n and last ask for, and a Link to what follows.
func page(w http.ResponseWriter, request *http.Request, all []string, body func([]string) any) error {
	if request.Method != http.MethodGet {
		return errMethod
	}
	query := request.URL.Query()
	last := query.Get("last")
	for last != "" && len(all) > 0 && all[0] <= last {
		all = all[1:]
	}
	if n, err := strconv.Atoi(query.Get("n")); err == nil && n >= 0 && n < len(all) {
		all = all[:n]
		if n > 0 {
			query.Set("last", all[n-1])
			w.Header().Set("Link", "<"+request.URL.Path+"?"+query.Encode()+`>; rel="next"`)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(body(all))
}
