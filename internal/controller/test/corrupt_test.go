package test

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/etcd"
)

// A member of three that holds other data than the two others is made anew, also where it
// leads; the alarm is taken back as soon as it has gone, and the others are left alone.
func TestStandardClusterReplacesAMemberThatHoldsOtherData(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.standard()
	before := w.volumes()
	w.etcd.differ(0)
	w.eventually("etcd-0 is made anew", func() bool {
		made := w.etcd.made()
		return slices.Equal(made, []string{string(etcd.MoveLeader), string(etcd.Remove), string(etcd.Disarm), string(etcd.AddVoter)}) && w.cluster().Status.Replicas.Replacing == nil
	})
	w.checkWhole()
	after := w.volumes()
	for name, uid := range before {
		if changed := after[name] != uid; changed != (name == controlplane.MemberClaim(0)) {
			t.Errorf("claim %s was %s and is %s", name, uid, after[name])
		}
	}
	for reason, part := range map[string]string{"EtcdMemberLost": "holds other data than the two others", "EtcdMemberReplaced": "etcd-0", "EtcdAgrees": "taken back"} {
		w.eventually("an event "+reason, func() bool { return w.tells(reason, part) })
	}
	w.delete()
	w.checkGone()
}

// Where no two members hold the same, nothing is done by itself, and the operator is told.
func TestMembersThatAllDifferAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.standard()
	w.etcd.differ(1, 2)
	w.eventually("the operator is told", func() bool {
		c := meta.FindStatusCondition(w.cluster().Status.Conditions, v1beta1.ConditionHighlyAvailable)
		return c != nil && strings.Contains(c.Message, "no two of its 3 members") && w.tells("EtcdCorrupt", "have the backups back")
	})
	if made := w.etcd.made(); len(made) > 0 || w.cluster().Status.Replicas.Replacing != nil {
		t.Errorf("members were changed: %v", made)
	}
	w.delete()
	w.checkGone()
}

// checkWhole looks at a control plane once the last member that was made anew has a volume.
func (w *world) checkWhole() {
	w.t.Helper()
	w.eventually("every member has a volume", func() bool { return len(w.volumes()) == controlplane.Replicas })
	w.checkReplicas(controlplane.Replicas)
}

// disarm is what the operator does.
func (h *hostedEtcd) disarm() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.alarmed, h.odd = nil, nil
}

// oldStandard creates a cluster with three of everything that there is an upgrade for.
func (w *world) oldStandard() {
	w.t.Helper()
	op := w.createOperation("op-create")
	op.Spec.Desired.Cluster.KubernetesVersion = oldVersion
	op.Spec.Desired.Cluster.SKU = &v1beta1.SKU{Name: "Base", Tier: v1beta1.TierStandard}
	w.request(op)
	w.succeed("op-create")
	w.checkWhole()
}

func (w *world) standardVersion(name, version string) {
	w.t.Helper()
	op := w.versionOperation(name, version)
	op.Spec.Desired.Cluster.SKU = &v1beta1.SKU{Name: "Base", Tier: v1beta1.TierStandard}
	w.request(op)
}

func (w *world) inPhase(phase v1beta1.UpgradePhase) {
	w.t.Helper()
	w.eventually("the upgrade is in phase "+string(phase), func() bool { up := w.cluster().Status.Upgrade; return up != nil && up.Phase == phase })
}

// Where no version comes up since etcd cannot be read, what was saved before the upgrade does
// not take the place of what the members hold, however long it takes.
func TestUpgradeRestoresNothingWhileEtcdIsCorrupt(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.oldStandard()
	const timeout = 2 * time.Second
	w.upgradeTimeout(timeout)
	w.fall(func(pod *corev1.Pod) bool {
		return pod.Labels[controlplane.LabelComponent] == controlplane.ComponentKube && w.etcd.corrupt()
	})
	w.standardVersion("op-upgrade", newVersion)
	w.inPhase(v1beta1.UpgradeRollOut)
	w.etcd.differ(1, 2)
	w.inPhase(v1beta1.UpgradeRollBack)
	since := time.Now()
	w.eventually("the old version is late too", func() bool { return time.Since(since) > 3*timeout })
	if up := w.cluster().Status.Upgrade; up.Phase != v1beta1.UpgradeRollBack || len(w.restores()) > 0 {
		t.Fatalf("phase %s, restored %v", up.Phase, w.restores())
	}
	if made := w.etcd.made(); len(made) > 0 {
		t.Errorf("members were changed: %v", made)
	}
	w.upgradeTimeout(5 * time.Minute)
	w.etcd.disarm()
	op := w.finish("op-upgrade")
	if op.Status.Status != v1beta1.OperationFailed || !strings.Contains(op.Status.Error.Message, "with everything that was written") || len(w.restores()) > 0 {
		t.Errorf("%s: %+v, restored %v", op.Status.Status, op.Status.Error, w.restores())
	}
	w.delete()
	w.checkGone()
}
