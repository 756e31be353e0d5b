package policy

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// DefaultBackupProofInterval is ServicePolicy.spec.backupProofInterval when nothing is
// set (X2).
const DefaultBackupProofInterval = 24 * time.Hour

// ProofLimit is how long one proof may take.
const ProofLimit = time.Hour

// proofAgain is how long after a proof with a result the next is due, if the interval is
// not shorter: one that found a difference is confirmed, or refuted, soon. Never is
// before the first, counted from when the control plane came up.
var proofAgain = map[v1beta1.ProofResult]time.Duration{
	never:                time.Hour,
	v1beta1.ProofUnequal: time.Hour,
	v1beta1.ProofFailed:  15 * time.Minute,
}

const never v1beta1.ProofResult = ""

// BackupProofInterval reads ServicePolicy.
func BackupProofInterval(spec v1beta1.ServicePolicySpec) time.Duration {
	return durationOr(spec.BackupProofInterval, DefaultBackupProofInterval)
}

// NextProof is when the next proof of a cluster's backups is due; last is the one that
// ended last, nil if there was none, and since when the control plane came up (X2).
func NextProof(last *v1beta1.BackupProof, since time.Time, interval time.Duration) time.Time {
	result, from := never, since
	if last != nil && last.EndTime != nil {
		result, from = last.Result, last.EndTime.Time
	}
	if wait, sooner := proofAgain[result]; sooner && wait < interval {
		return from.Add(wait)
	}
	return from.Add(interval)
}

// ProvenVerdict is the condition BackupsProven.
type ProvenVerdict struct {
	Status          metav1.ConditionStatus
	Reason, Message string
}

// Proven decides the condition BackupsProven: unknown until backups have been proven
// once and while the last proof could not be made, false when they differ from what etcd
// holds, or were not proven for two intervals (X2).
func Proven(last *v1beta1.BackupProof, since time.Time, interval time.Duration, now time.Time) ProvenVerdict {
	if last == nil {
		last = &v1beta1.BackupProof{}
	}
	from := since
	if last.LastEqual != nil {
		from = last.LastEqual.Time
	}
	late := now.Sub(from) > 2*interval
	switch {
	case last.Result == v1beta1.ProofUnequal:
		return ProvenVerdict{metav1.ConditionFalse, "Unequal", last.Message}
	case late:
		return ProvenVerdict{metav1.ConditionFalse, "Late", last.Message}
	case last.LastEqual == nil:
		return ProvenVerdict{metav1.ConditionUnknown, "Pending", last.Message}
	case last.Result == v1beta1.ProofFailed:
		return ProvenVerdict{metav1.ConditionUnknown, "Failed", last.Message}
	default:
		return ProvenVerdict{metav1.ConditionTrue, "Proven", last.Message}
	}
}
