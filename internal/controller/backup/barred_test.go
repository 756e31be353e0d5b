package backup

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/policy"
)

// barredWorld has Berth's own backups and those of a cluster, with a store and no keys.
func barredWorld(t *testing.T) (*reconciler, chan string) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	noon := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	good := []metav1.Condition{{Type: v1beta1.ConditionBackedUp, Status: metav1.ConditionTrue, Reason: "Recorded", LastTransitionTime: metav1.NewTime(noon.Add(-time.Hour))}}
	cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "s", Name: "rg.c"}, Spec: v1beta1.ManagedClusterSpec{ID: "a"}}
	cluster.Status.APIServerReady, cluster.Status.Conditions = &metav1.Time{Time: noon.Add(-time.Hour)}, good
	own := &v1beta1.ManagementCluster{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.ManagementClusterName}}
	own.Status.Conditions = good
	wrong := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.SystemNamespace, Name: v1beta1.BackupKeySecret("a")},
		Data:       map[string][]byte{keyName: []byte("AGE-SECRET-KEY-NONE")},
	}
	kube := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(cluster, own).WithObjects(cluster, own, wrong).Build()
	told := make(chan string, 8)
	now := func() time.Time { return noon }
	return &reconciler{
		Config: Config{Log: slog.New(slog.DiscardHandler), Now: now, Store: "file://" + t.TempDir()},
		client: kube, reader: kube, running: newFleet(), events: activity.With(kube, &events.FakeRecorder{Events: told}, "berth/backup", now),
	}, told
}

// A cluster whose key is none, and Berth's own state whose key is gone, are not backed up: status,
// event and metric say so, and none of them what the Secret has in it.
func TestKeyThatCannotBeRead(t *testing.T) {
	r, told := barredWorld(t)
	cluster, own := client.ObjectKey{Namespace: "s", Name: "rg.c"}, client.ObjectKey{Name: v1beta1.ManagementClusterName}
	for range 2 {
		if result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: cluster}); err != nil || result.RequeueAfter == 0 {
			t.Fatalf("%+v, %v", result, err)
		}
		if result, err := (&management{reconciler: r}).Reconcile(t.Context(), ctrl.Request{NamespacedName: own}); err != nil || result.RequeueAfter == 0 {
			t.Fatalf("%+v, %v", result, err)
		}
	}
	close(told)
	var said []string
	for event := range told {
		said = append(said, event)
	}
	if len(said) != 2 || !strings.Contains(said[0], policy.ReasonBackupKeyUnreadable) || !strings.Contains(said[1], v1beta1.ManagementBackupSecret) {
		t.Errorf("told %q", said)
	}
	var c v1beta1.ManagedCluster
	var m v1beta1.ManagementCluster
	if err := r.client.Get(t.Context(), cluster, &c); err != nil {
		t.Fatal(err)
	}
	if err := r.client.Get(t.Context(), own, &m); err != nil {
		t.Fatal(err)
	}
	for _, conditions := range [][]metav1.Condition{c.Status.Conditions, m.Status.Conditions} {
		found := meta.FindStatusCondition(conditions, v1beta1.ConditionBackedUp)
		if found == nil || found.Status != metav1.ConditionFalse || found.Reason != policy.ReasonBackupKeyUnreadable || strings.Contains(found.Message, "AGE-SECRET-KEY") {
			t.Errorf("condition %+v", found)
		}
	}
	if points := pointsOf(r.running); points != 2 {
		t.Errorf("%d of the two count as late", points)
	}
	r.running.stop(cluster)
	if points := pointsOf(r.running); points != 1 {
		t.Errorf("one that is gone counts as late: %d", points)
	}
}

// pointsOf is how many recovery points the metrics have.
func pointsOf(f *fleet) (points int) {
	out := make(chan prometheus.Metric, 16)
	f.Collect(out)
	close(out)
	for metric := range out {
		if metric.Desc() == pointMetric {
			points++
		}
	}
	return points
}

// The activity log is the customer's: no store and no Secret of the operator's is in it.
func TestCustomersReadNoStores(t *testing.T) {
	r, told := barredWorld(t)
	var c v1beta1.ManagedCluster
	if err := r.client.Get(t.Context(), client.ObjectKey{Namespace: "s", Name: "rg.c"}, &c); err != nil {
		t.Fatal(err)
	}
	r.tellEmptied(&c, "s3://the-operators-bucket")
	r.tell(&c, nil, metav1.Condition{Status: metav1.ConditionFalse, Reason: "StoreUnavailable", Message: "the store s3://the-operators-bucket refuses it"})
	for range 2 {
		if event := <-told; !strings.Contains(event, "the-operators-bucket") {
			t.Errorf("the operator is told %q", event)
		}
	}
	var entries v1beta1.ActivityLogEntryList
	if err := r.client.List(t.Context(), &entries); err != nil || len(entries.Items) != 2 {
		t.Fatalf("%d entries, %v", len(entries.Items), err)
	}
	for i := range entries.Items {
		if text := entries.Items[i].Spec.Notice.Message; text == "" || strings.Contains(text, "s3://") {
			t.Errorf("the customer reads %q", text)
		}
	}
}

// That a key cannot be read takes no word away on which more hangs, and where a recorder runs it
// goes on, and is reported.
func TestKeyThatCannotBeReadHidesNothing(t *testing.T) {
	for why, c := range map[string]struct {
		reason  string
		running bool
		want    string
	}{
		"etcd had gone back":          {policy.ReasonEtcdRolledBack, false, policy.ReasonEtcdRolledBack},
		"an earlier key was lost":     {policy.ReasonBackupKeyLost, false, policy.ReasonBackupKeyLost},
		"backups were late":           {"StoreUnavailable", false, policy.ReasonBackupKeyUnreadable},
		"a recorder runs":             {"StoreUnavailable", true, policy.ReasonBackupKeyUnreadable},
		"a recorder of etcd's is new": {policy.ReasonEtcdRolledBack, true, policy.ReasonBackupKeyUnreadable},
	} {
		r, _ := barredWorld(t)
		key := client.ObjectKey{Namespace: "s", Name: "rg.c"}
		var cluster v1beta1.ManagedCluster
		if err := r.client.Get(t.Context(), key, &cluster); err != nil {
			t.Fatal(err)
		}
		cluster.Status.Conditions[0].Status, cluster.Status.Conditions[0].Reason = metav1.ConditionFalse, c.reason
		if err := r.client.Status().Update(t.Context(), &cluster); err != nil {
			t.Fatal(err)
		}
		if c.running {
			held, err := backup.NewKey()
			if err != nil {
				t.Fatal(err)
			}
			r.running.known[key] = &voyage{recorder: backup.NewRecorder(backup.Config{ClusterID: "a", Key: held})}
		}
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}); err != nil {
			t.Fatal(err)
		}
		if err := r.client.Get(t.Context(), key, &cluster); err != nil {
			t.Fatal(err)
		}
		if got := cluster.Status.Conditions[0].Reason; got != c.want || (cluster.Status.Backup != nil) != c.running {
			t.Errorf("%s: %s, want %s; status %+v", why, got, c.want, cluster.Status.Backup)
		}
	}
}
