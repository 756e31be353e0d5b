package backup

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"filippo.io/age"
)

// Source gives backups back, opened, to the control planes that they are of. Only what
// recovers or proves a cluster's data asks it: no call of a customer's leads here (C3).
type Source struct {
	// Allow says whether the caller holds the certificate of the cluster's own.
	Allow func(r *http.Request, clusterID string) error
	// Vault says where a cluster's backups are.
	Vault func(ctx context.Context, clusterID string) (Vault, error)
	Log   *slog.Logger
	// Patience is how long a store may say nothing before it counts as away (20 seconds if
	// zero), and Await how long a list waits for a store that reaches what is known to have
	// been stored (90 seconds if zero).
	Patience, Await time.Duration
	Now             func() time.Time
}

// Vault is where a cluster's backups are.
type Vault struct {
	// Stores are URLs, and Key opens what they have.
	Stores []string
	Key    string
	// Reached is a revision that was stored as far as is known; zero if nothing is.
	Reached int64
}

// defaultAwait is less than whoever recovers asks again for (two minutes).
const defaultAwait = 90 * time.Second

// Handler answers GET /backups/{id} with the list of backups, the oldest first, and
// GET /backups/{id}/{name} with what is in one. 404: there is none; 422: it is damaged in
// every store; 503: a store does not answer, or those that do are behind what was stored.
func (s Source) Handler() http.Handler {
	if s.Patience == 0 {
		s.Patience = listTimeout
	}
	if s.Await == 0 {
		s.Await = defaultAwait
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	a := &answering{Source: s, calls: newCalls(), behind: map[string]time.Time{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /backups/{id}", a.list)
	mux.HandleFunc("GET /backups/{id}/{name}", a.get)
	return mux
}

// answering is a source at work.
type answering struct {
	Source
	calls *calls

	mu sync.Mutex
	// behind is since when a cluster's stores reach less than was stored, by its id.
	behind map[string]time.Time
}

// asked is what a request is about.
type asked struct {
	Vault
	id string
}

// in names the calls for a cluster that are with a store.
func (a asked) in(address string) string { return address + " " + a.id }

func (s *answering) list(w http.ResponseWriter, r *http.Request) {
	of, err := s.admit(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	answer := struct {
		Backups []Object `json:"backups"`
	}{Backups: []Object{}}
	known, answered, silent := map[string]bool{}, false, error(nil)
	for _, l := range s.lists(r.Context(), of) {
		if l.err != nil {
			s.Log.Warn("store of backups does not answer", "cluster", of.id, "error", l.err)
			silent = l.err
			continue
		}
		answered = true
		for _, object := range l.objects {
			if !known[object.Name] {
				known[object.Name] = true
				answer.Backups = append(answer.Backups, object)
			}
		}
	}
	order(answer.Backups)
	if answered {
		silent = s.reaches(of, answer.Backups)
	}
	if silent != nil {
		s.refuse(w, r, silent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// lists asks all stores at once. One that hangs is waited for as long as patience lasts.
func (s *answering) lists(ctx context.Context, of asked) []listing {
	ctx, cancel := context.WithTimeoutCause(ctx, s.Patience, errSilent)
	defer cancel()
	all := make([]listing, len(of.Stores))
	var looking sync.WaitGroup
	for i, address := range of.Stores {
		looking.Go(func() {
			found := make(chan []Object, 1)
			err := s.calls.do(ctx, of.in(address), func() error {
				store, err := OpenStore(ctx, address, of.id)
				if err != nil {
					return err
				}
				defer store.Close()
				objects, err := store.List(ctx)
				found <- objects
				return err
			})
			if err != nil {
				all[i].err = fmt.Errorf("%s: %w", Redact(address), err)
				return
			}
			all[i].objects = <-found
		})
	}
	looking.Wait()
	return all
}

// reaches says whether backups, in order, reach what was stored as far as is known. Of two
// stores one may be away for a moment, and the other behind it: what is put back from that
// is final. So it is waited for, for a while: what is behind is better than nothing.
func (s *answering) reaches(of asked, objects []Object) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The last delta may count as older than a snapshot that was on its way when it was written.
	last, _ := reach(objects)
	if len(objects) > 0 {
		last = max(last, objects[len(objects)-1].Last)
	}
	if last >= of.Reached {
		delete(s.behind, of.id)
		return nil
	}
	since, waited := s.behind[of.id]
	// A wait that is long over was another's; one from the future is a clock's that was set back.
	if !waited || s.Now().Sub(since) > forgetBehind || since.After(s.Now()) {
		since = s.Now()
		s.behind[of.id] = since
	}
	if s.Now().Sub(since) < s.Await {
		return fmt.Errorf("the stores that answer reach revision %d, and %d was stored", last, of.Reached)
	}
	s.Log.Warn("backups are given back from stores that are behind", "cluster", of.id, "revision", last, "stored", of.Reached)
	return nil
}

// forgetBehind is how long a cluster that was waited for once is not waited for again.
const forgetBehind = time.Hour

// errMissing says that a store has no such object.
var errMissing = errors.New("no such backup")

// errDamaged says that an object does not open.
var errDamaged = errors.New("damaged")

// errForbidden says that the caller is not who it would have to be.
var errForbidden = errors.New("forbidden")

func (s *answering) get(w http.ResponseWriter, r *http.Request) {
	of, err := s.admit(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	name := r.PathValue("name")
	object, ok := parse(name)
	if !ok {
		s.refuse(w, r, fmt.Errorf("%q is no backup's name: %w", name, errMissing))
		return
	}
	held, err := s.whole(r.Context(), of, name)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := s.send(r.Context(), w, of, held, object); err != nil {
		// What was sent is a part: the caller must not take it for all.
		s.Log.Warn("backup could not be given back to its end", "backup", name, "error", err)
		panic(http.ErrAbortHandler)
	}
}

// send writes what an object opened to, a snapshot with its hash.
func (s *answering) send(ctx context.Context, to io.Writer, of asked, held *held, object Object) error {
	content := func(to io.Writer) error {
		if held.more {
			return s.read(ctx, of, held.address, object.Name, to)
		}
		_, err := to.Write(held.content)
		return err
	}
	if object.Kind != KindFull {
		return content(to)
	}
	full := &summed{to: to, hash: sha256.New()}
	if err := content(full); err != nil {
		return err
	}
	return full.end()
}

// headStart is how long a store has before the next one is asked too.
const headStart = 2 * time.Second

// heldSize is how much of what was opened is held until all of it is known to be whole, in
// bytes: as much as a delta has, but for one with a value that is larger than any of
// Kubernetes'.
const heldSize = deltaSize + 1<<20

// held is what an object opened to.
type held struct {
	// address is that of the store which has it.
	address string
	content []byte
	// more: it was more than is held, and none of it is.
	more bool
}

// Write implements io.Writer.
func (h *held) Write(p []byte) (int, error) {
	if h.more = h.more || len(h.content)+len(p) > heldSize; h.more {
		h.content = nil
	} else {
		h.content = append(h.content, p...)
	}
	return len(p), nil
}

// whole returns what an object opens to in the first store in which it does. What is large
// is read once more, so that the answer's status can be believed.
func (s *answering) whole(ctx context.Context, of asked, name string) (*held, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		held *held
		err  error
	}
	outcomes := make(chan outcome, len(of.Stores))
	left, running, worst := s.readiest(of), 0, fmt.Errorf("%s: %w", name, errMissing)
	for len(left) > 0 || running > 0 {
		var late <-chan time.Time
		if len(left) > 0 {
			address := left[0]
			left, running = left[1:], running+1
			go func() {
				found := &held{address: address}
				err := s.read(ctx, of, address, name, found)
				outcomes <- outcome{found, err}
			}()
		}
		if len(left) > 0 {
			late = time.After(headStart)
		}
		select {
		case <-late:
		case o := <-outcomes:
			if o.err == nil {
				return o.held, nil
			}
			running, worst = running-1, worse(worst, o.err)
		}
	}
	return nil, worst
}

// worse of two reasons why no store has an object whole: a store that does not answer may.
func worse(worst, err error) error {
	switch {
	case errors.Is(err, errMissing):
		return worst
	case errors.Is(err, errDamaged) && !errors.Is(worst, errMissing) && !errors.Is(worst, errDamaged):
		return worst
	default:
		return err
	}
}

// readiest are the stores in the order in which they are asked: those that hang last.
func (s *answering) readiest(of asked) []string {
	var ready, hanging []string
	for _, address := range of.Stores {
		if s.calls.hangs(of.in(address)) {
			hanging = append(hanging, address)
		} else {
			ready = append(ready, address)
		}
	}
	return append(ready, hanging...)
}

// read writes what an object in a store opens to. It gives up when the store has said
// nothing for as long as patience lasts; how long the caller takes is its own affair.
func (s *answering) read(ctx context.Context, of asked, address, name string, to io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dog := newWatchdog(s.Patience, func() { cancel(fmt.Errorf("read %s in %s: %w", name, Redact(address), errSilent)) })
	defer dog.goesOn()
	out := &outlet{to: to}
	defer out.close()
	return s.calls.do(ctx, of.in(address), func() error {
		dog.waits()
		store, err := OpenStore(ctx, address, of.id)
		if err != nil {
			return err
		}
		defer store.Close()
		return unsealFrom(ctx, store, name, of.Key, dog, out)
	})
}

func unsealFrom(ctx context.Context, store *Store, name, key string, dog *watchdog, to io.Writer) error {
	identity, err := parseKey(key)
	if err != nil {
		return err
	}
	sealed, err := store.open(ctx, name)
	if err != nil {
		return err
	}
	defer sealed.Close()
	dog.goesOn()
	reading := &watched{from: sealed, dog: dog}
	if err := unseal(to, reading, age.Identity(identity)); err != nil {
		if reading.err != nil {
			return fmt.Errorf("read %s in %s: %w", name, store.URL, reading.err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%s in %s is %w: %w", name, store.URL, errDamaged, err)
	}
	return nil
}

// admit finds out whether the caller may, and where the cluster's backups are.
func (s *answering) admit(r *http.Request) (asked, error) {
	id := r.PathValue("id")
	if err := s.Allow(r, id); err != nil {
		return asked{}, fmt.Errorf("%w: %w", errForbidden, err)
	}
	vault, err := s.Vault(r.Context(), id)
	if err == nil && len(vault.Stores) == 0 {
		err = errors.New("the cluster has no store of backups")
	}
	return asked{vault, id}, err
}

func (s *answering) refuse(w http.ResponseWriter, r *http.Request, err error) {
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
