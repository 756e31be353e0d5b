package backup

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/policy"
)

// A key is drawn in silence only for a cluster that never had a backup. Where one had, that
// is told; and where a recorder has the key still, it is put back.
func TestKeyThatIsGone(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for why, c := range map[string]struct {
		known, stored, running bool
		told                   string
	}{
		"a new cluster":               {},
		"the status knows of backups": {known: true, told: policy.ReasonBackupKeyLost},
		"a store has some":            {stored: true, told: policy.ReasonBackupKeyLost},
		"a recorder has the key":      {known: true, stored: true, running: true, told: "BackupKeyPutBack"},
	} {
		root := t.TempDir()
		if c.stored {
			if err := os.Mkdir(filepath.Join(root, "a"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, "a", "full-20261126T110000Z-7.zst.age"), []byte("sealed"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		kube := fake.NewClientBuilder().Build()
		r := &reconciler{
			Config: Config{Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }},
			client: kube, reader: kube, running: newFleet(),
		}
		cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: "rg.c"}, Spec: v1beta1.ManagedClusterSpec{ID: "a"}}
		if c.known {
			cluster.Status.Backup = &v1beta1.BackupStatus{Time: &metav1.Time{Time: now}}
		}
		held, err := backup.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		if c.running {
			r.running.known[client.ObjectKeyFromObject(cluster)] = &voyage{recorder: backup.NewRecorder(backup.Config{ClusterID: "a", Key: held})}
		}
		plan := policy.BackupPlan{Stores: []string{"file://" + root}}
		first, told, err := r.sealing(t.Context(), cluster, plan)
		if err != nil {
			t.Fatal(err)
		}
		if (told == nil) != (c.told == "") || told != nil && told.reason != c.told {
			t.Errorf("%s: it tells %+v", why, told)
		}
		if lost := c.told == policy.ReasonBackupKeyLost; lost != first.replaced.Equal(now) || !lost && !first.replaced.IsZero() {
			t.Errorf("%s: replaced at %s", why, first.replaced)
		}
		if (first.key == held) != c.running {
			t.Errorf("%s: it is the recorder's key: %t", why, first.key == held)
		}
		again, told, err := r.sealing(t.Context(), cluster, plan)
		if err != nil || told != nil || again != first {
			t.Errorf("%s: once more: %+v, %v", why, told, err)
		}
		var secret corev1.Secret
		if err := kube.Get(t.Context(), client.ObjectKey{Namespace: v1beta1.SystemNamespace, Name: "backup-a"}, &secret); err != nil || string(secret.Data["key"]) != first.key {
			t.Errorf("%s: the secret: %v", why, err)
		}
	}
}

// That a lost key was replaced stays in the metrics.
func TestMetricOfAReplacedKey(t *testing.T) {
	f, key, noon := newFleet(), client.ObjectKey{Namespace: "s", Name: "rg.c"}, time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	f.known[key] = &voyage{recorder: backup.NewRecorder(backup.Config{})}
	replaced := func() (found []prometheus.Metric) {
		out := make(chan prometheus.Metric, 16)
		f.Collect(out)
		close(out)
		for metric := range out {
			if metric.Desc() == replacedMetric {
				found = append(found, metric)
			}
		}
		return found
	}
	if got := replaced(); len(got) != 0 {
		t.Errorf("no key was replaced, and yet: %v", got)
	}
	f.noted(key, nil, noon)
	want := prometheus.MustNewConstMetric(replacedMetric, prometheus.GaugeValue, float64(noon.Unix()), "s", "rg.c")
	if got := replaced(); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("replaced: %v, want %v", got, want)
	}
}
