package test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

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

// remade says whether one member was made anew, and what else was done to etcd.
func (w *world) remade(changes ...etcd.Action) bool {
	w.t.Helper()
	made := w.etcd.made()
	return slices.EqualFunc(made, changes, func(got string, want etcd.Action) bool { return got == string(want) }) && w.cluster().Status.Replicas.Replacing == nil
}

// checkWhole looks at a control plane once the last member that was made anew has a volume.
func (w *world) checkWhole() {
	w.t.Helper()
	w.eventually("every member has a volume", func() bool { return len(w.volumes()) == controlplane.Replicas })
	w.checkReplicas(controlplane.Replicas)
}

// alarm raises the alarm CORRUPT about a member, whose data are as those of the others.
func (h *hostedEtcd) alarm(ordinal int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.odd = map[uint64]uint32{}
	for _, m := range h.members {
		if m.Peer == controlplane.MemberPeer(ordinal) {
			h.alarmed = []uint64{m.ID}
		}
	}
}

// disarm is what the operator does.
func (h *hostedEtcd) disarm() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.alarmed, h.odd = nil, nil
}

// An alarm is taken back of which nothing is left: all members hold the same. What they
// remember is forgotten with one revision of history, and it is told in the activity log.
func TestAlarmIsTakenBackWhereAllMembersAgree(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.standard()
	w.etcd.alarm(1)
	w.eventually("the alarm is taken back", func() bool { return w.remade(etcd.Disarm) && w.etcd.stored().compacted == 6 })
	w.eventually("an event", func() bool { return w.tells("EtcdAgrees", "about etcd-1") })
	w.eventually("an entry of the activity log", func() bool {
		var list v1beta1.ActivityLogEntryList
		if err := w.client.List(t.Context(), &list, client.InNamespace(w.namespace)); err != nil {
			return false
		}
		return slices.ContainsFunc(list.Items, func(e v1beta1.ActivityLogEntry) bool {
			return e.Spec.Notice != nil && e.Spec.Notice.Reason == "EtcdAgrees" && e.Spec.Notice.Warning
		})
	})
	w.checkWhole()
	w.delete()
	w.checkGone()
}

// Two members that agree are a majority: one that the alarm names is not waited for.
func TestMemberThatIsNamedAndAwayIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.standard()
	w.mutes(2)
	w.etcd.alarm(2)
	w.eventually("etcd-2 is made anew", func() bool { return w.remade(etcd.Remove, etcd.Disarm, etcd.AddVoter) })
	w.eventually("an event", func() bool { return w.tells("EtcdMemberLost", "and is away") })
	w.checkWhole()
	w.delete()
	w.checkGone()
}

// Where two differ, the third may tell who is right: it is waited for, which is told, and the
// odd one is made anew when it is back.
func TestMembersThatDifferWaitForTheThird(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.standard()
	w.mutes(2)
	w.etcd.differ(1)
	w.eventually("the operator is told", func() bool {
		c := meta.FindStatusCondition(w.cluster().Status.Conditions, v1beta1.ConditionHighlyAvailable)
		return c != nil && strings.Contains(c.Message, "the 2 of its 3 members that answer") && w.tells("EtcdCorrupt", "are waited for")
	})
	if made := w.etcd.made(); len(made) > 0 || w.cluster().Status.Replicas.Replacing != nil {
		t.Errorf("members were changed: %v", made)
	}
	w.delete()
	w.checkGone()
}

// mutes has a member's pod not answer.
func (w *world) mutes(ordinal int32) {
	w.t.Helper()
	var pod corev1.Pod
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(clusterID), Name: controlplane.MemberName(ordinal)}, &pod); err != nil {
		w.t.Fatal(err)
	}
	w.etcd.mu.Lock()
	defer w.etcd.mu.Unlock()
	w.etcd.mute = pod.UID
}

// bindMember gives a member's claim a volume, as a provisioner does.
func (w *world) bindMember(ordinal int32, name string) {
	w.t.Helper()
	volume := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/volumes/" + name}},
			ClaimRef:                      &corev1.ObjectReference{Namespace: v1beta1.ControlPlaneNamespace(clusterID), Name: controlplane.MemberClaim(ordinal)},
		},
	}
	w.ensure(volume)
	w.eventually("the claim has a volume", func() bool {
		var claim corev1.PersistentVolumeClaim
		if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(clusterID), Name: controlplane.MemberClaim(ordinal)}, &claim); err != nil {
			return false
		}
		before := claim.DeepCopy()
		claim.Spec.VolumeName = name
		return w.client.Patch(w.t.Context(), &claim, client.MergeFrom(before)) == nil
	})
}

// reclaims is what becomes of a volume that nobody claims any more.
func (w *world) reclaims(name string) corev1.PersistentVolumeReclaimPolicy {
	w.t.Helper()
	var volume corev1.PersistentVolume
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Name: name}, &volume); err != nil {
		w.t.Fatal(err)
	}
	return volume.Spec.PersistentVolumeReclaimPolicy
}

// keepsOddMember is the life of a cluster a member of which holds other data.
func keepsOddMember(w *world) {
	w.t.Helper()
	w.standard()
	w.bindMember(1, "first")
	w.etcd.differ(1)
	w.eventually("etcd-1 is made anew", func() bool { return w.remade(etcd.Remove, etcd.Disarm, etcd.AddVoter) })
	kept := w.cluster().Status.Replicas.Kept
	if kept == nil || kept.Volume != "first" || kept.Name != "etcd-1" || w.reclaims("first") != corev1.PersistentVolumeReclaimRetain {
		w.t.Fatalf("kept %+v, and the volume is to %s", kept, w.reclaims("first"))
	}
}

// What a member held that is made anew is kept, of the last one of a cluster, for as long as
// the operator says; where it is, is told.
func TestWhatAnOddMemberHeldIsKeptForAWhile(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	keepsOddMember(w)
	w.eventually("an event", func() bool { return w.tells("EtcdMemberLost", "in the volume first") })
	w.checkWhole()
	w.bindMember(2, "second")
	w.etcd.differ(2)
	w.eventually("etcd-2 is made anew", func() bool {
		return w.remade(etcd.Remove, etcd.Disarm, etcd.AddVoter, etcd.Remove, etcd.Disarm, etcd.AddVoter)
	})
	kept := w.cluster().Status.Replicas.Kept
	if kept == nil || kept.Volume != "second" || w.reclaims("second") != corev1.PersistentVolumeReclaimRetain || w.reclaims("first") != corev1.PersistentVolumeReclaimDelete {
		t.Fatalf("kept %+v, and the volumes are to %s and %s", kept, w.reclaims("first"), w.reclaims("second"))
	}
	w.servicePolicy(v1beta1.ServicePolicySpec{OddMemberRetention: &metav1.Duration{Duration: time.Millisecond}})
	w.eventually("it is not kept any more", func() bool {
		return w.cluster().Status.Replicas.Kept == nil && w.reclaims("second") == corev1.PersistentVolumeReclaimDelete && w.tells("EtcdMemberNotKept", "second")
	})
	w.removeVolume("first")
	w.removeVolume("second")
	w.delete()
	w.checkGone()
}

// removeVolume plays the provisioner, and Kubernetes' protection of volumes in use.
func (w *world) removeVolume(name string) {
	w.t.Helper()
	w.eventually("volume "+name+" is gone", func() bool {
		var volume corev1.PersistentVolume
		err := w.client.Get(context.Background(), client.ObjectKey{Name: name}, &volume)
		if err == nil && volume.DeletionTimestamp.IsZero() {
			err = w.client.Delete(context.Background(), &volume)
		} else if err == nil {
			volume.Finalizers = nil
			err = w.client.Update(context.Background(), &volume)
		}
		return apierrors.IsNotFound(err)
	})
}

// Killed over and over, the controllers keep what is to be kept, and nothing of a cluster that
// is deleted.
func TestCrashWhileAMemberIsKept(t *testing.T) {
	crashAlways(t, func(w *world) {
		keepsOddMember(w)
		w.request(w.deleteOperation("op-delete"))
		w.eventually("nothing is kept of a cluster that is deleted", func() bool { return w.reclaims("first") == corev1.PersistentVolumeReclaimDelete })
		w.removeVolume("first")
		w.lastBackup()
		w.succeed("op-delete")
		w.checkGone()
	}, 3)
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

// A member that holds other data is made anew while the version changes. What was saved
// before may be of it: nothing is changed, and the next attempt succeeds.
func TestOddMemberIsMadeAnewDuringAnUpgrade(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.oldStandard()
	w.fall(sickTrial)
	w.standardVersion("op-upgrade-1", newVersion)
	w.inPhase(v1beta1.UpgradeTrial)
	w.etcd.differ(0)
	w.eventually("etcd-0 is made anew", func() bool { return w.remade(etcd.MoveLeader, etcd.Remove, etcd.Disarm, etcd.AddVoter) })
	op := w.finish("op-upgrade-1")
	if op.Status.Status != v1beta1.OperationFailed || !strings.Contains(op.Status.Error.Message, "a member of etcd was made anew") || !strings.Contains(op.Status.Error.Message, "with everything that was written") {
		t.Errorf("%s: %+v", op.Status.Status, op.Status.Error)
	}
	w.checkVersion(oldVersion, v1beta1.UpgradeFailed)
	w.fall(nil)
	w.standardVersion("op-upgrade-2", newVersion)
	w.succeed("op-upgrade-2")
	w.checkVersion(newVersion, v1beta1.UpgradeSucceeded)
	w.checkWhole()
	w.delete()
	w.checkGone()
}

// Where no version comes up since etcd cannot be read, what was saved before the upgrade does
// not take the place of what the members hold, however long it takes.
func TestUpgradeRestoresNothingWhileEtcdIsCorrupt(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.oldStandard()
	w.upgradeTimeout(5 * time.Minute)
	w.fall(func(pod *corev1.Pod) bool {
		return pod.Labels[controlplane.LabelComponent] == controlplane.ComponentKube && w.etcd.corrupt()
	})
	w.standardVersion("op-upgrade", newVersion)
	w.inPhase(v1beta1.UpgradeRollOut)
	w.etcd.differ(1, 2)
	const timeout = 2 * time.Second
	w.upgradeTimeout(timeout)
	w.inPhase(v1beta1.UpgradeRollBack)
	since := time.Now()
	w.eventually("the old version is late too", func() bool { return time.Since(since) > 3*timeout })
	if up := w.cluster().Status.Upgrade; up.Phase != v1beta1.UpgradeRollBack || len(w.restores()) > 0 {
		t.Fatalf("phase %s, restored %v", up.Phase, w.restores())
	}
	if made := w.etcd.made(); len(made) > 0 {
		t.Errorf("members were changed: %v", made)
	}
	w.eventually("the operator is told", func() bool { return w.tells("EtcdCorrupt", "no two of its 3 members") })
	w.fall(nil) // the old version comes up, for which it has time as long as the alarm is raised
	op := w.finish("op-upgrade")
	w.etcd.disarm()
	if op.Status.Status != v1beta1.OperationFailed || !strings.Contains(op.Status.Error.Message, "with everything that was written") || len(w.restores()) > 0 {
		t.Errorf("%s: %+v, restored %v", op.Status.Status, op.Status.Error, w.restores())
	}
	w.delete()
	w.checkGone()
}

// The member in the place of one that was made anew during an upgrade joins while that goes on,
// also where its volume takes long: it is told of the others as long as it has not come up.
func TestMemberMadeAnewJoinsDuringAnUpgrade(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.oldStandard()
	var before corev1.Pod
	if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(clusterID), Name: controlplane.MemberName(1)}, &before); err != nil {
		t.Fatal(err)
	}
	w.fall(func(pod *corev1.Pod) bool {
		return pod.Labels[controlplane.LabelComponent] == controlplane.ComponentKube || pod.Name == before.Name && pod.UID != before.UID
	})
	w.standardVersion("op-upgrade", newVersion)
	w.inPhase(v1beta1.UpgradeRollOut)
	w.etcd.differ(1)
	w.eventually("etcd-1 is made anew", func() bool { return w.remade(etcd.Remove, etcd.Disarm, etcd.AddVoter) })
	for range 3 {
		w.nextPass()
	}
	var config corev1.ConfigMap
	if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: before.Namespace, Name: controlplane.EtcdConfigMap}, &config); err != nil {
		t.Fatal(err)
	}
	if joins := config.Data["initial-cluster"]; !strings.Contains(joins, controlplane.MemberPeer(1)) || w.cluster().Status.Upgrade.Phase != v1beta1.UpgradeRollOut {
		t.Errorf("in phase %s a member without data starts with %q", w.cluster().Status.Upgrade.Phase, joins)
	}
	w.fall(nil)
	w.succeed("op-upgrade")
	w.checkVersion(newVersion, v1beta1.UpgradeSucceeded)
	w.checkWhole()
	w.delete()
	w.checkGone()
}

// nextPass waits until the trial's pod, which is removed, was made again: that is the end of what is
// done in an upgrade.
func (w *world) nextPass() {
	w.t.Helper()
	key := client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(clusterID), Name: controlplane.TrialPod}
	var trial corev1.Pod
	if err := w.client.Get(w.t.Context(), key, &trial); err != nil {
		w.t.Fatal(err)
	}
	before := trial.UID
	if err := w.client.Delete(w.t.Context(), &trial, client.GracePeriodSeconds(0)); err != nil {
		w.t.Fatal(err)
	}
	w.eventually("the trial is there again", func() bool { return w.client.Get(w.t.Context(), key, &trial) == nil && trial.UID != before })
}
