package registry

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Config is what a Registry needs: Dir, Layouts or both.
type Config struct {
	// Dir holds what is pushed and seeded. It is made if missing. Several processes of a host may use it at a time.
	// Without it the registry is read-only. A directory that holds OCI layouts is taken for Layouts, so that one
	// option can name either.
	Dir string
	// Layouts is a directory of OCI layouts that are served where they lie, without a copy and named as Seed does. It
	// may be read-only and may change. Where both have a tag, Dir's counts.
	Layouts string
	// Writers are the users who may push, with their passwords. Without any, nobody may.
	Writers map[string]string
	// Log gets failures that are the server's own; nil means none.
	Log *slog.Logger
}

// Registry is the http.Handler for /v2/.
type Registry struct {
	store   store
	layouts *layouts
	uploads *uploads
	writers map[string]string
	log     *slog.Logger
}

// orphanAge is how long content that no manifest names is kept, so that an interrupted push can be taken up again.
const orphanAge = time.Hour

// New opens the registry in config.Dir, and removes what processes that have ended left half received, and content
// that no manifest has named for an hour, unless somebody takes content in right now.
func New(config Config) (*Registry, error) {
	log := config.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if config.Layouts == "" && holdsLayouts(config.Dir) {
		config.Dir, config.Layouts = "", config.Dir
	}
	s, err := openStore(config.Dir)
	if err != nil {
		return nil, err
	}
	if err := s.aloneNow(func() error { return s.sweep(time.Now().Add(-orphanAge)) }); err != nil {
		return nil, err
	}
	return &Registry{store: s, layouts: &layouts{dir: config.Layouts, log: log}, uploads: newUploads(s), writers: config.Writers, log: log}, nil
}

var (
	repositoryName = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagName        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// ServeHTTP answers one request of the distribution protocol.
func (r *Registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if err := r.route(w, request); err != nil {
		r.fail(w, request, err)
	}
}

func (r *Registry) route(w http.ResponseWriter, request *http.Request) error {
	path, ok := strings.CutPrefix(request.URL.Path, "/v2")
	if !ok {
		return errNoSuchPath
	}
	switch path = strings.Trim(path, "/"); path {
	case "":
		return r.base(w, request)
	case "_catalog":
		return r.catalog(w, request)
	}
	parts := strings.Split(path, "/")
	if len(parts) < 3 {
		return errNoSuchPath
	}
	if err := r.authorize(request); err != nil {
		return err
	}
	name, kind, last := strings.Join(parts[:len(parts)-2], "/"), parts[len(parts)-2], parts[len(parts)-1]
	if kind == "uploads" && strings.HasSuffix(name, "/blobs") {
		return r.upload(w, request, strings.TrimSuffix(name, "/blobs"), last)
	}
	if !repositoryName.MatchString(name) || len(name) > 255 {
		return errName
	}
	switch {
	case kind == "blobs" && last == "uploads":
		return r.startUpload(w, request, name)
	case kind == "blobs":
		return r.blob(w, request, last)
	case kind == "manifests":
		return r.manifest(w, request, name, last)
	case kind == "tags" && last == "list":
		return r.tags(w, request, name)
	}
	return errNoSuchPath
}

// authorize lets everybody read and writers write.
func (r *Registry) authorize(request *http.Request) error {
	switch {
	case request.Method == http.MethodGet || request.Method == http.MethodHead:
		return nil
	case !r.writer(request):
		return errUnauthorized
	case r.store.dir == "":
		return errReadOnly
	}
	return nil
}

// base answers the ping. A stranger is asked for credentials, because clients that push learn only here that they are
// needed; pulling works without.
func (r *Registry) base(w http.ResponseWriter, request *http.Request) error {
	if len(r.writers) > 0 && r.store.dir != "" && !r.writer(request) {
		return errUnauthorized
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// writer says whether the request carries a writer's credentials, in the same time for every wrong answer.
func (r *Registry) writer(request *http.Request) bool {
	user, password, ok := request.BasicAuth()
	if !ok {
		return false
	}
	stored, known := r.writers[user]
	given, wanted := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(stored))
	return subtle.ConstantTimeCompare(given[:], wanted[:]) == 1 && known && stored != ""
}

// parseDigest accepts sha256 alone, the only algorithm that the store checks.
func parseDigest(text string) (v1.Hash, error) {
	digest, err := v1.NewHash(text)
	if err != nil || digest.Algorithm != "sha256" {
		return v1.Hash{}, errDigest.with(fmt.Sprintf("%q is not sha256:<64 hex digits>", text))
	}
	return digest, nil
}

func (r *Registry) fail(w http.ResponseWriter, request *http.Request, err error) {
	var known *apiError
	if !errors.As(err, &known) {
		r.log.Error("registry", "method", request.Method, "path", request.URL.Path, "error", err)
		known = errInternal
	}
	if known == errUnauthorized {
		w.Header().Set("Www-Authenticate", `Basic realm="berth"`)
	}
	known.write(w)
}
