package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

// old makes all content old enough to be removed if nothing names it.
func old(t *testing.T, pattern ...string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * orphanAge)
	for _, file := range files {
		if err := os.Chtimes(file, long, long); err != nil {
			t.Fatal(err)
		}
	}
}

// A push goes on while others open the directory, take images in and remove some.
func TestPushGoesOnBesideOthers(t *testing.T) {
	images, dir := t.TempDir(), t.TempDir()
	writeLayout(t, filepath.Join(images, "kube_v1"), randomImage(t), nil)
	registry := serve(t, dir)
	content := bytes.Repeat([]byte("x"), 1000)
	begun := registry.do(t, http.MethodPost, "/v2/berth/x/blobs/uploads/", nil).Header.Get("Location")
	registry.do(t, http.MethodPatch, begun, bytes.NewReader(content[:400]))
	other, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Seed(t.Context(), images); err != nil {
		t.Fatal(err)
	}
	if err := other.Remove(t.Context(), "berth/kube:v1"); err != nil {
		t.Fatal(err)
	}
	registry.do(t, http.MethodPatch, begun, bytes.NewReader(content[400:]))
	if done := registry.do(t, http.MethodPut, begun+"?digest="+digestOf(content), nil); done.StatusCode != http.StatusCreated {
		t.Errorf("the push ends with %s", done.Status)
	}
	blob := registry.do(t, http.MethodGet, "/v2/berth/x/blobs/"+digestOf(content), nil)
	if blob.StatusCode != http.StatusOK || blob.ContentLength != int64(len(content)) {
		t.Errorf("what was pushed: %s, %d bytes", blob.Status, blob.ContentLength)
	}
}

// Content that somebody takes in is not removed for having no name yet: what is linked from a
// build is as old as that.
func TestContentIsNotRemovedOnItsWay(t *testing.T) {
	dir := t.TempDir()
	registry, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	blob := filepath.Join(registry.store.blobs(), digestOf([]byte("x"))[len("sha256:"):])
	if err := os.WriteFile(blob, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	old(t, blob)
	there := func() bool {
		if _, err := New(Config{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(blob)
		return err == nil
	}
	err = registry.store.beside(t.Context(), func() error {
		if !there() {
			t.Error("it is gone before it could be named")
		}
		return nil
	})
	if err != nil || there() {
		t.Errorf("nobody names it, and it stays (%v)", err)
	}
}

// However often others open the directory meanwhile, all that is taken in can be pulled.
func TestSeedBesideOthers(t *testing.T) {
	images, dir := t.TempDir(), t.TempDir()
	const count = 20
	var made []v1.Image
	for i := range count {
		made = append(made, randomImage(t))
		writeLayout(t, filepath.Join(images, fmt.Sprintf("kube_v%d", i)), made[i], nil)
	}
	old(t, images, "*", "blobs", "sha256", "*")
	registry := serve(t, dir)
	ended, others := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-ended:
				others <- nil
				return
			default:
			}
			if _, err := New(Config{Dir: dir}); err != nil {
				others <- err
				return
			}
		}
	}()
	_, err := registry.Seed(t.Context(), images)
	close(ended)
	if other := <-others; err != nil || other != nil {
		t.Fatalf("%v, and of the others: %v", err, other)
	}
	for i, image := range made {
		registry.samePull(t, fmt.Sprintf("berth/kube:v%d", i), image)
	}
}

// What takes content in goes on beside others that do, and waits for whoever takes content away;
// what takes content or names away waits for both. Nobody waits for longer than it is asked to.
func TestWhoWaitsForWhom(t *testing.T) {
	images := t.TempDir()
	writeLayout(t, filepath.Join(images, "kube_v1"), randomImage(t), nil)
	ended, end := context.WithCancel(t.Context())
	end()
	const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
	request := func(registry *Registry, method, tag string) error {
		asked := httptest.NewRequestWithContext(ended, method, "/v2/berth/kube/manifests/"+tag, strings.NewReader(manifest))
		asked.SetBasicAuth("writer", "secret")
		return registry.route(httptest.NewRecorder(), asked)
	}
	seed := func(registry *Registry) error {
		// One that has ended already seeds nothing, lock or not.
		soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := registry.Seed(soon, images)
		return err
	}
	free := func(_ context.Context, do func() error) error { return do() }
	for _, c := range []struct {
		why    string
		of     func(store) func(context.Context, func() error) error
		beside bool // what takes in goes on
		alone  bool // what takes away does
	}{
		{"nobody else is there", func(store) func(context.Context, func() error) error { return free }, true, true},
		{"another one takes in", func(s store) func(context.Context, func() error) error { return s.beside }, true, false},
		{"another one takes away", func(s store) func(context.Context, func() error) error { return s.alone }, false, false},
	} {
		dir := t.TempDir()
		registry, err := New(Config{Dir: dir, Writers: map[string]string{"writer": "secret"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := registry.Seed(t.Context(), images); err != nil {
			t.Fatal(err)
		}
		other, err := New(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		tell := func(what string, err error, goesOn bool) {
			if goesOn && err != nil || !goesOn && !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %s ends with %v", c.why, what, err)
			}
		}
		err = c.of(other.store)(t.Context(), func() error {
			tell("a push", request(registry, http.MethodPut, "v2"), c.beside)
			tell("a deletion", request(registry, http.MethodDelete, "v1"), c.alone)
			tell("a removal", registry.Remove(ended, "berth/kube"), c.alone)
			if !c.beside {
				if err := seed(registry); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: a seed ends with %v", c.why, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := registry.Remove(t.Context(), "berth/kube"); err != nil {
			t.Errorf("%s, and then no more: %v", c.why, err)
		}
	}
}

// A lock that finds no place on the disk says so.
func TestLockOnAFullDisk(t *testing.T) {
	s, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	err = s.hold(func(*os.File) error { return unix.ENOSPC }, func() error { return nil })
	if !errors.Is(err, errFull) {
		t.Errorf("it says %v", err)
	}
}
