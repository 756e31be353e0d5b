package deletedcluster

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
)

// A store that hangs keeps neither the other stores of a cluster from what is done there,
// nor another cluster's from its end, nor whoever asks from going on.
func TestJobsBesideAStoreThatHangs(t *testing.T) {
	j := newJobs()
	j.timeout = time.Second
	hang, asked := make(chan struct{}), make(chan string, 64)
	in := func(_ context.Context, store string) error {
		asked <- store
		if store == "file:///hangs" {
			<-hang // a directory does not heed its context
		}
		return nil
	}
	both := []string{"file:///hangs", "file:///other"}
	for range turns + 1 {
		began := time.Now()
		if ended, _ := j.do("purge a", both, in); ended {
			t.Fatal("it has ended, though a store hangs")
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("whoever asks waits for %s", took)
		}
	}
	if _, err := j.do("purge a", both, in); err == nil || !strings.Contains(err.Error(), "file:///hangs") || strings.Contains(err.Error(), "file:///other") {
		t.Errorf("it is not said which one hangs: %v", err)
	}
	if got := len(asked); got != 2 {
		t.Errorf("the stores were asked %d times, want once each", got)
	}
	if ended, err := j.do("purge b", []string{"file:///other"}, in); !ended || err != nil {
		t.Errorf("another cluster: %t, %v", ended, err)
	}
	close(hang)
	deadline := time.Now().Add(time.Minute)
	for ended := false; !ended; {
		var err error
		if ended, err = j.do("purge a", both, in); err != nil && ended || time.Now().After(deadline) {
			t.Fatalf("the store goes on: %t, %v", ended, err)
		}
	}
	// What has ended is done again when it is asked for again, and says how that went.
	failed := errors.New("full")
	if ended, err := j.do("purge a", both, func(context.Context, string) error { return failed }); !ended || !errors.Is(err, failed) {
		t.Errorf("a failure: %t, %v", ended, err)
	}
}

// A job that is dropped ends what heeds that, and says nothing about the next of its name,
// which begins when it has returned.
func TestDroppedJob(t *testing.T) {
	j, store := newJobs(), []string{"file:///a"}
	j.timeout = time.Minute
	told, goOn := make(chan struct{}), make(chan struct{})
	if ended, err := j.do("purge a", store, func(ctx context.Context, _ string) error {
		<-ctx.Done()
		close(told)
		<-goOn
		return nil
	}); ended || err != nil {
		t.Fatalf("it does not run: %t, %v", ended, err)
	}
	j.drop("purge a")
	select {
	case <-told:
	case <-time.After(time.Minute):
		t.Fatal("the job is not told to end")
	}
	again := errors.New("again")
	next := func(context.Context, string) error { return again }
	if ended, err := j.do("purge a", store, next); ended || err != nil {
		t.Errorf("another one while it has not returned: %t, %v", ended, err)
	}
	close(goOn)
	done(t, j, "purge a")
	if ended, err := j.do("purge a", store, next); !ended || !errors.Is(err, again) {
		t.Errorf("another one after it: %t, %v", ended, err)
	}
}

// done waits until nothing is known of a job that was dropped.
func done(t *testing.T, j *jobs, name string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		j.mu.Lock()
		found := j.known[name]
		j.mu.Unlock()
		if found == nil {
			return
		}
		select {
		case <-found.done:
		case <-time.After(time.Until(deadline)):
			t.Fatal("it does not end")
		}
	}
}

// The purge of a cluster that has come back ends, and is no answer to the next one: the
// backups that it makes from now on are not purged by either.
func TestPurgeOfAClusterThatIsBack(t *testing.T) {
	scheme := knownTypes(t)
	now := metav1.NewTime(time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC))
	spec := v1beta1.ManagedClusterSpec{ID: "a", ResourceGroup: "rg", Name: "c"}
	kept := &v1beta1.DeletedCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "s", Name: "a", Finalizers: []string{v1beta1.Finalizer}, DeletionTimestamp: &now},
		Spec:       v1beta1.DeletedClusterSpec{Cluster: spec, DeletionDate: now},
	}
	back := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "s", Name: v1beta1.ObjectName("rg", "c")}, Spec: spec}
	for why, objects := range map[string][]client.Object{"it is back": {kept, back}, "nothing is kept of it": nil} {
		kube := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
		r := &reconciler{Config: Config{Log: slog.New(slog.DiscardHandler), Now: time.Now}, client: kube, reader: kube, jobs: newJobs()}
		ended, err := r.jobs.do(purging("a"), []string{"file:///a"}, func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if ended || err != nil {
			t.Fatalf("%s: the purge does not run: %t, %v", why, ended, err)
		}
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(kept)}); err != nil {
			t.Fatalf("%s: %v", why, err)
		}
		done(t, r.jobs, purging("a"))
	}
}

func knownTypes(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

// A write that hung when the cluster was deleted may land when its backups were removed: it
// is removed too, and keeps the purge from its end in no store.
func TestPurgeOfABackupThatLandedLate(t *testing.T) {
	now := metav1.NewTime(time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC))
	late, done, used := t.TempDir(), t.TempDir(), "full-20261126T115900Z-7.zst.age"
	kept := &v1beta1.DeletedCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "s", Name: "a", Finalizers: []string{v1beta1.Finalizer}, DeletionTimestamp: &now},
		Spec:       v1beta1.DeletedClusterSpec{Cluster: v1beta1.ManagedClusterSpec{ID: "a"}, DeletionDate: now, BackupStores: []string{"file://" + late, "file://" + done}},
		Status:     v1beta1.DeletedClusterStatus{BackupsRemoved: true},
	}
	service := &v1beta1.ServicePolicy{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.ServicePolicyName}}
	service.Spec.BackupStores = kept.Spec.BackupStores
	if err := os.Mkdir(filepath.Join(late, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{used, used + ".1.tmp"} {
		if err := os.WriteFile(filepath.Join(late, "a", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kube := fake.NewClientBuilder().WithScheme(knownTypes(t)).WithObjects(kept, service).Build()
	r := &reconciler{Config: Config{Log: slog.New(slog.DiscardHandler), Now: time.Now}, client: kube, reader: kube, jobs: newJobs()}
	for deadline := time.Now().Add(time.Minute); ; {
		ended, err := r.purge(t.Context(), kept)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the purge does not end: %v", err)
		}
		if ended {
			break
		}
	}
	if left, err := os.ReadDir(late); err != nil || len(left) > 0 {
		t.Errorf("left: %v (%v)", left, err)
	}
}
