package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

var writer = authn.FromConfig(authn.AuthConfig{Username: "berth", Password: "secret"})

// served is a registry behind HTTP that a test can restart.
type served struct {
	*Registry
	*httptest.Server
}

func serve(t *testing.T, dir string) served {
	t.Helper()
	registry, err := New(Config{Dir: dir, Writers: map[string]string{"berth": "secret", "locked": ""}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(registry)
	t.Cleanup(server.Close)
	return served{registry, server}
}

// end ends the server as the end of its process does.
func (s served) end(t *testing.T) {
	t.Helper()
	s.Server.Close()
	for _, up := range s.uploads.byID {
		if err := up.file.Close(); err != nil {
			t.Error(err)
		}
	}
}

func (s served) reference(t *testing.T, image string) name.Reference {
	t.Helper()
	reference, err := name.ParseReference(strings.TrimPrefix(s.URL, "http://")+"/"+image, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return reference
}

func (s served) do(t *testing.T, method, path string, body io.Reader, header ...string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if method != http.MethodGet && method != http.MethodHead {
		request.SetBasicAuth("berth", "secret")
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := s.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	content, _ := io.ReadAll(response.Body)
	response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(content))
	return response
}

func randomImage(t *testing.T) v1.Image {
	t.Helper()
	image, err := random.Image(4096, 3)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func digestOf(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

// samePull holds that what the registry gives is the image, every byte of it.
func (s served) samePull(t *testing.T, reference string, want interface{ Digest() (v1.Hash, error) }) {
	t.Helper()
	got, err := remote.Image(s.reference(t, reference))
	if err != nil {
		t.Fatalf("pull %s: %v", reference, err)
	}
	layers, err := got.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers { // remote checks digests as it reads
		content, err := layer.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			t.Fatalf("pull %s: %v", reference, err)
		}
	}
	a, _ := got.Digest()
	if b, _ := want.Digest(); a != b {
		t.Fatalf("pull %s: got %s, want %s", reference, a, b)
	}
}

func TestPushPullRestart(t *testing.T) {
	dir := t.TempDir()
	registry := serve(t, dir)
	image := randomImage(t)
	index, err := random.Index(1024, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(registry.reference(t, "berth/kube:v1.37.2"), image, remote.WithAuth(writer)); err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(registry.reference(t, "berth/multi:1"), index, remote.WithAuth(writer)); err != nil {
		t.Fatal(err)
	}
	registry.samePull(t, "berth/kube:v1.37.2", image)

	registry.Server.Close()
	registry = serve(t, dir)
	registry.samePull(t, "berth/kube:v1.37.2", image)
	digest, _ := image.Digest()
	registry.samePull(t, "berth/kube@"+digest.String(), image)
	if got, err := remote.Index(registry.reference(t, "berth/multi:1")); err != nil {
		t.Fatal(err)
	} else if a, _ := got.Digest(); func() bool { b, _ := index.Digest(); return a != b }() {
		t.Error("the index changed")
	}
	names, err := remote.Catalog(t.Context(), registry.reference(t, "x").Context().Registry)
	if err != nil || fmt.Sprint(names) != "[berth/kube berth/multi]" {
		t.Errorf("catalog: %v, %v", names, err)
	}
}

func TestOnlyWritersPush(t *testing.T) {
	registry := serve(t, t.TempDir())
	for _, c := range []struct {
		why  string
		auth authn.Authenticator
	}{
		{"nobody", authn.Anonymous},
		{"a wrong password", authn.FromConfig(authn.AuthConfig{Username: "berth", Password: "guess"})},
		{"an unknown user", authn.FromConfig(authn.AuthConfig{Username: "x", Password: "secret"})},
		{"an unknown user with no password", authn.FromConfig(authn.AuthConfig{Username: "x", Password: ""})},
		{"a writer without a password can never log in", authn.FromConfig(authn.AuthConfig{Username: "locked", Password: ""})},
	} {
		err := remote.Write(registry.reference(t, "berth/x:1"), randomImage(t), remote.WithAuth(c.auth))
		if err == nil {
			t.Errorf("%s could push", c.why)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if got := registry.do(t, method, "/v2/berth/x/manifests/1", nil, "Authorization", ""); got.StatusCode != 401 {
			t.Errorf("%s without credentials: %d", method, got.StatusCode)
		}
	}
}

func TestCorruptedUploadIsRefused(t *testing.T) {
	dir := t.TempDir()
	registry := serve(t, dir)
	claimed := digestOf([]byte("what was meant"))
	started := registry.do(t, http.MethodPost, "/v2/berth/x/blobs/uploads/", nil)
	location := started.Header.Get("Location")
	registry.do(t, http.MethodPatch, location, strings.NewReader("what came"))
	if got := registry.do(t, http.MethodPut, location+"?digest="+claimed, nil); got.StatusCode != http.StatusBadRequest {
		t.Errorf("a wrong digest: %d", got.StatusCode)
	}
	if got := registry.do(t, http.MethodHead, "/v2/berth/x/blobs/"+claimed, nil); got.StatusCode != http.StatusNotFound {
		t.Errorf("the corrupted blob is there: %d", got.StatusCode)
	}
	if got := registry.do(t, http.MethodPut, location+"?digest="+claimed, nil); got.StatusCode != http.StatusNotFound {
		t.Errorf("the upload lives on: %d", got.StatusCode)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "uploads")); len(left) != 0 {
		t.Errorf("%d files left over", len(left))
	}
}

func TestChunkedUpload(t *testing.T) {
	registry := serve(t, t.TempDir())
	content := []byte("one two three")
	location := registry.do(t, http.MethodPost, "/v2/berth/x/blobs/uploads/", nil).Header.Get("Location")
	first := registry.do(t, http.MethodPatch, location, bytes.NewReader(content[:4]), "Content-Range", "0-3")
	if first.StatusCode != http.StatusAccepted || first.Header.Get("Range") != "0-3" {
		t.Fatalf("first chunk: %d, %s", first.StatusCode, first.Header.Get("Range"))
	}
	if got := registry.do(t, http.MethodPatch, location, bytes.NewReader(content[8:]), "Content-Range", "8-12"); got.StatusCode != 416 {
		t.Errorf("a chunk after a hole: %d", got.StatusCode)
	}
	if got := registry.do(t, http.MethodGet, location, nil, "Authorization", ""); got.Header.Get("Range") != "0-3" {
		t.Errorf("progress: %d %q", got.StatusCode, got.Header.Get("Range"))
	}
	done := registry.do(t, http.MethodPut, location+"?digest="+digestOf(content), bytes.NewReader(content[4:]))
	if done.StatusCode != http.StatusCreated {
		t.Fatalf("last chunk: %d", done.StatusCode)
	}
	path := "/v2/berth/x/blobs/" + digestOf(content)
	if body, _ := io.ReadAll(registry.do(t, http.MethodGet, path, nil).Body); !bytes.Equal(body, content) {
		t.Errorf("got %q", body)
	}
	part := registry.do(t, http.MethodGet, path, nil, "Range", "bytes=4-6")
	if body, _ := io.ReadAll(part.Body); part.StatusCode != http.StatusPartialContent || string(body) != "two" {
		t.Errorf("range: %d %q", part.StatusCode, body)
	}
}

func TestManifestRules(t *testing.T) {
	registry := serve(t, t.TempDir())
	const kind = "application/vnd.oci.image.manifest.v1+json"
	absent := digestOf([]byte("absent"))
	manifest := func(layer string) string {
		return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"c","size":6,"digest":%q},"layers":[]}`, kind, layer)
	}
	for _, c := range []struct {
		why, reference, kind, body string
		status                     int
	}{
		{"names a blob that is not here", "1", kind, manifest(absent), 400},
		{"another digest than its path says", absent, kind, manifest(absent), 400},
		{"not JSON", "1", kind, "x", 400},
		{"an old schema", "1", kind, `{"schemaVersion":1}`, 400},
		{"not a manifest's type", "1", "text/plain", `{"schemaVersion":2}`, 400},
		{"a type that contradicts the body", "1", "application/vnd.oci.image.index.v1+json", manifest(absent), 400},
		{"a tag that is no tag", "-x", kind, manifest(absent), 400},
		{"a digest that leaves the directory", "1", kind, manifest("sha256:../../../etc/passwd"), 400},
		{"too large", "1", kind, strings.Repeat(" ", maxManifestBytes+1), 413},
	} {
		got := registry.do(t, http.MethodPut, "/v2/berth/x/manifests/"+c.reference, strings.NewReader(c.body), "Content-Type", c.kind)
		if got.StatusCode != c.status {
			body, _ := io.ReadAll(got.Body)
			t.Errorf("%s: %d %s, want %d", c.why, got.StatusCode, body, c.status)
		}
	}
	for _, path := range []string{"/v2/../x/manifests/1", "/v2/UPPER/manifests/1", "/v2/_manifests/manifests/1", "/v2/x/manifests/..", "/x"} {
		if got := registry.do(t, http.MethodGet, path, nil); got.StatusCode < 400 {
			t.Errorf("%s: %d", path, got.StatusCode)
		}
	}
}

func TestTagsAndDelete(t *testing.T) {
	registry := serve(t, t.TempDir())
	image := randomImage(t)
	for _, tag := range []string{"a", "b", "c"} {
		if err := remote.Write(registry.reference(t, "berth/x:"+tag), image, remote.WithAuth(writer)); err != nil {
			t.Fatal(err)
		}
	}
	page := registry.do(t, http.MethodGet, "/v2/berth/x/tags/list?n=2", nil)
	body, _ := io.ReadAll(page.Body)
	if !strings.Contains(string(body), `["a","b"]`) || !strings.Contains(page.Header.Get("Link"), "last=b") {
		t.Errorf("first page: %s, link %q", body, page.Header.Get("Link"))
	}
	if err := remote.Delete(registry.reference(t, "berth/x:a"), remote.WithAuth(writer)); err != nil {
		t.Fatal(err)
	}
	tags, err := remote.List(registry.reference(t, "berth/x").Context())
	if err != nil || fmt.Sprint(tags) != "[b c]" {
		t.Errorf("after deleting a tag: %v, %v", tags, err)
	}
	digest, _ := image.Digest()
	if err := remote.Delete(registry.reference(t, "berth/x@"+digest.String()), remote.WithAuth(writer)); err != nil {
		t.Fatal(err)
	}
	if tags, _ := remote.List(registry.reference(t, "berth/x").Context()); len(tags) != 0 {
		t.Errorf("after deleting the manifest: %v", tags)
	}
}

func TestRestartSweeps(t *testing.T) {
	dir := t.TempDir()
	registry := serve(t, dir)
	kept, dropped := randomImage(t), randomImage(t)
	for tag, image := range map[string]v1.Image{"kept": kept, "dropped": dropped} {
		if err := remote.Write(registry.reference(t, "berth/x:"+tag), image, remote.WithAuth(writer)); err != nil {
			t.Fatal(err)
		}
	}
	registry.do(t, http.MethodPost, "/v2/berth/x/blobs/uploads/", nil) // left unfinished
	digest, _ := dropped.Digest()
	if err := remote.Delete(registry.reference(t, "berth/x@"+digest.String()), remote.WithAuth(writer)); err != nil {
		t.Fatal(err)
	}
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * orphanAge)
	for _, blob := range blobs {
		if err := os.Chtimes(blob, old, old); err != nil {
			t.Fatal(err)
		}
	}
	registry.end(t)
	registry = serve(t, dir)
	registry.samePull(t, "berth/x:kept", kept)
	left, _ := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if len(left) != len(blobs)/2 {
		t.Errorf("%d of %d blobs left, want half", len(left), len(blobs))
	}
	if files, _ := os.ReadDir(filepath.Join(dir, "uploads")); len(files) != 0 {
		t.Errorf("%d uploads left", len(files))
	}
}

func writeLayout(t *testing.T, dir string, image v1.Image, annotations map[string]string) {
	t.Helper()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(image, layout.WithAnnotations(annotations)); err != nil {
		t.Fatal(err)
	}
}

func TestSeed(t *testing.T) {
	images, dir := t.TempDir(), t.TempDir()
	plain, named := randomImage(t), mutate.Annotations(randomImage(t), map[string]string{"a": "b"}).(v1.Image)
	writeLayout(t, filepath.Join(images, "kube_v1.37.2"), plain, nil)
	writeLayout(t, filepath.Join(images, "whatever"), named, map[string]string{
		annotationRefName: "registry.berth.internal/berth/node-v1.37.2:BerthDebian-12containerd-202608.01.0",
	})
	if err := os.Mkdir(filepath.Join(images, "not-a-layout"), 0o755); err != nil {
		t.Fatal(err)
	}
	registry := serve(t, dir)
	for round := range 2 { // the second finds all in place
		if n, err := registry.Seed(t.Context(), images); err != nil || n != 2 {
			t.Fatalf("round %d: seeded %d, %v", round, n, err)
		}
	}
	registry.samePull(t, "berth/kube:v1.37.2", plain)
	registry.samePull(t, "berth/node-v1.37.2:BerthDebian-12containerd-202608.01.0", named)

	renewed := randomImage(t)
	if err := os.RemoveAll(filepath.Join(images, "kube_v1.37.2")); err != nil {
		t.Fatal(err)
	}
	writeLayout(t, filepath.Join(images, "kube_v1.37.2"), renewed, nil)
	if _, err := registry.Seed(t.Context(), images); err != nil {
		t.Fatal(err)
	}
	registry.samePull(t, "berth/kube:v1.37.2", renewed)
}

func TestLayoutsServedInPlace(t *testing.T) {
	images := t.TempDir()
	first := randomImage(t)
	writeLayout(t, filepath.Join(images, "kube_v1.37.2"), first, nil)
	if err := os.WriteFile(filepath.Join(images, "stray"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(images, "broken_1")
	if err := os.Mkdir(broken, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, "index.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	registry, err := New(Config{Layouts: images, Writers: map[string]string{"berth": "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(registry)
	defer server.Close()
	s := served{registry, server}
	s.samePull(t, "berth/kube:v1.37.2", first)
	digest, _ := first.Digest()
	s.samePull(t, "berth/kube@"+digest.String(), first)
	if err := remote.Write(s.reference(t, "berth/x:1"), first, remote.WithAuth(writer)); err == nil {
		t.Error("a read-only registry took an image")
	}
	if tags, err := remote.List(s.reference(t, "berth/kube").Context()); err != nil || fmt.Sprint(tags) != "[v1.37.2]" {
		t.Errorf("tags: %v, %v", tags, err)
	}
	if names, err := remote.Catalog(t.Context(), s.reference(t, "x").Context().Registry); err != nil || fmt.Sprint(names) != "[berth/kube]" {
		t.Errorf("catalog: %v, %v", names, err)
	}
	if _, err := registry.Seed(t.Context(), images); err == nil {
		t.Error("a read-only registry was seeded")
	}

	second := randomImage(t) // built while the registry runs
	writeLayout(t, filepath.Join(images, "etcd_v3.7.0"), second, nil)
	later := time.Now().Add(time.Second)
	if err := os.Chtimes(images, later, later); err != nil { // clocks of some file systems are coarse
		t.Fatal(err)
	}
	s.samePull(t, "berth/etcd:v3.7.0", second)
}

func TestDirMayHoldLayouts(t *testing.T) {
	images := t.TempDir()
	image := randomImage(t)
	writeLayout(t, filepath.Join(images, "kube_v1.37.2"), image, nil)
	s := serve(t, images)
	s.samePull(t, "berth/kube:v1.37.2", image)
	if entries, err := os.ReadDir(images); err != nil || len(entries) != 1 {
		t.Errorf("%d entries, %v: the build's directory was written to", len(entries), err)
	}
}

func TestStoreComesBeforeLayouts(t *testing.T) {
	images := t.TempDir()
	built, pushed := randomImage(t), randomImage(t)
	writeLayout(t, filepath.Join(images, "kube_v1.37.2"), built, nil)
	registry, err := New(Config{Dir: t.TempDir(), Layouts: images, Writers: map[string]string{"berth": "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(registry)
	defer server.Close()
	s := served{registry, server}
	s.samePull(t, "berth/kube:v1.37.2", built)
	if err := remote.Write(s.reference(t, "berth/kube:v1.37.2"), pushed, remote.WithAuth(writer)); err != nil {
		t.Fatal(err)
	}
	s.samePull(t, "berth/kube:v1.37.2", pushed)
	if err := remote.Write(s.reference(t, "berth/kube:copy"), built, remote.WithAuth(writer)); err != nil {
		t.Errorf("push an image whose layers are in the layouts: %v", err)
	}
	s.samePull(t, "berth/kube:copy", built)
}

func TestSeedRefusesCorruptLayouts(t *testing.T) {
	images := t.TempDir()
	image := randomImage(t)
	writeLayout(t, filepath.Join(images, "kube_v1.37.2"), image, nil)
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := layers[0].Digest()
	path := layoutBlob(filepath.Join(images, "kube_v1.37.2"), digest)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[0] ^= 1
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	registry := serve(t, t.TempDir())
	if _, err := registry.Seed(context.Background(), images); err == nil {
		t.Fatal("a corrupted layer was seeded")
	}
	if _, err := remote.Image(registry.reference(t, "berth/kube:v1.37.2")); err == nil {
		t.Error("the image has a tag all the same")
	}
	if _, ok := registry.store.has(digest); ok {
		t.Error("the corrupted layer is here")
	}
}
