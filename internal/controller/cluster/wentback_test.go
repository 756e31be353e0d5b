package cluster

import (
	"context"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

// backThen is a cluster whose etcd came back with less a moment ago, and has taken writes
// since that somebody counts on.
func backThen(now time.Time, written int64) *v1beta1.ManagedCluster {
	cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "s", Name: "c", UID: "1"}, Spec: v1beta1.ManagedClusterSpec{ID: "a"}}
	cluster.Status.Backup = &v1beta1.BackupStatus{Rollback: &v1beta1.EtcdRollback{Time: metav1.NewTime(now), Revision: 60, Recorded: 90, Shared: 50, Written: written}}
	cluster.Status.Conditions = []metav1.Condition{{
		Type: v1beta1.ConditionBackedUp, Status: metav1.ConditionFalse, Reason: policy.ReasonEtcdRolledBack, LastTransitionTime: metav1.NewTime(now),
	}}
	return cluster
}

func reconcilerOf(t *testing.T, now time.Time, objects ...client.Object) *reconciler {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1beta1.AddToScheme, clientgoscheme.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1beta1.ManagedCluster{}).Build()
	at := func() time.Time { return now }
	return &reconciler{Config: Config{Now: at}, client: c, reader: c, events: activity.With(c, events.NewFakeRecorder(10), "berth/cluster", at)}
}

// What a cache has of an etcd that came back with less is asked for once more before what it
// has taken goes.
func TestWentBackIsAskedForAnew(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for written, want := range map[int64]bool{0: true, 1: false} {
		r := reconcilerOf(t, now, backThen(now, written))
		got, err := r.wentBack(t.Context(), &pass{cluster: backThen(now, 0), now: now})
		if err != nil || (got != "") != want {
			t.Errorf("%d written: %q (%v)", written, got, err)
		}
		several := &pass{cluster: backThen(now, 0), now: now, input: controlplane.Input{Members: 3}}
		if got, err := r.wentBack(t.Context(), several); got != "" || err != nil {
			t.Errorf("of several members, one would be made the only one: %q (%v)", got, err)
		}
	}
}

// An etcd that was to end for a recovery and has run on goes on with what it has: nobody has
// looked at what it has taken since.
func TestRecoveryThatComesTooLate(t *testing.T) {
	began := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for why, c := range map[string]struct {
		after    time.Duration
		replicas int32
		running  bool
		late     bool
	}{
		"at once":                         {time.Second, 1, true, false},
		"Berth was away meanwhile":        {time.Hour, 1, true, true},
		"the clock was set back":          {-time.Hour, 1, true, true},
		"etcd has ended":                  {time.Hour, 0, true, false},
		"etcd was dead when it began":     {time.Hour, 1, false, false},
		"within what a recovery may lose": {30 * time.Second, 1, true, false},
	} {
		now := began.Add(c.after)
		cluster := backThen(began, 0)
		cluster.Status.Recovery = &v1beta1.ControlPlaneRecovery{ID: "recovery-1", StartTime: metav1.NewTime(began), Running: c.running}
		set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespaceOf(cluster), Name: controlplane.EtcdStatefulSet}, Spec: appsv1.StatefulSetSpec{Replicas: &c.replicas}}
		r := reconcilerOf(t, now, cluster, set)
		p := &pass{cluster: cluster.DeepCopy(), now: now}
		// Where it goes on it comes to an end here: nothing gives backups back.
		if _, err := r.recovery(t.Context(), p); c.late && err != nil || p.input.Stopped == c.late {
			t.Errorf("%s: etcd is to end: %t (%v)", why, p.input.Stopped, err)
		}
		var stored v1beta1.ManagedCluster
		if err := r.reader.Get(context.WithoutCancel(t.Context()), client.ObjectKeyFromObject(cluster), &stored); err != nil {
			t.Fatal(err)
		}
		if recovery := stored.Status.Recovery; recovery.UnderWay() == c.late || c.late && !strings.Contains(recovery.Message, "goes on with what it has") {
			t.Errorf("%s: %+v", why, recovery)
		}
	}
}

// A stop ends a recovery, but where one of several members may have been made the only one: the
// others must not start beside it.
func TestStopDuringARecovery(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for why, c := range map[string]struct {
		members, examined int32
		ends              bool
	}{
		"one member":                         {0, 0, true},
		"several, which are looked at":       {3, 2, true},
		"several, one of which stays, alone": {3, 3, false},
	} {
		cluster := backThen(now, 0)
		cluster.Spec.PowerState = &v1beta1.PowerState{Code: v1beta1.PowerStopped}
		cluster.Status.Recovery = &v1beta1.ControlPlaneRecovery{ID: "recovery-1", StartTime: metav1.NewTime(now), Examine: c.members, Examined: make([]v1beta1.MemberData, c.examined)}
		r := reconcilerOf(t, now, cluster)
		p := &pass{cluster: cluster.DeepCopy(), now: now, input: controlplane.Input{Members: c.members}}
		_, err := r.recovery(t.Context(), p)
		if c.ends && err != nil || p.cluster.Status.Recovery.UnderWay() == c.ends {
			t.Errorf("%s: %+v (%v)", why, p.cluster.Status.Recovery, err)
		}
	}
}
