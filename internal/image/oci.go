package image

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Repository is the prefix of every image that Berth builds. The name resolves
// nowhere: machines find it in their own containerd or at Berth's registry.
const Repository = "registry.berth.internal/berth"

// Two annotations of an index name an image: the specification's has the tag,
// containerd's the whole reference.
const (
	annotationRefName   = "org.opencontainers.image.ref.name"
	annotationContainer = "io.containerd.image.name"
)

// Ref is an image's reference: Repository/name:tag.
func Ref(name, tag string) string { return Repository + "/" + name + ":" + tag }

// newImage makes an image of layers that starts with entrypoint.
func newImage(layers []*layer, entrypoint []string) (v1.Image, error) {
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	image = mutate.ConfigMediaType(image, types.OCIConfigJSON)
	for _, l := range layers {
		var err error
		addendum := mutate.Addendum{Layer: l, History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "berth build"}}
		if image, err = mutate.Append(image, addendum); err != nil {
			return nil, fmt.Errorf("add layer: %w", err)
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Created = v1.Time{Time: epoch}
	config.Architecture, config.OS = runtime.GOARCH, "linux"
	config.Config.Entrypoint = entrypoint
	config.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	return mutate.ConfigFile(image, config)
}

// writeLayout writes an OCI layout of one image to dir. Layer blobs are hard
// links to the layers' files.
func writeLayout(dir, ref string, image v1.Image, layers []*layer) error {
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	for _, l := range layers {
		if err := os.Link(l.path, filepath.Join(blobs, l.hash.Hex)); err != nil && !os.IsExist(err) {
			return err
		}
	}
	config, err := image.RawConfigFile()
	if err != nil {
		return err
	}
	manifest, err := image.RawManifest()
	if err != nil {
		return err
	}
	index, err := indexOf(ref, image)
	if err != nil {
		return err
	}
	configName, err := image.ConfigName()
	if err != nil {
		return err
	}
	for path, content := range map[string][]byte{
		filepath.Join(blobs, configName.Hex):                config,
		filepath.Join(blobs, index.Manifests[0].Digest.Hex): manifest,
		filepath.Join(dir, "index.json"):                    mustJSON(index),
		filepath.Join(dir, "oci-layout"):                    []byte(`{"imageLayoutVersion":"1.0.0"}`),
	} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func indexOf(ref string, image v1.Image) (*v1.IndexManifest, error) {
	digest, err := image.Digest()
	if err != nil {
		return nil, err
	}
	size, err := image.Size()
	if err != nil {
		return nil, err
	}
	return &v1.IndexManifest{
		SchemaVersion: 2,
		MediaType:     types.OCIImageIndex,
		Manifests: []v1.Descriptor{{
			MediaType: types.OCIManifestSchema1,
			Digest:    digest,
			Size:      size,
			Platform:  &v1.Platform{Architecture: runtime.GOARCH, OS: "linux"},
			Annotations: map[string]string{
				annotationRefName:   ref[strings.LastIndex(ref, ":")+1:],
				annotationContainer: ref,
			},
		}},
	}, nil
}

// mustJSON encodes what always can be: structures of strings and numbers.
func mustJSON(value any) []byte {
	raw, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return raw
}
