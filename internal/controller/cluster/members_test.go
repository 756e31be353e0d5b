package cluster

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/etcd"
	"berth.dev/berth/internal/release"
)

// askedEtcd is an etcd that answers what a test says, and counts how often it is asked for alarms.
type askedEtcd struct {
	Members
	members []etcd.Member
	alarms  []string
	corrupt etcd.Corruption
	err     error
	asked   int
}

func (a *askedEtcd) Corruption(context.Context, etcd.Target) (etcd.Corruption, error) {
	return a.corrupt, a.err
}

func (a *askedEtcd) List(context.Context, etcd.Target) ([]etcd.Member, error) {
	return a.members, a.err
}

func (a *askedEtcd) Alarms(context.Context, etcd.Target) ([]string, error) {
	a.asked++
	return a.alarms, a.err
}

// reachable is what an etcd is reached by: its certificates, and its address.
func reachable(t *testing.T, cluster *v1beta1.ManagedCluster, now time.Time) []client.Object {
	t.Helper()
	in := controlplane.Input{
		ID: cluster.Spec.ID, FQDN: "a.example", ServiceCIDR: "10.0.0.0/16", PodCIDR: "10.244.0.0/16", APIServerAddress: "10.0.0.8", EtcdAddress: "10.0.0.9",
	}
	roots, err := controlplane.NewRoots(in.ID, now)
	if err != nil {
		t.Fatal(err)
	}
	objects := []client.Object{roots.Secret(in), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespaceOf(cluster), Name: controlplane.EtcdService}, Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.9"},
	}}
	plans, err := controlplane.Plans(in, roots)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(plans, func(plan controlplane.Plan) bool { return plan.Name == controlplane.BackupSecret })
	secret, err := plans[at].Issue(now)
	if err != nil {
		t.Fatal(err)
	}
	return append(objects, secret)
}

// While etcd does not tell who its members are, one that joins starts with what it started
// with: nobody takes it for one that lost its data. Without a majority, for long, none joins.
func TestWhoJoinsIsKeptWhileEtcdIsSilent(t *testing.T) {
	began := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "s", Name: "c", UID: "1"}, Spec: v1beta1.ManagedClusterSpec{ID: "a"}}
	cluster.Status.Replicas = &v1beta1.ControlPlaneReplicas{Phase: v1beta1.ReplicasThree, Members: 3}
	joins := &askedEtcd{members: []etcd.Member{
		{ID: 1, Name: "etcd-0", Peer: controlplane.MemberPeer(0), Healthy: true, Leader: true}, {ID: 2, Name: "etcd-1", Peer: controlplane.MemberPeer(1), Healthy: true}, {ID: 3, Peer: controlplane.MemberPeer(2)},
	}}
	in := controlplane.Input{ID: cluster.Spec.ID, Members: 3, Initialized: true}
	rendered := func(joining []int32) *corev1.ConfigMap {
		in.Joining = joining
		for _, object := range controlplane.Workloads(in) {
			if config, ok := object.(*corev1.ConfigMap); ok && config.Name == controlplane.EtcdConfigMap {
				config.Namespace = namespaceOf(cluster)
				return config
			}
		}
		t.Fatal("no ConfigMap is rendered")
		return nil
	}
	all := []int32{0, 1, 2}
	r := reconcilerOf(t, began, append(reachable(t, cluster, began), cluster, rendered(nil))...)
	r.Members = joins
	for _, c := range []struct {
		why   string
		stood []int32
		after time.Duration
		err   error
		want  []int32
	}{
		{"it tells", nil, 0, nil, all},
		{"it does not, for once", all, time.Second, etcd.ErrNoLeader, all},
		{"nor a moment later", all, 30 * time.Second, etcd.ErrNoLeader, all},
		{"nor for long", all, 2 * time.Minute, etcd.ErrNoLeader, nil},
		{"it tells again", all, 3 * time.Minute, nil, all},
		{"and does not, for once", all, 4 * time.Minute, errors.New("context deadline exceeded"), all},
		{"nor a moment later", all, 4*time.Minute + 30*time.Second, etcd.ErrNoLeader, all},
		{"nobody joined", nil, 4*time.Minute + 40*time.Second, etcd.ErrNoLeader, nil},
	} {
		if err := r.client.Update(t.Context(), rendered(c.stood)); err != nil {
			t.Fatal(err)
		}
		joins.err = c.err
		p := &pass{cluster: cluster.DeepCopy(), now: began.Add(c.after), input: controlplane.Input{ID: cluster.Spec.ID, Members: 3, Initialized: true}}
		p.found.replicas = &redundancy{}
		_, _, known, err := r.seeMembers(t.Context(), p, seenReplicas{})
		if err != nil || known != (c.err == nil) || !slices.Equal(p.input.Joining, c.want) {
			t.Errorf("%s: %v join, known %t (%v), want %v", c.why, p.input.Joining, known, err, c.want)
		}
		if p.again != membersAgain {
			t.Errorf("%s: it is looked at again in %s", c.why, p.again)
		}
	}
}

// While the old version does not come up, etcd is asked every some seconds how it is, and not
// in each pass; before what was saved is put back it is asked in that very moment.
func TestEtcdIsAskedSeldomInARollBack(t *testing.T) {
	began := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		why    string
		alarms []string
		// tried: a process of the old version was started. fewest and most are how often etcd
		// is asked in the minute after the first ten seconds, with one pass each 250 ms.
		tried        bool
		fewest, most int
		phase        v1beta1.UpgradePhase
	}{
		{"etcd is well, and the version waits for a place", nil, false, 4, 8, v1beta1.UpgradeRollBack},
		{"etcd is ill", []string{"NOSPACE"}, true, 3, 8, v1beta1.UpgradeRollBack},
		{"etcd is well, and the version does not come up", nil, true, 2, 8, v1beta1.UpgradeRestore},
	} {
		cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "s", Name: "c", UID: "1"}, Spec: v1beta1.ManagedClusterSpec{ID: "a"}}
		cluster.Status.Upgrade = &v1beta1.ControlPlaneUpgrade{From: "1.36.3", To: "1.37.2", Phase: v1beta1.UpgradeRollBack, PhaseSince: metav1.NewTime(began), Snapshot: "s"}
		policy := &v1beta1.ServicePolicy{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.ServicePolicyName}, Spec: v1beta1.ServicePolicySpec{UpgradeTimeout: &metav1.Duration{Duration: 30 * time.Second}}}
		now := began
		r := reconcilerOf(t, now, append(reachable(t, cluster, began), cluster, policy)...)
		asked := &askedEtcd{alarms: c.alarms}
		r.Members, r.Catalogue = asked, &release.Catalogue{}
		p := &pass{cluster: cluster.DeepCopy()}
		var pods upgradePods
		if c.tried {
			pods.own = []*corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{controlplane.LabelComponent: controlplane.ComponentKube}}, Status: corev1.PodStatus{
				ContainerStatuses: []corev1.ContainerStatus{{RestartCount: 1}},
			}}}
		}
		for ; now.Sub(began) < 70*time.Second && p.cluster.Status.Upgrade.Phase == v1beta1.UpgradeRollBack; now = now.Add(upgradeAgain) {
			p.now = now
			w, err := r.lookAtUpgrade(t.Context(), p, pods, release.Release{}, release.Release{})
			if err != nil {
				t.Fatal(err)
			}
			if now.Sub(began) < holdEvery && asked.asked > 0 {
				t.Fatalf("%s: it is asked at once", c.why)
			}
			if err := r.holdUpgrade(t.Context(), p, w); err != nil {
				t.Fatal(err)
			}
			p.cluster.Status.Upgrade.Phase, _ = nextPhase(p.cluster.Status.Upgrade.Phase, w)
		}
		if asked.asked < c.fewest || asked.asked > c.most || p.cluster.Status.Upgrade.Phase != c.phase {
			t.Errorf("%s: asked %d times, in phase %s", c.why, asked.asked, p.cluster.Status.Upgrade.Phase)
		}
	}
	// Etcd that was well some seconds ago, and is ill now, has what was written.
	if known := (health{at: began}); known.counts(began.Add(time.Second), true) || !known.counts(began.Add(time.Second), false) {
		t.Error("what decides was asked before")
	}
}
