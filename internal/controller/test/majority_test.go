package test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
)

// Where no member of three starts any more, the data of all are looked at before any volume
// goes, and the one is kept that is ahead of the others.
func TestLostMajorityKeepsTheMemberThatIsAhead(t *testing.T) {
	w := newWorld(t)
	w.backupCA = []byte("ca")
	w.start(w.nextGuard())
	op := w.createOperation("op-create")
	op.Spec.Desired.Cluster.SKU = &v1beta1.SKU{Name: "Base", Tier: v1beta1.TierStandard}
	w.request(op)
	w.succeed("op-create")
	w.checkReplicas(3)
	w.backedUp()
	before := w.volumes()
	w.mu.Lock()
	w.dataOf[controlplane.MemberClaim(0)] = `{"term":2,"index":90}`
	w.dataOf[controlplane.MemberClaim(1)] = `{"term":0,"index":0,"damage":"the data directory is empty"}`
	w.dataOf[controlplane.MemberClaim(2)] = `{"term":3,"index":88}`
	w.mu.Unlock()
	w.away.Store(true)
	w.fall(func(pod *corev1.Pod) bool {
		recovers := pod.Name == controlplane.RecoverPod && pod.Spec.Containers[0].Args[0] == "recover"
		return recovers || pod.Labels[controlplane.LabelComponent] == controlplane.ComponentEtcd
	})
	w.eventually("the data of all members are known", func() bool {
		now := w.cluster().Status.Recovery
		return now != nil && len(now.Examined) == controlplane.Replicas
	})
	now := w.cluster().Status.Recovery
	if now.Member != 2 || now.Examined[0].Index != 90 || now.Examined[1].Damage == "" || !now.UnderWay() {
		t.Errorf("%+v", now)
	}
	for name, uid := range w.volumes() {
		if before[name] != uid {
			t.Errorf("claim %s was %s and is %s", name, before[name], uid)
		}
	}
	if len(w.volumes()) != controlplane.Replicas {
		t.Errorf("volumes went before the recovery: %v", w.volumes())
	}
	w.eventually("the pod recovers the third", func() bool {
		var pods corev1.PodList
		if err := w.client.List(t.Context(), &pods); err != nil {
			return false
		}
		for _, pod := range pods.Items {
			if pod.Name == controlplane.RecoverPod && pod.Spec.Containers[0].Args[0] == "recover" {
				return pod.Spec.Volumes[len(pod.Spec.Volumes)-1].PersistentVolumeClaim.ClaimName == controlplane.MemberClaim(2)
			}
		}
		return false
	})
	w.delete()
	w.checkGone()
}
