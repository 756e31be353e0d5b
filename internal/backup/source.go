package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"filippo.io/age"
)

// Source gives backups back, opened, to the control planes that they are of. Only what
// recovers or proves a cluster's data asks it: no call of a customer's leads here (C3).
type Source struct {
	// Allow says whether the caller holds the certificate of the cluster's own.
	Allow func(r *http.Request, clusterID string) error
	// Vault says where a cluster's backups are, and with which key they open.
	Vault func(ctx context.Context, clusterID string) (stores []string, key string, err error)
	Log   *slog.Logger
}

// Handler answers GET /backups/{id} with the list of backups, the oldest first, and
// GET /backups/{id}/{name} with what is in one. 404: there is none; 422: it is damaged in
// every store; 503: a store does not answer.
func (s Source) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /backups/{id}", s.list)
	mux.HandleFunc("GET /backups/{id}/{name}", s.get)
	return mux
}

func (s Source) list(w http.ResponseWriter, r *http.Request) {
	stores, _, err := s.open(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	defer closeAll(stores)
	known, answered := map[string]bool{}, false
	answer := struct {
		Backups []Object `json:"backups"`
	}{Backups: []Object{}}
	silent := error(nil)
	for _, store := range stores {
		objects, err := store.List(r.Context())
		if err != nil {
			s.Log.Warn("store of backups does not answer", "store", store.URL, "error", err)
			silent = err
			continue
		}
		answered = true
		for _, object := range objects {
			if !known[object.Name] {
				known[object.Name] = true
				answer.Backups = append(answer.Backups, object)
			}
		}
	}
	if !answered {
		s.refuse(w, r, silent)
		return
	}
	order(answer.Backups)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// errMissing says that a store has no such object.
var errMissing = errors.New("no such backup")

// errDamaged says that an object does not open.
var errDamaged = errors.New("damaged")

// errForbidden says that the caller is not who it would have to be.
var errForbidden = errors.New("forbidden")

func (s Source) get(w http.ResponseWriter, r *http.Request) {
	stores, key, err := s.open(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	defer closeAll(stores)
	name := r.PathValue("name")
	if _, ok := parse(name); !ok {
		s.refuse(w, r, fmt.Errorf("%q is no backup's name: %w", name, errMissing))
		return
	}
	store, err := whole(r.Context(), stores, name, key)
	if err == nil {
		w.Header().Set("Content-Type", "application/octet-stream")
		if err = unsealFrom(r.Context(), store, name, key, w); err != nil {
			// What was sent is a part: the caller must not take it for all.
			s.Log.Warn("backup could not be given back to its end", "backup", name, "error", err)
			panic(http.ErrAbortHandler)
		}
		return
	}
	s.refuse(w, r, err)
}

// whole returns the first store whose object opens. It is read for that once more than
// is needed, so that the answer's status can be believed.
func whole(ctx context.Context, stores []*Store, name, key string) (*Store, error) {
	worst := fmt.Errorf("%s: %w", name, errMissing)
	for _, store := range stores {
		err := unsealFrom(ctx, store, name, key, io.Discard)
		switch {
		case err == nil:
			return store, nil
		case errors.Is(err, errMissing):
		case errors.Is(err, errDamaged) && !errors.Is(worst, errMissing) && !errors.Is(worst, errDamaged):
			// A store that does not answer may have a whole one.
		default:
			worst = err
		}
	}
	return nil, worst
}

func unsealFrom(ctx context.Context, store *Store, name, key string, to io.Writer) error {
	identity, err := parseKey(key)
	if err != nil {
		return err
	}
	sealed, err := store.open(ctx, name)
	if err != nil {
		return err
	}
	defer sealed.Close()
	reading := &reader{from: sealed}
	if err := unseal(to, reading, age.Identity(identity)); err != nil {
		if reading.err != nil {
			return fmt.Errorf("read %s in %s: %w", name, store.URL, reading.err)
		}
		return fmt.Errorf("%s in %s is %w: %w", name, store.URL, errDamaged, err)
	}
	return nil
}

// reader remembers why reading failed, which is not the fault of what is read.
type reader struct {
	from io.Reader
	err  error
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// open finds out whether the caller may, and opens those of the cluster's stores that
// can be: the loss of one of two must not stand in the way of a recovery.
func (s Source) open(r *http.Request) ([]*Store, string, error) {
	id := r.PathValue("id")
	if err := s.Allow(r, id); err != nil {
		return nil, "", fmt.Errorf("%w: %w", errForbidden, err)
	}
	addresses, key, err := s.Vault(r.Context(), id)
	if err != nil {
		return nil, "", err
	}
	silent := errors.New("the cluster has no store of backups")
	stores := make([]*Store, 0, len(addresses))
	for _, address := range addresses {
		store, err := OpenStore(r.Context(), address, id)
		if err != nil {
			s.Log.Warn("store of backups does not open", "error", err)
			silent = err
			continue
		}
		stores = append(stores, store)
	}
	if len(stores) == 0 {
		return nil, "", silent
	}
	return stores, key, nil
}

func closeAll(stores []*Store) {
	for _, store := range stores {
		store.Close()
	}
}

func (s Source) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusServiceUnavailable
	switch {
	case errors.Is(err, errForbidden):
		status = http.StatusForbidden
	case errors.Is(err, errMissing):
		status = http.StatusNotFound
	case errors.Is(err, errDamaged):
		status = http.StatusUnprocessableEntity
	}
	s.Log.Warn("backup not given back", "path", r.URL.Path, "status", status, "error", err)
	http.Error(w, http.StatusText(status), status)
}
