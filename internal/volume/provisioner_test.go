package volume

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/internal/testenv"
	"berth.dev/berth/internal/watch"
)

// bench is a real API server with the volume controllers, and this test in the scheduler's place.
type bench struct {
	client.Client
	t   *testing.T
	env *testenv.Env
}

func newBench(t *testing.T) *bench {
	t.Helper()
	env := testenv.New(t, testenv.Options{Controllers: "persistentvolume-binder-controller," +
		"persistentvolumeclaim-protection-controller,persistentvolume-protection-controller"})
	c, err := env.Client()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Client: c, t: t, env: env}
	objects, err := Objects(Config{Image: "registry.example/berth-node:1", Default: true})
	if err != nil {
		t.Fatal(err)
	}
	immediate := storagev1.VolumeBindingImmediate
	retain := corev1.PersistentVolumeReclaimRetain
	objects = append(objects,
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "at-once"}, Provisioner: Provisioner, VolumeBindingMode: &immediate},
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "kept"}, Provisioner: Provisioner, VolumeBindingMode: &immediate, ReclaimPolicy: &retain})
	for _, object := range objects {
		if err := b.Create(t.Context(), object); err != nil {
			t.Fatalf("install %T: %v", object, err)
		}
	}
	return b
}

// start runs a provisioner for a node until stop is called.
func (b *bench) start(node, class, dir string) (stop func()) {
	b.t.Helper()
	api, err := watch.NewClientFor(b.env.Config)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Options{NodeName: node, Class: class, Dir: dir}, api, slog.New(slog.DiscardHandler))
	}()
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("provisioner of %s: %v", node, err)
		}
	}
	b.t.Cleanup(stop)
	return stop
}

func (b *bench) claim(name, class, node string, mode corev1.PersistentVolumeAccessMode) *corev1.PersistentVolumeClaim {
	b.t.Helper()
	pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	if node != "" {
		pvc.Annotations = map[string]string{annotationSelectedNode: node}
	}
	if class != "" {
		pvc.Spec.StorageClassName = &class
	}
	pvc.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{mode}
	pvc.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	if err := b.Create(b.t.Context(), pvc); err != nil {
		b.t.Fatal(err)
	}
	return pvc
}

func (b *bench) eventually(what string, f func() error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			b.t.Fatalf("not so: %s: %v\n%s", what, err, b.env.Log("controllers"))
		case <-tick.C:
		}
	}
}

// bound waits until the claim has a volume and returns it.
func (b *bench) bound(pvc *corev1.PersistentVolumeClaim) *corev1.PersistentVolume {
	b.t.Helper()
	pv := &corev1.PersistentVolume{}
	b.eventually("claim "+pvc.Name+" is bound", func() error {
		if err := b.Get(b.t.Context(), client.ObjectKeyFromObject(pvc), pvc); err != nil {
			return err
		}
		if pvc.Status.Phase != corev1.ClaimBound {
			return fmt.Errorf("phase %s", pvc.Status.Phase)
		}
		return b.Get(b.t.Context(), client.ObjectKey{Name: pvc.Spec.VolumeName}, pv)
	})
	return pv
}

func (b *bench) gone(pv *corev1.PersistentVolume) {
	b.t.Helper()
	b.eventually("volume "+pv.Name+" is gone", func() error {
		err := b.Get(b.t.Context(), client.ObjectKeyFromObject(pv), &corev1.PersistentVolume{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("still there: %w", err)
	})
}

func (b *bench) delete(object client.Object) {
	b.t.Helper()
	if err := b.Delete(b.t.Context(), object); err != nil {
		b.t.Fatal(err)
	}
}

func absent(path string) error {
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		return fmt.Errorf("%s is there: %v", path, err)
	}
	return nil
}

func TestProvisionerOnRealAPI(t *testing.T) {
	b := newBench(t)
	t.Run("volume of the first consumer's node lives as long as its claim", b.firstConsumer)
	t.Run("volume at once goes to one of the nodes", b.atOnce)
	t.Run("what a directory cannot do is refused", b.refusals)
	t.Run("crashes between steps are healed", b.crashes)
	t.Run("retained and hand-deleted volumes", b.byHand)
	t.Run("volumes of a node that is gone", b.orphans)
}

func (b *bench) firstConsumer(t *testing.T) {
	here, there := filepath.Join(t.TempDir(), "v"), filepath.Join(t.TempDir(), "v")
	defer b.start("here", DefaultClass, here)()
	defer b.start("there", DefaultClass, there)()
	waiting := b.claim("waiting", "", "", corev1.ReadWriteOnce)
	pvc := b.claim("data", "", "here", corev1.ReadWriteOncePod)
	pv := b.bound(pvc)
	if pv.Spec.Local == nil || pv.Spec.Local.Path != filepath.Join(here, pv.Name) || nodeOf(pv) != "here" {
		t.Errorf("volume: %+v", pv.Spec)
	}
	if size := pv.Spec.Capacity[corev1.ResourceStorage]; size.String() != "1Gi" {
		t.Errorf("capacity %s", size.String())
	}
	if entries, err := os.ReadDir(there); err == nil && len(entries) > 0 {
		t.Errorf("the other node has made %v", entries)
	}
	write(t, filepath.Join(here, pv.Name, "file"), "x")
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(waiting), waiting); err != nil || waiting.Spec.VolumeName != "" {
		t.Errorf("a claim without a consumer has volume %q (%v)", waiting.Spec.VolumeName, err)
	}
	b.delete(waiting)
	b.delete(pvc)
	b.gone(pv)
	b.eventually("directory is gone", func() error { return absent(filepath.Join(here, pv.Name)) })
}

func (b *bench) atOnce(t *testing.T) {
	dirs := map[string]string{"one": filepath.Join(t.TempDir(), "v"), "two": filepath.Join(t.TempDir(), "v")}
	for node, dir := range dirs {
		defer b.start(node, "at-once", dir)()
	}
	pvc := b.claim("eager", "at-once", "", corev1.ReadWriteOnce)
	pv := b.bound(pvc)
	if dirs[nodeOf(pv)] == "" {
		t.Fatalf("volume is on node %q", nodeOf(pv))
	}
	b.eventually("only the winner keeps a directory", func() error {
		for node, dir := range dirs {
			_, err := os.Stat(filepath.Join(dir, pv.Name))
			if (err == nil) != (node == nodeOf(pv)) {
				return fmt.Errorf("node %s: %v", node, err)
			}
		}
		return nil
	})
	b.delete(pvc)
	b.gone(pv)
}

func (b *bench) refusals(t *testing.T) {
	defer b.start("here", DefaultClass, filepath.Join(t.TempDir(), "v"))()
	pvc := b.claim("many", "", "here", corev1.ReadWriteMany)
	b.eventually("an event says what is wrong", func() error {
		events := &corev1.EventList{}
		if err := b.List(t.Context(), events, client.InNamespace("default")); err != nil {
			return err
		}
		for i := range events.Items {
			event := &events.Items[i]
			if event.InvolvedObject.UID == pvc.UID && event.Reason == "ProvisioningFailed" && strings.Contains(event.Message, "accessModes") {
				return nil
			}
		}
		return fmt.Errorf("%d events, none of them", len(events.Items))
	})
	b.delete(pvc)
}

// crashes starts provisioners in the states that a dead one leaves behind.
func (b *bench) crashes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "v")
	d, err := openDirectories(dir)
	if err != nil {
		t.Fatal(err)
	}
	pvc := b.claim("crash", "at-once", "", corev1.ReadWriteOnce)
	name := claim{uid: pvc.UID}.volumeName()
	if err := d.make(name); err != nil { // died before the PersistentVolume
		t.Fatal(err)
	}
	if err := d.make(aName); err != nil {
		t.Fatal(err)
	}
	if err := d.discard(aName); err != nil { // died before emptying a discarded one
		t.Fatal(err)
	}
	stop := b.start("here", "at-once", dir)
	pv := b.bound(pvc)
	b.eventually("discarded directory is emptied", func() error { return absent(filepath.Join(dir, tombstone+aName)) })
	write(t, filepath.Join(dir, name, "file"), "x")
	stop()
	b.delete(pvc)
	b.eventually("volume is released", func() error {
		if err := b.Get(t.Context(), client.ObjectKeyFromObject(pv), pv); err != nil || pv.Status.Phase != corev1.VolumeReleased {
			return fmt.Errorf("phase %s: %w", pv.Status.Phase, err)
		}
		return nil
	})
	if err := d.discard(name); err != nil { // died before the PersistentVolume was deleted
		t.Fatal(err)
	}
	stop = b.start("here", "at-once", dir)
	b.gone(pv)
	b.eventually("nothing is left", func() error {
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) > 0 {
			return fmt.Errorf("%v %w", entries, err)
		}
		return nil
	})
	stop()
}

func (b *bench) byHand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "v")
	stop := b.start("here", "kept", dir)
	pvc := b.claim("kept", "kept", "", corev1.ReadWriteOnce)
	pv := b.bound(pvc)
	write(t, filepath.Join(dir, pv.Name, "file"), "x")
	b.delete(pv)
	b.delete(pvc)
	b.gone(pv)
	if _, err := os.Stat(filepath.Join(dir, pv.Name, "file")); err != nil {
		t.Errorf("retained data are gone: %v", err)
	}
	stop()

	stop = b.start("here", "at-once", dir)
	pvc = b.claim("hand", "at-once", "", corev1.ReadWriteOnce)
	pv = b.bound(pvc)
	b.delete(pv) // while it is in use
	b.eventually("volume is marked", func() error {
		if err := b.Get(t.Context(), client.ObjectKeyFromObject(pv), pv); err != nil || pv.DeletionTimestamp == nil {
			return fmt.Errorf("not marked: %w", err)
		}
		return nil
	})
	if _, err := os.Stat(filepath.Join(dir, pv.Name)); err != nil {
		t.Errorf("data of a bound volume are gone: %v", err)
	}
	b.delete(pvc)
	b.gone(pv)
	b.eventually("directory goes with it", func() error { return absent(filepath.Join(dir, pv.Name)) })
	stop()
}
