package cluster

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"berth.dev/berth/api/v1beta1"
)

// Backups that are damaged, or end before etcd did, are not equal to it; and a volume goes
// on nothing less than a proof that says how far etcd was (X2, J5).
func TestWhatAProofSays(t *testing.T) {
	for _, c := range []struct {
		why, said   string
		want, final v1beta1.ProofResult
	}{
		{"whole", `{"equal":true,"live":9,"revision":9}`, v1beta1.ProofEqual, v1beta1.ProofEqual},
		{"written meanwhile", `{"equal":true,"live":9,"revision":12}`, v1beta1.ProofEqual, v1beta1.ProofEqual},
		{"too short", `{"equal":true,"live":9,"revision":8}`, v1beta1.ProofUnequal, v1beta1.ProofUnequal},
		{"damaged", `{"equal":true,"live":9,"revision":9,"damaged":["full-9"]}`, v1beta1.ProofUnequal, v1beta1.ProofUnequal},
		{"another content", `{"equal":false,"live":9,"revision":9,"differing":{"missing":1}}`, v1beta1.ProofUnequal, v1beta1.ProofUnequal},
		{"no word of how far etcd was", `{"equal":true,"revision":9}`, v1beta1.ProofEqual, v1beta1.ProofFailed},
		{"nothing", ``, v1beta1.ProofFailed, v1beta1.ProofFailed},
	} {
		pod := &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: c.said}},
		}}}}
		if got := proofOf(&v1beta1.BackupProof{}, pod); got.Result != c.want || got.Result != v1beta1.ProofFailed && got.Message == "" {
			t.Errorf("%s: %+v", c.why, got)
		}
		if got := finalProofOf(pod).Result; got != c.final {
			t.Errorf("%s: a volume goes on %s, want %s", c.why, got, c.final)
		}
	}
}
