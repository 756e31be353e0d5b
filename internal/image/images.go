package image

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// debianTree is where the rootfs step leaves Debian's part of a machine.
const debianTree = ".cache/trees/debian"

// imageSpec is an image with one layer, made of a few binaries.
type imageSpec struct {
	// Name is the image's and, after "image-", its step's.
	Name string
	// Repository is the image's name in references, if it is not Name.
	Repository string
	// Tag is a fixed tag. Without one the tag is a version and a part of the
	// content's hash: our own programs change between releases.
	Tag string
	// Version is that version where it is not Berth's own: of what is another project's
	// and ours.
	Version string
	// Title is what the user reads.
	Title string
	// Needs are the steps that make the binaries.
	Needs []string
	// Binaries maps places in the image to outputs of those steps.
	Binaries map[string]string
	// Links maps symbolic links in the image to their targets.
	Links map[string]string
	// Entrypoint is the command of a container that asks for none.
	Entrypoint string
	// Bare images have no files beside these; others have users, root
	// certificates and /tmp.
	Bare bool
	// Nft adds the nft program, its libraries and nftFiles.
	Nft bool
}

func (s imageSpec) step() string  { return "image-" + s.Name }
func (s imageSpec) tree() string  { return treeOf(s.Name) }
func (s imageSpec) store() string { return storeOf(s.Name) }

func (s imageSpec) version() string { return cmp.Or(s.Version, Version) }

// treeOf and storeOf are where an image's only layer is as a directory, and
// where its layout is until it gets its place in images/.
func treeOf(name string) string  { return ".cache/trees/image-" + name }
func storeOf(name string) string { return ".cache/images/" + name }

// commonFiles are what programs expect of any Linux, taken from Debian's part.
var commonFiles = []string{"etc/passwd", "etc/group", "etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt"}

// nftFiles name the protocols in what nft lists. Without them it lists numbers:
// kube-proxy, which reads what it wrote before its own start, takes these for other
// elements and deletes them, and with them its Services.
var nftFiles = []string{"etc/protocols"}

func imageStep(spec imageSpec) Step {
	step := Step{
		Name: spec.step(), Title: "image " + spec.Title,
		Needs:   append([]string(nil), spec.Needs...),
		Outputs: []string{spec.store(), spec.tree()},
		Recipe: []string{
			"image 1", fmt.Sprint(spec.Binaries, spec.Links), spec.Repository, spec.Tag, spec.version(),
			spec.Entrypoint, fmt.Sprint(spec.Bare, spec.Nft, commonFiles),
		},
	}
	if !spec.Bare || spec.Nft {
		step.Needs = append(step.Needs, "rootfs")
	}
	if spec.Nft {
		step.Recipe = append(step.Recipe, nftFiles...)
	}
	step.Run = func(_ context.Context, w *Work) error { return spec.build(w) }
	return step
}

func (s imageSpec) build(w *Work) error {
	tree := w.Output(s.tree())
	if err := s.fill(w, tree); err != nil {
		return err
	}
	l, err := packLayer(tree, filepath.Join(w.Temporary, "layer"))
	if err != nil {
		return err
	}
	image, err := newImage([]*layer{l}, []string{s.Entrypoint})
	if err != nil {
		return err
	}
	tag := s.Tag
	if tag == "" {
		tag = "v" + s.version() + "-" + l.hash.Hex[:8]
	}
	repository := s.Repository
	if repository == "" {
		repository = s.Name
	}
	return writeLayout(w.Output(s.store()), Ref(repository, tag), image, []*layer{l})
}

// fill makes the image's tree.
func (s imageSpec) fill(w *Work, tree string) error {
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return err
	}
	for target, output := range s.Binaries {
		if err := linkFile(w.Built(output), filepath.Join(tree, target)); err != nil {
			return err
		}
	}
	for link, target := range s.Links {
		if err := symlink(target, filepath.Join(tree, link)); err != nil {
			return err
		}
	}
	debian := w.Built(debianTree)
	if s.Nft {
		if err := linkProgram(debian, "usr/sbin/nft", tree); err != nil {
			return err
		}
		if err := linkFiles(debian, tree, nftFiles); err != nil {
			return err
		}
	}
	if s.Bare {
		return nil
	}
	if err := linkFiles(debian, tree, commonFiles); err != nil {
		return err
	}
	temporary := filepath.Join(tree, "tmp")
	if err := os.Mkdir(temporary, 0o777); err != nil {
		return err
	}
	return os.Chmod(temporary, fs.ModeSticky|0o777)
}

// linkFiles gives a tree some of another's files.
func linkFiles(from, to string, files []string) error {
	for _, file := range files {
		if err := linkFile(filepath.Join(from, file), filepath.Join(to, file)); err != nil {
			return err
		}
	}
	return nil
}

func symlink(target, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.Symlink(target, path)
}
