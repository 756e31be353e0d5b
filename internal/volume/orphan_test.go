package volume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/internal/watch"
)

// orphans has two nodes and takes one away: what nobody uses of its volumes goes, later; what
// somebody uses does not, nor what may come back with the node.
func (b *bench) orphans(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "v")
	stop := b.start("lost", "at-once", dir)
	used, done := b.claim("used", "at-once", "", corev1.ReadWriteOnce), b.claim("done", "at-once", "", corev1.ReadWriteOnce)
	usedVolume, doneVolume := b.bound(used), b.bound(done)
	stop()
	b.delete(done)
	b.eventually("volume is released", func() error {
		if err := b.Get(t.Context(), client.ObjectKeyFromObject(doneVolume), doneVolume); err != nil || doneVolume.Status.Phase != corev1.VolumeReleased {
			return fmt.Errorf("phase %s: %w", doneVolume.Status.Phase, err)
		}
		return nil
	})
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "lost"}}
	if err := b.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	other := b.other(dir)
	pass := func() {
		t.Helper()
		if err := other.pass(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		for _, pv := range []*corev1.PersistentVolume{usedVolume, doneVolume} {
			if err := b.Get(t.Context(), client.ObjectKeyFromObject(pv), pv); err != nil {
				t.Errorf("%s of %s: %v", pv.Name, pv.Spec.ClaimRef.Name, err)
			}
		}
	}
	other.orphans.after = 0
	pass() // the node exists
	b.delete(node)
	other.orphans.after = time.Hour
	pass() // it is gone for a moment
	if len(other.orphans.since) != 1 {
		t.Errorf("not noted: %v", other.orphans.since)
	}
	other.orphans.after = 0
	// Others change the volume too: a pass that meets that is made again, as the loop does.
	b.eventually("a pass", func() error { return other.pass(t.Context(), true) })
	b.gone(doneVolume)
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(usedVolume), usedVolume); err != nil || usedVolume.DeletionTimestamp != nil {
		t.Errorf("a volume in use: %v", err)
	}
	b.eventually("nothing waits for it", func() error {
		if err := other.pass(t.Context(), true); err != nil || len(other.orphans.since) > 0 {
			return fmt.Errorf("%v %w", other.orphans.since, err)
		}
		return nil
	})
	b.delete(used)
}

// other is the provisioner of another node, which knows of all there is; the test makes its passes.
func (b *bench) other(dir string) *provisioner {
	b.t.Helper()
	api, err := watch.NewClientFor(b.env.Config)
	if err != nil {
		b.t.Fatal(err)
	}
	p, err := newProvisioner(Options{NodeName: "other", Class: "none", Dir: dir}, api, slog.New(slog.DiscardHandler))
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.follow(ctx, api)
	}()
	b.t.Cleanup(func() { cancel(); <-done; _ = p.dirs.close() })
	b.eventually("it knows what there is", func() error {
		if !p.claims.Synced() || !p.volumes.Synced() {
			return errors.New("not yet")
		}
		return nil
	})
	return p
}
