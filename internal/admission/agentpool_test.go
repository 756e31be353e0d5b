package admission

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/release"
)

// blocking is a cluster with a budget that no drain can satisfy.
type blocking struct{ looks int }

func (b *blocking) Budgets(context.Context, *v1beta1.ManagedCluster, []string) ([]policy.Budget, error) {
	b.looks++
	return []policy.Budget{{Namespace: "default", Name: "web", MaxUnavailable: "0", ExpectedPods: 1, Nodes: []string{"n1"}}}, nil
}

func (*blocking) Uses(context.Context, *v1beta1.ManagedCluster) ([]policy.APIUse, error) {
	return nil, nil
}
func (*blocking) Window(context.Context) (time.Duration, error) { return time.Hour, nil }

// What replaces nodes meets the gates and the rules of rollbacks also where kubectl asks
// for it, and what does not meets none.
func TestPoolsNodesChange(t *testing.T) {
	const older, has, newest = "BerthDebian-12containerd-202601.01.0", "BerthDebian-12containerd-202602.01.0", "BerthDebian-12containerd-202603.01.0"
	now := time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC)
	images := map[string]string{"1.37.2": "37", "1.36.3": "36"}
	catalogue := &release.Catalogue{
		NodeImageVersion: newest, Releases: []release.Release{{Version: "1.37.2"}, {Version: "1.36.3"}},
		NodeImages: []release.NodeImage{{Version: newest, Images: images}, {Version: has, Images: images}, {Version: older, Images: images}},
	}
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		why     string
		image   string // asked for before
		left    string // the image that it left, with the version that it has
		days    int
		change  func(*v1beta1.AgentPool)
		refused string
		looks   int
	}{
		{"an image alone replaces nodes too", "", older, 1, func(p *v1beta1.AgentPool) { p.Spec.NodeImageVersion = newest }, policy.CodeUnsatisfiablePDB, 1},
		{"the image that it had", "", older, 1, func(p *v1beta1.AgentPool) { p.Spec.NodeImageVersion = older }, policy.CodeUnsatisfiablePDB, 1},
		{"the image that it has", "", older, 1, func(p *v1beta1.AgentPool) { p.Spec.NodeImageVersion = has }, "", 0},
		{"the image that it had too long ago", "", older, 8, func(p *v1beta1.AgentPool) { p.Spec.NodeImageVersion = older }, "more than 7 days", 0},
		{"an image that it never had", "", older, 1, func(p *v1beta1.AgentPool) { p.Spec.NodeImageVersion = "BerthDebian-12containerd-202512.01.0" }, "recentlyUsedVersions", 0},
		{"its version by its other name, beside an image asked for long ago", older, older, 8, func(p *v1beta1.AgentPool) { p.Spec.OrchestratorVersion = "1.37" }, "", 0},
		{"a label", "", older, 1, func(p *v1beta1.AgentPool) { p.Spec.NodeLabels = map[string]string{"a": "b"} }, "", 0},
	} {
		cluster := clusterWith("sub-a", "rg1.c1", "aaaaaaaaaaaa")
		cluster.Spec.AutoUpgradeProfile = &v1beta1.AutoUpgradeProfile{UpgradeChannel: policy.ChannelNone, NodeOSUpgradeChannel: policy.NodeOSNone}
		cluster.Spec.NetworkProfile.NetworkPlugin = "none"
		cluster.Status.CurrentKubernetesVersion, cluster.Status.PowerState.Code = "1.37.2", v1beta1.PowerRunning
		pool := &v1beta1.AgentPool{ObjectMeta: metav1.ObjectMeta{Namespace: "sub-a", Name: "rg1.c1.np1"}}
		pool.Spec = v1beta1.AgentPoolSpec{ResourceGroup: "rg1", ClusterName: "c1", AgentPoolProfile: v1beta1.AgentPoolProfile{Name: "np1", Mode: "System", OrchestratorVersion: "1.37.2", NodeImageVersion: c.image}}
		policy.DefaultPool(&pool.Spec.AgentPoolProfile, cluster.Spec.NetworkProfile, true)
		pool.Status = v1beta1.AgentPoolStatus{
			ProvisioningState: v1beta1.StateSucceeded, CurrentOrchestratorVersion: "1.37.2", NodeImageVersion: has,
			RecentlyUsedVersions: []v1beta1.UsedVersion{{OrchestratorVersion: "1.37.2", NodeImageVersion: c.left, Timestamp: metav1.NewTime(now.AddDate(0, 0, -c.days))}},
		}
		old := pool.DeepCopy()
		c.change(pool)
		facts := &blocking{}
		rules := &poolRules{Rules{
			Reader:    fake.NewClientBuilder().WithScheme(scheme).WithObjects(cluster).WithStatusSubresource(cluster).Build(),
			Catalogue: catalogue, Preflight: facts, Now: func() time.Time { return now },
		}}
		_, err := rules.ValidateUpdate(t.Context(), old, pool)
		if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: %v, want %q", c.why, err, c.refused)
		}
		if facts.looks != c.looks {
			t.Errorf("%s: looked %d times, want %d", c.why, facts.looks, c.looks)
		}
	}
}
