package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Parts of a containerd root, of which a baked one has no others.
const (
	snapshotter  = "io.containerd.snapshotter.v1.overlayfs"
	snapshotsDir = snapshotter + "/snapshots"
	contentDir   = "io.containerd.content.v1.content"
	metadataDir  = "io.containerd.metadata.v1.bolt"
)

// bakeConfig is for a containerd that only imports: no CRI, no sockets but one.
const bakeConfig = `version = 3
root = '%s'
state = '%s'
disabled_plugins = [
  'io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime', 'io.containerd.grpc.v1.cri',
  'io.containerd.internal.v1.tracing', 'io.containerd.tracing.processor.v1.otlp', 'io.containerd.nri.v1.nri',
]

[grpc]
address = '%s'
`

// store is an image of an earlier step: its layout, and its layers as trees in
// the image's order.
type store struct {
	layout string
	trees  []string
}

// bake imports images into a new containerd root and puts it, in the form of
// the package's documentation, into the directory into.
//
// The snapshots that containerd made are replaced by hard links to the trees
// from which the layers were packed, so that equal files stay one file. The
// trees are returned in the order of the snapshots' numbers.
func bake(ctx context.Context, w *Work, stores []store, into string) ([]string, error) {
	// A socket's path may have 107 bytes only, and the repository may lie deep.
	run, err := os.MkdirTemp("", "berth-bake-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(run)
	if err := os.MkdirAll(into, 0o755); err != nil {
		return nil, err
	}
	root := filepath.Join(into, "root")
	if err := importAll(ctx, w, stores, root, run); err != nil {
		return nil, err
	}
	if err := prune(root); err != nil {
		return nil, fmt.Errorf("prune baked root: %w", err)
	}
	order, err := relink(root, stores, w.sums)
	if err != nil {
		return nil, fmt.Errorf("link baked snapshots: %w", err)
	}
	return order, describe(into, stores)
}

func importAll(ctx context.Context, w *Work, stores []store, root, run string) (err error) {
	socket := filepath.Join(run, "containerd.sock")
	config := filepath.Join(run, "config.toml")
	content := fmt.Sprintf(bakeConfig, root, filepath.Join(run, "state"), socket)
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		return err
	}
	if err := os.Mkdir(root, 0o711); err != nil {
		return err
	}
	daemon := program{Argv: []string{w.Built("out/containerd"), "--config", config, "--log-level", "warn"}, OwnMounts: true}
	cmd := daemon.command(ctx)
	tail := &tailWriter{}
	cmd.Stdout = io.MultiWriter(w.Log, tail)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start containerd: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		// What is not on disk when it has ended on its own will never be.
		stopErr := errors.Join(cmd.Process.Signal(syscall.SIGTERM), <-ended)
		if stopErr != nil {
			stopErr = &CommandError{Argv: daemon.Argv, Output: tail.String(), Err: stopErr}
		}
		err = errors.Join(err, stopErr)
	}()
	if err := answers(ctx, socket); err != nil {
		return err
	}
	ctr := []string{w.Built("out/ctr"), "--address", socket, "--namespace", "k8s.io"}
	for i, s := range stores {
		w.Say(fmt.Sprintf("image %d of %d", i+1, len(stores)))
		if err := importOne(ctx, w, ctr, s.layout); err != nil {
			return err
		}
	}
	// Ending a lease synchronously is how containerd is told to collect garbage
	// now: the layers' blobs, which nothing refers to any more.
	for _, args := range [][]string{{"leases", "create", "--id", "bake"}, {"leases", "delete", "--sync", "bake"}} {
		if err := w.run(ctx, program{Argv: append(append([]string(nil), ctr...), args...)}); err != nil {
			return err
		}
	}
	return nil
}

// answers waits until a program listens on the socket.
func answers(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("containerd does not answer: %w", err)
		case <-ticker.C:
		}
	}
}

// importOne streams a layout to ctr, which unpacks it. Images are pinned:
// the kubelet must not remove what no registry may have.
func importOne(ctx context.Context, w *Work, ctr []string, layout string) error {
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(writeTar(layout, writer)) }()
	// Closing ends the writer where ctr stopped reading; it returns no error.
	defer func() { _ = reader.Close() }()
	return w.run(ctx, program{
		Argv: append(append([]string(nil), ctr...), "images", "import", "--local", "--discard-unpacked-layers",
			"--snapshotter", "overlayfs", "--label", "io.cri-containerd.image=managed",
			"--label", "io.cri-containerd.pinned=pinned", "-"),
		Stdin: reader,
	})
}

// prune removes what containerd makes anew at each start.
func prune(root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		switch entry.Name() {
		case metadataDir, contentDir, snapshotter:
		default:
			if err := os.RemoveAll(filepath.Join(root, entry.Name())); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(filepath.Join(root, contentDir, "ingest"))
}

// describe writes bind.txt, images.txt and, from both, id.
func describe(dir string, stores []store) error {
	ids, err := snapshots(filepath.Join(dir, "root"))
	if err != nil {
		return err
	}
	var binds, images strings.Builder
	for _, id := range ids {
		fmt.Fprintln(&binds, filepath.Join(snapshotsDir, id))
	}
	h := sha256.New()
	for _, s := range stores {
		descriptor, err := descriptorOf(s.layout)
		if err != nil {
			return err
		}
		fmt.Fprintln(&images, descriptor.Annotations[annotationContainer])
		field(h, descriptor.Annotations[annotationContainer], descriptor.Digest.String())
	}
	for name, content := range map[string]string{
		"bind.txt": binds.String(), "images.txt": images.String(), "id": hex.EncodeToString(h.Sum(nil)) + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// descriptorOf reads the one entry of a layout's index.
func descriptorOf(layout string) (v1.Descriptor, error) {
	raw, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil {
		return v1.Descriptor{}, err
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(raw, &index); err != nil {
		return v1.Descriptor{}, fmt.Errorf("parse %s/index.json: %w", layout, err)
	}
	if len(index.Manifests) != 1 {
		return v1.Descriptor{}, fmt.Errorf("%s has %d images, want one", layout, len(index.Manifests))
	}
	return index.Manifests[0], nil
}
