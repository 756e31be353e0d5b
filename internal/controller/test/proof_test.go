package test

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
)

// Backups are proven on a schedule, also by the next life of the controllers; a
// difference is told of until there is none; and no proof holds a stop up (X2).
func TestProofOfBackups(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.createOld()
	w.backedUp()
	w.proves(`{"equal":true,"revision":7,"keys":3}`)
	w.proofInterval(time.Second)
	first := w.proven(v1beta1.ProofEqual, "Proven", "Late")
	if first.Revision != 7 || first.Keys != 3 || first.LastEqual == nil {
		t.Errorf("%+v", first)
	}
	w.proves(`{"equal":false,"revision":9,"keys":3,"differing":{"missing":1,"extra":0,"changed":0}}`)
	different := w.proven(v1beta1.ProofUnequal, "Unequal")
	if different.LastEqual == nil || different.Revision != 9 {
		t.Errorf("%+v", different)
	}
	w.stop()
	w.proves(`{"equal":true,"revision":10,"keys":3}`)
	w.start(w.nextGuard())
	if again := w.proven(v1beta1.ProofEqual, "Proven", "Late"); again.Revision != 10 || !again.LastEqual.After(first.LastEqual.Time) {
		t.Errorf("%+v", again)
	}
	w.fall(func(pod *corev1.Pod) bool { return pod.Name == controlplane.ProvePod })
	if failed := w.proven(v1beta1.ProofFailed, "Failed", "Late"); failed.LastEqual == nil || failed.Message == "" {
		t.Errorf("%+v", failed)
	}
	w.fall(nil)
	w.request(w.powerOperation("op-stop", v1beta1.PowerStopped, v1beta1.StateStopping))
	w.succeed("op-stop")
	if w.cluster().Status.Proof.UnderWay() {
		t.Error("a proof of a stopped cluster is under way")
	}
	w.eventuallyGone(&corev1.Pod{}, client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(clusterID), Name: controlplane.ProvePod})
	w.delete()
	w.checkGone()
}

// backedUp plays the backup controller, and the Service that gives backups back.
func (w *world) backedUp() {
	w.t.Helper()
	w.ensure(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.SystemNamespace}})
	w.ensure(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.SystemNamespace, Name: controlplane.BackupService},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 8445}}},
	})
	w.eventually("the status says that there are backups", func() bool {
		c := w.cluster()
		c.Status.Backup = &v1beta1.BackupStatus{Revision: 1, RecoveryPoint: &metav1.Time{Time: time.Now()}}
		meta.SetStatusCondition(&c.Status.Conditions, metav1.Condition{Type: v1beta1.ConditionBackedUp, Status: metav1.ConditionTrue, Reason: "Recorded"})
		return w.client.Status().Update(w.t.Context(), c) == nil
	})
}

// proves is what proofs find from now on.
func (w *world) proves(report string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report = report
}

func (w *world) proofInterval(interval time.Duration) {
	w.t.Helper()
	w.servicePolicy(v1beta1.ServicePolicySpec{BackupProofInterval: &metav1.Duration{Duration: interval}})
}

// proven waits for a proof with a result, and a reason of the condition that follows from it: with
// an interval of a second, every result is late soon.
func (w *world) proven(result v1beta1.ProofResult, reasons ...string) *v1beta1.BackupProof {
	w.t.Helper()
	var proof *v1beta1.BackupProof
	w.eventually("a proof is "+string(result), func() bool {
		now := w.cluster().Status
		proof = now.Proof
		condition := meta.FindStatusCondition(now.Conditions, v1beta1.ConditionBackupsProven)
		return proof != nil && !proof.UnderWay() && proof.Result == result && condition != nil && slices.Contains(reasons, condition.Reason)
	})
	return proof
}
