package harness

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"berth.dev/berth/internal/install"
	"berth.dev/berth/internal/registry"
	"berth.dev/berth/internal/release"
)

// Patch brings another image of a managed component to this Berth, as a build would: into
// its registry, then into its release catalogue. The image is the build's but for what
// change says; it returns its name. Berth starts again with it.
func (e *Env) Patch(component, tag string, change func(*v1.Config)) (image string) {
	e.T.Helper()
	catalogue, err := release.Load(filepath.Join(e.Root, "build", "catalogue.json"))
	if err != nil {
		e.T.Fatal(err)
	}
	built := catalogue.Images[component]
	name, of, _ := strings.Cut(built, ":")
	image = name + ":" + tag
	e.pushPatch(filepath.Join(e.Root, "build", "images", filepath.Base(name)+"_"+of), image, change)
	catalogue.Images[component] = image
	text, err := json.Marshal(catalogue)
	if err != nil {
		e.T.Fatal(err)
	}
	data, err := json.Marshal(map[string]any{"data": map[string]string{install.CatalogueKey: string(text)}})
	if err != nil {
		e.T.Fatal(err)
	}
	e.Management("-n", install.Namespace, "patch", "configmap", install.CatalogueMap, "--type=merge", "-p", string(data))
	e.Management("-n", install.Namespace, "rollout", "restart", "deployment/"+install.Name)
	e.Management("-n", install.Namespace, "rollout", "status", "deployment/"+install.Name, "--timeout=300s")
	return image
}

// BuiltImage opens the image in an OCI layout of the build.
func (e *Env) BuiltImage(source string) v1.Image {
	e.T.Helper()
	index, err := layout.ImageIndexFromPath(source)
	if err != nil {
		e.T.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) == 0 {
		e.T.Fatalf("%s: %v, manifests %v", source, err, manifest)
	}
	built, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		e.T.Fatal(err)
	}
	return built
}

// pushPatch puts a changed copy of the image in an OCI layout into Berth's registry.
func (e *Env) pushPatch(source, image string, change func(*v1.Config)) {
	e.T.Helper()
	patched := e.BuiltImage(source)
	file, err := patched.ConfigFile()
	if err != nil {
		e.T.Fatal(err)
	}
	file = file.DeepCopy()
	change(&file.Config)
	if patched, err = mutate.ConfigFile(patched, file); err != nil {
		e.T.Fatal(err)
	}
	dir, err := os.MkdirTemp(e.State, "patch-")
	if err != nil {
		e.T.Fatal(err)
	}
	made, err := layout.Write(filepath.Join(dir, "image"), empty.Index)
	if err == nil {
		err = made.AppendImage(patched, layout.WithAnnotations(map[string]string{"io.containerd.image.name": image}))
	}
	if err != nil {
		e.T.Fatal(err)
	}
	store, err := registry.New(registry.Config{Dir: filepath.Join(e.State, "machine", "registry")})
	if err == nil {
		_, err = store.Seed(e.T.Context(), dir)
	}
	if err != nil {
		e.T.Fatal(err)
	}
}
