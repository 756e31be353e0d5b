package cluster

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
)

// Only an etcd that ends by itself at start after start has lost its data.
func TestDeadEtcd(t *testing.T) {
	ended := func(code int32, reason string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, StartedAt: metav1.Unix(199, 0), FinishedAt: metav1.Unix(200, 0)}}
	}
	before := ended(controlplane.EtcdExitNoData, "Error")
	before.Terminated.FinishedAt = metav1.Unix(99, 0)
	for why, c := range map[string]struct {
		component string
		status    corev1.ContainerStatus
		dead      bool
	}{
		"panics at every start":    {"etcd", corev1.ContainerStatus{RestartCount: 2, LastTerminationState: ended(2, "Error")}, true},
		"waits for its next start": {"etcd", corev1.ContainerStatus{RestartCount: 3, State: ended(1, "Error")}, true},
		"ends at its first start":  {"etcd", corev1.ContainerStatus{State: ended(1, "Error")}, true},
		"ran for long and is to be started again": {"etcd", corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 2, StartedAt: metav1.Unix(0, 0), FinishedAt: metav1.Unix(60, 0),
		}}}, false},
		"runs again":               {"etcd", corev1.ContainerStatus{RestartCount: 5, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, LastTerminationState: ended(1, "Error")}, false},
		"out of memory":            {"etcd", corev1.ContainerStatus{RestartCount: 5, LastTerminationState: ended(137, "OOMKilled")}, false},
		"killed from outside":      {"etcd", corev1.ContainerStatus{RestartCount: 5, LastTerminationState: ended(137, "Error")}, false},
		"ended as it was asked to": {"etcd", corev1.ContainerStatus{RestartCount: 5, LastTerminationState: ended(0, "Completed")}, false},
		"never ended":              {"etcd", corev1.ContainerStatus{}, false},
		"found no data, and waits": {"etcd", corev1.ContainerStatus{RestartCount: 1, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, LastTerminationState: ended(controlplane.EtcdExitNoData, "Error")}, true},
		"has just found no data":   {"etcd", corev1.ContainerStatus{State: ended(controlplane.EtcdExitNoData, "Error")}, true},
		"found none, and was given some": {"etcd", corev1.ContainerStatus{
			RestartCount: 1, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, Started: new(true), LastTerminationState: ended(controlplane.EtcdExitNoData, "Error"),
		}, false},
		"found none before they were put back, and reads them": {"etcd", corev1.ContainerStatus{
			RestartCount: 1, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, Started: new(false), LastTerminationState: before,
		}, false},
		"an API server is no etcd": {"kube", corev1.ContainerStatus{RestartCount: 9, LastTerminationState: ended(1, "Error")}, false},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{controlplane.LabelComponent: c.component}}}
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{c.status}
		if got := deadEtcd([]*corev1.Pod{pod}, &v1beta1.ControlPlaneRecovery{Restored: true, EndTime: new(metav1.Unix(100, 0))}); (got != "") != c.dead {
			t.Errorf("%s: %q", why, got)
		}
	}
}

// A loss after one that was made good is another; a recovery that did not help is not
// repeated at once.
func TestHelped(t *testing.T) {
	at := func(second int64) *metav1.Time { t := metav1.Unix(second, 0); return &t }
	for why, c := range map[string]struct {
		last  v1beta1.ControlPlaneRecovery
		ready *metav1.Time
		want  bool
	}{
		"restored, and up since":      {v1beta1.ControlPlaneRecovery{EndTime: at(10), Restored: true}, at(12), true},
		"within the same second":      {v1beta1.ControlPlaneRecovery{EndTime: at(10), Restored: true}, at(10), true},
		"restored, and not up since":  {v1beta1.ControlPlaneRecovery{EndTime: at(10), Restored: true}, nil, false},
		"up before alone":             {v1beta1.ControlPlaneRecovery{EndTime: at(10), Restored: true}, at(9), false},
		"nothing was lost, up or not": {v1beta1.ControlPlaneRecovery{EndTime: at(10)}, at(12), false},
	} {
		if got := helped(&c.last, c.ready); got != c.want {
			t.Errorf("%s: %v", why, got)
		}
	}
}

// What was lost is said: the time after which, and how many revisions at least.
func TestRecoveryMessage(t *testing.T) {
	at := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	said := recoveryReport{Restored: true, Reason: "the data directory is empty", Revision: 90, Time: &at, Keys: 12, Damaged: []string{"x"}}.message(100)
	for _, want := range []string{"the data directory is empty", "revision 90", "12 keys", "2026-11-26T08:00:00Z", "at least 10 revisions", "1 damaged"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q does not say %q", said, want)
		}
	}
	// Deltas that were damaged reached further than the newest full backup.
	if said := (recoveryReport{Restored: true, Revision: 1000, Recorded: 1500, Damaged: []string{"x"}}).message(1000); !strings.Contains(said, "at least 500 revisions") {
		t.Errorf("damaged deltas: %q", said)
	}
	if said := (recoveryReport{Revision: 90}).message(80); !strings.Contains(said, "nothing was lost") {
		t.Errorf("nothing lost: %q", said)
	}
	if said := (recoveryReport{Revision: 90, Kept: "the store is away"}).message(80); strings.Contains(said, "nothing was lost") || !strings.Contains(said, "goes on with them: the store is away") {
		t.Errorf("nobody knows what is lost: %q", said)
	}
	if said := (recoveryReport{Revision: 90, Recorded: 95, Damaged: []string{"x"}}).message(80); strings.Contains(said, "nothing was lost") || !strings.Contains(said, "1 are damaged") {
		t.Errorf("damaged backups of which nothing was put back: %q", said)
	}
}

// An etcd of an archived cluster has run only on data that were put back since.
func TestRecoveredSince(t *testing.T) {
	at := func(second int64) *metav1.Time { t := metav1.Unix(second, 0); return &t }
	for why, c := range map[string]struct {
		recovery *v1beta1.ControlPlaneRecovery
		want     bool
	}{
		"none":                   {nil, false},
		"one that goes on":       {&v1beta1.ControlPlaneRecovery{Restored: true}, false},
		"one before the archive": {&v1beta1.ControlPlaneRecovery{Restored: true, EndTime: at(9)}, false},
		"one that was given up":  {&v1beta1.ControlPlaneRecovery{EndTime: at(11)}, false},
		"one since":              {&v1beta1.ControlPlaneRecovery{Restored: true, EndTime: at(11)}, true},
		"one in the same second": {&v1beta1.ControlPlaneRecovery{Restored: true, EndTime: at(10)}, true},
	} {
		if got := recoveredSince(c.recovery, *at(10)); got != c.want {
			t.Errorf("%s: %v", why, got)
		}
	}
}
