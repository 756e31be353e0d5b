package cluster

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
)

func TestWantedRelease(t *testing.T) {
	catalogue := &release.Catalogue{Releases: []release.Release{
		{Version: "1.37.2", State: release.Supported, Default: true},
		{Version: "1.36.3", State: release.Supported},
		{Version: "1.36.4", State: release.Supported},
	}}
	for _, c := range []struct{ why, asked, current, want string }{
		{"nothing asked for is the default", "", "", "1.37.2"},
		{"a minor is its newest patch", "1.36", "", "1.36.4"},
		{"a patch is itself", "1.36.3", "", "1.36.3"},
		{"the same minor again does not upgrade", "1.36", "1.36.3", "1.36.3"},
		{"nothing asked for again does not upgrade", "", "1.36.3", "1.36.3"},
		{"a patch asked for does", "1.36.4", "1.36.3", "1.36.4"},
		{"another minor does", "1.37", "1.36.3", "1.37.2"},
		{"a version that runs and left the catalogue is resolved anew", "1.36", "1.36.1", "1.36.4"},
		{"what nobody knows is refused", "1.99", "1.36.3", ""},
	} {
		got, ok := wantedRelease(catalogue, c.asked, c.current)
		if got.Version != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q with %q running gives %q, want %q", c.why, c.asked, c.current, got.Version, c.want)
		}
	}
}

// A cluster on a version that this Berth was not built with asks for nothing that its owner could
// change: the operator does.
func TestNotThere(t *testing.T) {
	for _, c := range []struct{ why, asked, current, want string }{
		{"the minor that runs", "1.35", "1.35.4", "berth release add 1.35.4"},
		{"the version that runs", "1.35.4", "1.35.4", "berth release add 1.35.4"},
		{"another one", "1.99", "1.35.4", "ask for one that is"},
		{"of a cluster that runs nothing yet", "1.35.4", "", "ask for one that is"},
	} {
		if got := notThere(c.asked, c.current); got.Code != "K8sVersionNotSupported" || !strings.Contains(got.Message, c.want) {
			t.Errorf("%s: %+v, want %q", c.why, got, c.want)
		}
	}
}

// An abort stops what has not begun, and lets go on or back what has.
func TestHalted(t *testing.T) {
	step := func(operation string, phase v1beta1.UpgradePhase) *v1beta1.ControlPlaneUpgrade {
		return &v1beta1.ControlPlaneUpgrade{Operation: operation, Phase: phase}
	}
	for _, c := range []struct {
		why     string
		aborted string
		upgrade *v1beta1.ControlPlaneUpgrade
		want    bool
	}{
		{"nothing was aborted", "", nil, false},
		{"another operation was", "before", nil, false},
		{"no upgrade has ever begun", "op", nil, true},
		{"the last one was another operation's", "op", step("before", v1beta1.UpgradeSucceeded), true},
		{"that of another operation failed", "op", step("before", v1beta1.UpgradeFailed), true},
		{"that of another operation is under way", "op", step("before", v1beta1.UpgradeTrial), false},
		{"its own is under way", "op", step("op", v1beta1.UpgradeTrial), false},
		{"its own has done a step of several", "op", step("op", v1beta1.UpgradeSucceeded), true},
		{"its own failed", "op", step("op", v1beta1.UpgradeFailed), false},
	} {
		cluster := &v1beta1.ManagedCluster{}
		cluster.Annotations = map[string]string{v1beta1.AnnotationOperation: "op", v1beta1.AnnotationAbort: c.aborted}
		cluster.Status.Upgrade = c.upgrade
		if got := halted(cluster); got != c.want {
			t.Errorf("%s: %v", c.why, got)
		}
	}
}

// A cluster that asks for what a newer build of Berth may know is left to that for a while;
// it does not fail.
func TestClusterOfNewerBerth(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	r := &reconciler{Config: Config{Catalogue: &release.Catalogue{Releases: []release.Release{{Version: "1.36.3"}}}}}
	for _, c := range []struct {
		asked string
		ago   time.Duration
		want  bool
	}{{"1.36.3", 0, false}, {"1.36.9", time.Second, true}, {"1.36.9", time.Hour, false}} {
		cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(now.Add(-c.ago))}}
		cluster.Spec.KubernetesVersion = c.asked
		if got := r.ofNewer(&pass{cluster: cluster, now: now}); got != c.want {
			t.Errorf("%s, %s ago: %t", c.asked, c.ago, got)
		}
	}
}
