package policy

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

var proofNow = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) *metav1.Time {
	at := metav1.NewTime(proofNow.Add(-d))
	return &at
}

// Backups are proven every day by default, and sooner where they were not (X2).
func TestNextProof(t *testing.T) {
	day := BackupProofInterval(v1beta1.ServicePolicySpec{})
	if day != 24*time.Hour {
		t.Errorf("the default is %s", day)
	}
	since := proofNow.Add(-72 * time.Hour)
	for why, c := range map[string]struct {
		last     *v1beta1.BackupProof
		interval time.Duration
		want     time.Time
	}{
		"the first":                    {nil, day, since.Add(time.Hour)},
		"the first, with a short time": {nil, time.Minute, since.Add(time.Minute)},
		"after one":                    {&v1beta1.BackupProof{EndTime: ago(time.Hour), Result: v1beta1.ProofEqual}, day, proofNow.Add(23 * time.Hour)},
		"after a difference":           {&v1beta1.BackupProof{EndTime: ago(0), Result: v1beta1.ProofUnequal}, day, proofNow.Add(time.Hour)},
		"after one that failed":        {&v1beta1.BackupProof{EndTime: ago(0), Result: v1beta1.ProofFailed}, day, proofNow.Add(15 * time.Minute)},
		"failed, with a short time":    {&v1beta1.BackupProof{EndTime: ago(0), Result: v1beta1.ProofFailed}, time.Minute, proofNow.Add(time.Minute)},
	} {
		if got := NextProof(c.last, since, c.interval); !got.Equal(c.want) {
			t.Errorf("%s: due at %s, want %s", why, got, c.want)
		}
	}
}

func TestProven(t *testing.T) {
	day := DefaultBackupProofInterval
	for why, c := range map[string]struct {
		last   *v1beta1.BackupProof
		since  time.Duration
		status metav1.ConditionStatus
		reason string
	}{
		"new":                            {nil, time.Hour, metav1.ConditionUnknown, "Pending"},
		"the first is under way":         {&v1beta1.BackupProof{StartTime: *ago(time.Minute)}, time.Hour, metav1.ConditionUnknown, "Pending"},
		"never, for too long":            {nil, 49 * time.Hour, metav1.ConditionFalse, "Late"},
		"proven":                         {&v1beta1.BackupProof{Result: v1beta1.ProofEqual, LastEqual: ago(time.Hour)}, 90 * time.Hour, metav1.ConditionTrue, "Proven"},
		"the next failed":                {&v1beta1.BackupProof{Result: v1beta1.ProofFailed, LastEqual: ago(30 * time.Hour)}, 90 * time.Hour, metav1.ConditionUnknown, "Failed"},
		"the next ones failed":           {&v1beta1.BackupProof{Result: v1beta1.ProofFailed, LastEqual: ago(49 * time.Hour)}, 90 * time.Hour, metav1.ConditionFalse, "Late"},
		"only failures":                  {&v1beta1.BackupProof{Result: v1beta1.ProofFailed}, time.Hour, metav1.ConditionUnknown, "Pending"},
		"different":                      {&v1beta1.BackupProof{Result: v1beta1.ProofUnequal, LastEqual: ago(time.Hour)}, 90 * time.Hour, metav1.ConditionFalse, "Unequal"},
		"different from the beginning":   {&v1beta1.BackupProof{Result: v1beta1.ProofUnequal}, time.Hour, metav1.ConditionFalse, "Unequal"},
		"different, looked at once more": {&v1beta1.BackupProof{Result: v1beta1.ProofUnequal, StartTime: *ago(0), LastEqual: ago(time.Hour)}, 90 * time.Hour, metav1.ConditionFalse, "Unequal"},
	} {
		got := Proven(c.last, proofNow.Add(-c.since), day, proofNow)
		if got.Status != c.status || got.Reason != c.reason {
			t.Errorf("%s: %+v, want %s %s", why, got, c.status, c.reason)
		}
	}
}
