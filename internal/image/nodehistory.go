package image

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"berth.dev/berth/internal/release"
)

// keptNodeImages are as many as come in 90 days, one a week: what is older is
// out of support (AKS: support-policies).
const keptNodeImages = 13

// packageList is where recordPackages left the list of Debian's packages.
const packageList = debianTree + "/usr/share/berth/packages.txt"

// recordNodeImage adds the node image of this build to those of earlier ones, as
// far as their images are still there.
func recordNodeImage(w *Work, catalogue, before *release.Catalogue, version string) error {
	for _, image := range before.NodeImages {
		for kubernetes, ref := range image.Images {
			if !w.published(ref) {
				delete(image.Images, kubernetes)
			}
		}
		if len(image.Images) > 0 {
			catalogue.NodeImages = append(catalogue.NodeImages, image)
		}
	}
	image := release.NodeImage{Version: version, Images: map[string]string{}}
	for _, r := range catalogue.Releases {
		image.Images[r.Version] = r.NodeImage
	}
	var err error
	if image.Packages, err = readPackages(w.Built(packageList)); err != nil {
		return err
	}
	_, agent, _ := strings.Cut(strings.TrimPrefix(catalogue.Images["berth-node"], Repository), ":")
	image.Components = map[string]string{
		"berth-node": agent, "containerd": containerdVersion, "runc": runcVersion, "cni-plugins": cniVersion,
	}
	info, err := os.Stat(w.Built(nodeVersionFile))
	if err != nil {
		return err
	}
	image.Built = info.ModTime().UTC().Format(time.RFC3339)
	catalogue.Record(image, keptNodeImages)
	return nil
}

// keptBuilds is how many releases of Berth have notes (N1).
const keptBuilds = 50

// builtCatalogue is that of the last build, or an empty one.
func builtCatalogue(build string) (*release.Catalogue, error) {
	raw, err := os.ReadFile(filepath.Join(build, catalogueFile))
	if os.IsNotExist(err) {
		return &release.Catalogue{}, nil
	}
	if err != nil {
		return nil, err
	}
	var catalogue release.Catalogue
	if err := json.Unmarshal(raw, &catalogue); err != nil {
		return nil, fmt.Errorf("parse %s of the last build: %w", catalogueFile, err)
	}
	return &catalogue, nil
}

// readPackages reads the list that recordPackages wrote: name, version and
// architecture, separated by tabs.
func readPackages(path string) (map[string]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read packages of the node image: %w", err)
	}
	packages := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		if fields := strings.Split(strings.TrimSpace(line), "\t"); len(fields) >= 2 {
			packages[fields[0]] = fields[1]
		}
	}
	return packages, nil
}
