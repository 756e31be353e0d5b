package cluster

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

// A member that was odd before and went on, as the others agreed with it again, is kept for
// the whole time when it is made anew; what is known of another member is not of it.
func TestKeptFromWhenItIsMadeAnew(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for why, c := range map[string]struct {
		kept v1beta1.KeptMember
		is   bool
	}{
		"odd six days ago":                   {v1beta1.KeptMember{Name: "etcd-1", ID: "b", Volume: "v", Time: metav1.NewTime(now.Add(-6 * 24 * time.Hour))}, true},
		"odd just now":                       {v1beta1.KeptMember{Name: "etcd-1", ID: "b", Volume: "v", Time: metav1.NewTime(now)}, true},
		"the volume was another member's":    {v1beta1.KeptMember{Name: "etcd-1", ID: "c", Volume: "v", Time: metav1.NewTime(now.Add(-6 * 24 * time.Hour))}, false},
		"what is kept is on another volume ": {v1beta1.KeptMember{Name: "etcd-1", ID: "b", Volume: "w", Time: metav1.NewTime(now.Add(-6 * 24 * time.Hour))}, false},
	} {
		cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "s", Name: "c", UID: "1"}, Spec: v1beta1.ManagedClusterSpec{ID: "a"}}
		cluster.Status.Replicas = &v1beta1.ControlPlaneReplicas{Phase: v1beta1.ReplicasThree, Members: 3, Kept: &c.kept}
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespaceOf(cluster), Name: controlplane.MemberClaim(1), UID: "claim"}, Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "v"}}
		volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "v", Annotations: map[string]string{v1beta1.AnnotationKeptFrom: "Delete"}}, Spec: corev1.PersistentVolumeSpec{PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain}}
		r := reconcilerOf(t, now, cluster, claim, volume)
		p := &pass{cluster: cluster.DeepCopy(), now: now}
		w := policy.EtcdWorld{Odd: 11, Members: []policy.EtcdMember{{ID: 11, Ordinal: 1, Started: true, Healthy: true}}}
		is, err := r.isKept(t.Context(), p, w)
		if err != nil || is != c.is {
			t.Errorf("%s: it is kept: %t (%v)", why, is, err)
		}
		if !is {
			if err := r.keepMember(t.Context(), p, w.Members[0]); err != nil {
				t.Fatal(err)
			}
			if is, err := r.isKept(t.Context(), p, w); !is || err != nil {
				t.Errorf("%s: it is not kept then (%v)", why, err)
			}
		}
		if err := r.markMember(t.Context(), p, w, w.Members[0]); err != nil {
			t.Fatal(err)
		}
		var stored v1beta1.ManagedCluster
		if err := r.reader.Get(t.Context(), client.ObjectKeyFromObject(cluster), &stored); err != nil {
			t.Fatal(err)
		}
		replicas := stored.Status.Replicas
		if replicas.Replacing == nil || !replicas.Kept.Time.Time.Equal(now) || replicas.Kept.ID != "b" || replicas.Kept.Volume != "v" {
			t.Errorf("%s: %+v, kept %+v", why, replicas, replicas.Kept)
		}
		if said, err := r.keptWhere(t.Context(), replicas.Kept, w.Members[0]); err != nil || !strings.Contains(said, now.Add(defaultOddMemberRetention).Format(time.RFC3339)) {
			t.Errorf("%s: %q (%v)", why, said, err)
		}
	}
}
