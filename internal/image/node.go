package image

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Where the node image's parts are between steps.
const (
	nodeVersionFile = ".cache/node-image-version"
	debianLayer     = ".cache/layers/debian"
	runtimeLayer    = ".cache/layers/runtime"
	runtimeTree     = ".cache/trees/runtime"
	bakedInNode     = "var/lib/berth/baked"
)

// A node image has four layers, from what seldom changes to what often does:
// Debian; the runtime with the baked images of other projects; Kubernetes with
// its own; Berth's program with its own and the baked root's metadata. The
// versions share the first two. Each layer holds a binary and the baked
// snapshot with that binary, which are one file by a hard link; links cannot
// cross layers, and this is why the layers are cut so.
var (
	runtimeImages = []string{"pause", "coredns", "konnectivity-agent", "metrics-server"}
	runtimeFiles  = map[string]string{
		"usr/local/bin/containerd":              "out/containerd",
		"usr/local/bin/containerd-shim-runc-v2": "out/containerd-shim-runc-v2",
		"usr/local/bin/ctr":                     "out/ctr",
		"usr/local/bin/runc":                    "out/runc",
		"opt/cni/bin/ptp":                       "out/cni/ptp",
		"opt/cni/bin/host-local":                "out/cni/host-local",
		"opt/cni/bin/portmap":                   "out/cni/portmap",
		"opt/cni/bin/loopback":                  "out/cni/loopback",
		"opt/cni/bin/bandwidth":                 "out/cni/bandwidth",
	}
	nodePrograms = []string{"kubelet", "kubectl", "kube-proxy"}
)

// agentImages are the images that an agent machine has baked in, in the order
// in which they are imported. Snapshot n is the nth image's only layer.
func agentImages(kube string) []string {
	return append(append([]string(nil), runtimeImages...), kubeImage(kube), "berth-node")
}

func kubeImage(kube string) string { return "kube-" + kube }

// nodeVersionStep draws the name of the node image: the day and, after it, the
// number of the build of that day. The name stays until something in the image
// changes, since it is a version that clusters upgrade to.
func nodeVersionStep(needs []string, now func() time.Time) Step {
	return Step{
		Name: "node-version", Title: "node image version",
		Recipe: []string{"node image 1"}, Needs: needs, Outputs: []string{nodeVersionFile},
		Run: func(_ context.Context, w *Work) error {
			previous, err := os.ReadFile(w.Built(nodeVersionFile))
			if err != nil && !os.IsNotExist(err) {
				return err
			}
			next := nextNodeVersion(strings.TrimSpace(string(previous)), now())
			return os.WriteFile(w.Output(nodeVersionFile), []byte(next+"\n"), 0o644)
		},
	}
}

// nextNodeVersion is BerthDebian-12containerd-YYYYMM.DD.N with the first N that
// the previous version leaves free.
func nextNodeVersion(previous string, now time.Time) string {
	day := "BerthDebian-12containerd-" + now.UTC().Format("200601.02") + "."
	number := 0
	if rest, ok := strings.CutPrefix(previous, day); ok {
		if _, err := fmt.Sscanf(rest, "%d", &number); err == nil {
			number++
		}
	}
	return fmt.Sprint(day, number)
}

// layerStep packs a tree that another step left.
func layerStep(name, title, tree, output string, needs ...string) Step {
	return Step{
		Name: name, Title: title, Recipe: []string{"layer 1", tree}, Needs: needs, Outputs: []string{output},
		Run: func(_ context.Context, w *Work) error { return storeLayer(w.Built(tree), w.Output(output)) },
	}
}

// storeLayer packs a tree into a directory as the one file named for its hash.
func storeLayer(tree, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	l, err := packLayer(tree, filepath.Join(dir, "layer"))
	if err != nil {
		return err
	}
	return os.Rename(l.path, filepath.Join(dir, l.hash.Hex))
}

// runtimeStep makes the node image's second layer.
func runtimeStep(needs []string) Step {
	return Step{
		Name: "node-runtime", Title: "node image: runtime",
		Recipe: []string{"runtime 1", fmt.Sprint(runtimeFiles), fmt.Sprint(runtimeImages)}, Needs: needs,
		Outputs: []string{runtimeTree, runtimeLayer},
		Run: func(_ context.Context, w *Work) error {
			tree := w.Output(runtimeTree)
			if err := os.MkdirAll(tree, 0o755); err != nil {
				return err
			}
			for target, output := range runtimeFiles {
				if err := linkFile(w.Built(output), filepath.Join(tree, target)); err != nil {
					return err
				}
			}
			for i, name := range runtimeImages {
				if err := linkSnapshot(w, tree, i+1, name); err != nil {
					return err
				}
			}
			return storeLayer(tree, w.Output(runtimeLayer))
		},
	}
}

// linkSnapshot puts an image's only layer into a tree as a baked snapshot.
func linkSnapshot(w *Work, tree string, id int, name string) error {
	dir := filepath.Join(tree, bakedInNode, "root", snapshotsDir, fmt.Sprint(id), "fs")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return linkTree(w.Built(treeOf(name)), dir)
}

// bakeStep bakes the images of an agent machine.
func bakeStep(kube string, needs []string) Step {
	output := bakedOf(kube)
	return Step{
		Name: "bake-" + kube, Title: "baked images for nodes of Kubernetes " + kube,
		Recipe: []string{"bake 1", bakeConfig, fmt.Sprint(agentImages(kube))}, Needs: needs, Outputs: []string{output},
		Run: func(ctx context.Context, w *Work) error {
			var stores []store
			for _, name := range agentImages(kube) {
				stores = append(stores, singleStore(w, name))
			}
			order, err := bake(ctx, w, stores, w.Output(output))
			if err != nil {
				return err
			}
			// The layers of the node image count on it.
			for i, s := range stores {
				if len(order) != len(stores) || order[i] != s.trees[0] {
					return fmt.Errorf("snapshots are of %v, want snapshot n to be image n of %v", order, agentImages(kube))
				}
			}
			return nil
		},
	}
}

func bakedOf(kube string) string { return ".cache/baked/" + kube }

// nodeSpec is the node image of one Kubernetes version.
type nodeSpec struct {
	// Name is what the version's steps and outputs are called by.
	Name, Version string
	Needs         []string
}

func (n nodeSpec) name() string      { return "node-v" + n.Version }
func (n nodeSpec) step() string      { return "node-" + n.Name }
func (n nodeSpec) rootfs() string    { return "rootfs/v" + n.Version }
func (n nodeSpec) kubeStep() string  { return "node-kube-" + n.Name }
func (n nodeSpec) kubeLayer() string { return ".cache/layers/kube-" + n.Name }
func (n nodeSpec) kubeTree() string  { return ".cache/trees/node-kube-" + n.Name }
func (n nodeSpec) topTree() string   { return ".cache/trees/node-berth-" + n.Name }

// trees are the image's layers as directories, lowest first.
func (n nodeSpec) trees() []string {
	return []string{debianTree, runtimeTree, n.kubeTree(), n.topTree()}
}

// kubeLayerStep makes the node image's third layer.
func kubeLayerStep(spec nodeSpec, needs ...string) Step {
	return Step{
		Name: spec.kubeStep(), Title: "node image: Kubernetes " + spec.Version,
		Recipe: []string{"kube layer 1", fmt.Sprint(nodePrograms, len(runtimeImages))}, Needs: needs,
		Outputs: []string{spec.kubeTree(), spec.kubeLayer()},
		Run: func(_ context.Context, w *Work) error {
			tree := w.Output(spec.kubeTree())
			if err := spec.fillKube(w, tree); err != nil {
				return err
			}
			return storeLayer(tree, w.Output(spec.kubeLayer()))
		},
	}
}

func nodeStep(spec nodeSpec) Step {
	return Step{
		Name: spec.step(), Title: "node image for Kubernetes " + spec.Version,
		Recipe: []string{"node 1"}, Needs: spec.Needs,
		Outputs: []string{spec.topTree(), storeOf(spec.name()), spec.rootfs()},
		Run:     func(_ context.Context, w *Work) error { return spec.build(w) },
	}
}

func (n nodeSpec) build(w *Work) error {
	raw, err := os.ReadFile(w.Built(nodeVersionFile))
	if err != nil {
		return err
	}
	version := strings.TrimSpace(string(raw))
	top := w.Output(n.topTree())
	if err := n.fillTop(w, top, version); err != nil {
		return err
	}
	layers, err := n.layers(w, top)
	if err != nil {
		return err
	}
	image, err := newImage(layers, []string{"/usr/local/bin/berth-node", "init"})
	if err != nil {
		return err
	}
	if err := writeLayout(w.Output(storeOf(n.name())), Ref(n.name(), version), image, layers); err != nil {
		return err
	}
	for _, tree := range []string{w.Built(debianTree), w.Built(runtimeTree), w.Built(n.kubeTree()), top} {
		if err := linkTree(tree, w.Output(n.rootfs())); err != nil {
			return err
		}
	}
	return nil
}

func (n nodeSpec) fillKube(w *Work, tree string) error {
	if err := linkFile(w.Built("out/kube-"+n.Name), filepath.Join(tree, "usr/local/bin/kube")); err != nil {
		return err
	}
	for _, name := range nodePrograms {
		if err := symlink("kube", filepath.Join(tree, "usr/local/bin", name)); err != nil {
			return err
		}
	}
	return linkSnapshot(w, tree, len(runtimeImages)+1, kubeImage(n.Name))
}

// fillTop makes the last layer: Berth's program, its snapshot, and all of the
// baked root that is no snapshot of an earlier layer.
func (n nodeSpec) fillTop(w *Work, tree, version string) error {
	if err := linkFile(w.Built("out/berth-node"), filepath.Join(tree, "usr/local/bin/berth-node")); err != nil {
		return err
	}
	baked, target := w.Built(bakedOf(n.Name)), filepath.Join(tree, bakedInNode)
	err := filepath.WalkDir(baked, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(baked, path)
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == "fs" {
			return fs.SkipDir
		}
		if !entry.IsDir() {
			return os.Link(path, filepath.Join(target, relative))
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(target, relative), 0o755); err != nil {
			return err
		}
		return os.Chmod(filepath.Join(target, relative), info.Mode())
	})
	if err != nil {
		return fmt.Errorf("add baked metadata: %w", err)
	}
	if err := linkSnapshot(w, tree, len(agentImages(n.Name)), "berth-node"); err != nil {
		return err
	}
	about := filepath.Join(tree, "usr/share/berth/node-image-version")
	return writeFile(about, []byte(version+"\n"))
}

func (n nodeSpec) layers(w *Work, top string) ([]*layer, error) {
	var layers []*layer
	for _, dir := range []string{debianLayer, runtimeLayer, n.kubeLayer()} {
		l, err := storedLayer(w.Built(dir))
		if err != nil {
			return nil, err
		}
		layers = append(layers, l)
	}
	l, err := packLayer(top, filepath.Join(w.Temporary, "top.tar"))
	return append(layers, l), err
}
