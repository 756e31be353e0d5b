package cluster

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

// The data of a member are given up when no node was found for it for a while, and not where
// what is put back would be something else.
func TestWaitingMember(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for why, c := range map[string]struct {
		condition corev1.PodCondition
		want      bool
	}{
		"it has a node":                    {corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, false},
		"nobody has looked yet":            {corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "SchedulingGated"}, false},
		"its node registers again perhaps": {corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.NewTime(now.Add(-time.Minute))}, false},
		"it has none for long":             {corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.NewTime(now.Add(-6 * time.Minute))}, true},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: controlplane.MemberName(1)}, Status: corev1.PodStatus{Conditions: []corev1.PodCondition{c.condition}}}
		if got := waitingMember([]*corev1.Pod{pod}, 1, now) != nil; got != c.want {
			t.Errorf("%s: %t", why, got)
		}
		if waitingMember([]*corev1.Pod{pod}, 0, now) != nil {
			t.Errorf("%s: another member waits", why)
		}
	}
}

func TestNotRecoverable(t *testing.T) {
	point := metav1.NewTime(time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC))
	backedUp := &v1beta1.BackupStatus{RecoveryPoint: &point}
	for why, c := range map[string]struct {
		backup *v1beta1.BackupStatus
		reason string
		may    bool
	}{
		"never backed up":           {nil, "", false},
		"no snapshot is stored yet": {&v1beta1.BackupStatus{}, "Pending", false},
		"backed up":                 {backedUp, "Recorded", true},
		"etcd cannot be read now":   {backedUp, "Late", true},
		"the operator chooses":      {backedUp, policy.ReasonEtcdRolledBack, false},
		"nobody can open them":      {backedUp, policy.ReasonBackupKeyLost, false},
	} {
		status := &v1beta1.ManagedClusterStatus{Backup: c.backup}
		if c.reason != "" {
			status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionBackedUp, Status: metav1.ConditionFalse, Reason: c.reason}}
		}
		if got := notRecoverable(status); (got == "") != c.may {
			t.Errorf("%s: %q", why, got)
		}
	}
}
