package policy

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

func TestRollsBack(t *testing.T) {
	const older, newer = "BerthDebian-12containerd-202601.01.0", "BerthDebian-12containerd-202602.01.0"
	now := time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC)
	left := func(kubernetes, image string, days int) []v1beta1.UsedVersion {
		return []v1beta1.UsedVersion{{OrchestratorVersion: kubernetes, NodeImageVersion: image, Timestamp: metav1.NewTime(now.AddDate(0, 0, -days))}}
	}
	for _, c := range []struct {
		why               string
		used              []v1beta1.UsedVersion
		kubernetes, image string
		channel           string
		want              bool
	}{
		{"what it had last week", left("1.36.3", older, 7), "1.36.3", older, "", true},
		{"not after the window", left("1.36.3", older, 8), "1.36.3", older, "", false},
		{"all or nothing: the old version with another image", left("1.36.3", older, 1), "1.36.3", newer, "", false},
		{"a version that it never had", left("1.36.3", older, 1), "1.36.2", older, "", false},
		{"an image alone", left("1.37.2", older, 1), "1.37.2", older, "none", true},
		{"a channel would undo it", left("1.36.3", older, 1), "1.36.3", older, "stable", false},
		{"not twice: what it left last is newer by then", append(left("1.37.3", newer, 1), left("1.36.3", older, 2)...), "1.36.3", older, "", false},
		{"a pool that was never upgraded", nil, "1.36.3", older, "", false},
	} {
		got := RollsBack(RollbackInput{
			Kubernetes: c.kubernetes, NodeImage: c.image, Now: now, Window: RollbackWindow(v1beta1.ServicePolicySpec{}),
			Pool:        &v1beta1.AgentPoolStatus{CurrentOrchestratorVersion: "1.37.2", NodeImageVersion: newer, RecentlyUsedVersions: c.used},
			AutoUpgrade: &v1beta1.AutoUpgradeProfile{UpgradeChannel: c.channel},
		})
		if got != c.want {
			t.Errorf("%s: %v", c.why, got)
		}
	}
}
