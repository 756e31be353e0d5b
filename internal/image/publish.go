package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"berth.dev/berth/internal/release"
)

// catalogueFile is the last thing that a build writes: what it names is there.
const catalogueFile = "catalogue.json"

// publishStep gives the images their places, writes the catalogue and puts what
// the user types into bin/.
func publishStep(made []kubernetes, components map[string]string, needs []string) Step {
	return Step{
		Name: "catalogue", Title: "catalogue", Recipe: []string{"catalogue 2", fmt.Sprint(made)},
		Needs: needs, Outputs: []string{catalogueFile}, Always: true,
		Run: func(_ context.Context, w *Work) error {
			catalogue, err := publish(w, made, components)
			if err != nil {
				return err
			}
			raw, err := json.MarshalIndent(catalogue, "", "  ")
			if err != nil {
				return err
			}
			if err := installPrograms(w, made[0]); err != nil {
				return err
			}
			kept := bytes.NewBuffer(raw)
			if before, err := os.ReadFile(w.Built(catalogueFile)); err == nil {
				kept.Write(before)
			}
			if err := retire(w.Built("images"), kept.String()); err != nil {
				return err
			}
			return os.WriteFile(w.Output(catalogueFile), append(raw, '\n'), 0o644)
		},
	}
}

// publish puts every image at images/NAME_TAG and returns the catalogue of them.
func publish(w *Work, made []kubernetes, components map[string]string) (*release.Catalogue, error) {
	version, err := os.ReadFile(w.Built(nodeVersionFile))
	if err != nil {
		return nil, err
	}
	catalogue := &release.Catalogue{Images: map[string]string{}}
	for component, name := range components {
		if catalogue.Images[component], err = publishOne(w, name); err != nil {
			return nil, err
		}
	}
	for _, k := range made {
		r := release.Release{Version: k.Version, Default: k.Default, Life: release.LifeOf(k.Minor)}
		if r.KubeImage, err = publishOne(w, kubeImage(k.name())); err != nil {
			return nil, err
		}
		if r.NodeImage, err = publishOne(w, k.node().name()); err != nil {
			return nil, err
		}
		catalogue.Releases = append(catalogue.Releases, r)
	}
	before, err := builtCatalogue(w.Build)
	if err != nil {
		return nil, err
	}
	if err := recordNodeImage(w, catalogue, before, strings.TrimSpace(string(version))); err != nil {
		return nil, err
	}
	catalogue.KeepReleases(before, time.Now(), func(r release.Release) bool {
		return w.published(r.KubeImage) && w.published(r.NodeImage)
	})
	catalogue.Builds = before.Builds
	catalogue.RecordBuild(time.Now(), keptBuilds)
	return catalogue, nil
}

// publishOne links a finished layout to its place under its reference, which it
// returns. A layout that is there already with the same content stays.
func publishOne(w *Work, name string) (string, error) {
	from := w.Built(storeOf(name))
	descriptor, err := descriptorOf(from)
	if err != nil {
		return "", fmt.Errorf("publish image %s: %w", name, err)
	}
	ref := descriptor.Annotations[annotationContainer]
	to := w.Built(filepath.Join("images", layoutName(ref)))
	if there, err := descriptorOf(to); err == nil && there.Digest == descriptor.Digest {
		return ref, nil
	}
	temporary := filepath.Join(w.Temporary, "layout-"+name)
	if err := linkTree(from, temporary); err != nil {
		return "", fmt.Errorf("publish image %s: %w", name, err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.RemoveAll(to)); err != nil {
		return "", err
	}
	return ref, os.Rename(temporary, to)
}

// published says whether an image is still at its place in images/.
func (w *Work) published(ref string) bool { return Published(w.Built(""), ref) }

// Published says whether a build directory has an image of Berth's own repository.
func Published(build, ref string) bool {
	_, err := descriptorOf(filepath.Join(build, "images", layoutName(ref)))
	return err == nil
}

// layoutName is the directory in images/ of a reference: NAME_TAG.
func layoutName(ref string) string {
	name, tag, _ := strings.Cut(strings.TrimPrefix(ref, Repository+"/"), ":")
	return name + "_" + tag
}

// retire removes the images that none of the kept catalogues names. The one
// before counts as well: a Berth that is running serves its images.
func retire(images, kept string) error {
	entries, err := os.ReadDir(images)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name, tag, _ := strings.Cut(entry.Name(), "_")
		if strings.Contains(kept, `"`+Ref(name, tag)+`"`) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(images, entry.Name())); err != nil {
			return fmt.Errorf("remove image of an earlier build: %w", err)
		}
	}
	return nil
}

// installPrograms links bin/berth and bin/kubectl.
func installPrograms(w *Work, newest kubernetes) error {
	for name, target := range map[string]string{"berth": "out/berth", "kubectl": "out/kube-" + newest.name()} {
		temporary := filepath.Join(w.Temporary, "bin-"+name)
		if err := linkFile(w.Built(target), temporary); err != nil {
			return err
		}
		if err := os.MkdirAll(w.Built("bin"), 0o755); err != nil {
			return err
		}
		if err := os.Rename(temporary, w.Built(filepath.Join("bin", name))); err != nil {
			return err
		}
	}
	return nil
}
