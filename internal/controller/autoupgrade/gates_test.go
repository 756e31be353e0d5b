package autoupgrade

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// facts is what a cluster answers.
type facts struct {
	budgets map[string]string // a pool's budget that allows no eviction
	api     string            // the minor that does not have an API that is written to
	err     error
}

func (f *facts) Budgets(_ context.Context, _ *v1beta1.ManagedCluster, pools []string) ([]policy.Budget, error) {
	var found []policy.Budget
	for _, pool := range pools {
		if name := f.budgets[pool]; name != "" {
			found = append(found, policy.Budget{Namespace: "default", Name: name, MaxUnavailable: "0", ExpectedPods: 1, Nodes: []string{"n1"}})
		}
	}
	return found, f.err
}

func (f *facts) Uses(context.Context, *v1beta1.ManagedCluster) ([]policy.APIUse, error) {
	if f.api == "" {
		return nil, f.err
	}
	return []policy.APIUse{{Version: "v1beta1", Resource: "things", RemovedRelease: f.api, LastWritten: monday}}, f.err
}

func (*facts) Window(context.Context) (time.Duration, error) { return 12 * time.Hour, nil }

// A channel passes the gates that a PUT passes, before anything is touched (E6).
func TestRunsPassTheGates(t *testing.T) {
	const versions, images = v1beta1.MaintenanceAutoUpgrade, v1beta1.MaintenanceNodeOS
	in := monday.Add(time.Hour)
	rapid := func(o *observation) {
		o.cluster.Spec.AutoUpgradeProfile.UpgradeChannel = policy.ChannelRapid
		o.cluster.Spec.AutoUpgradeProfile.NodeOSUpgradeChannel = policy.NodeOSNone
	}
	imagesOnly := func(o *observation) { o.cluster.Spec.AutoUpgradeProfile.UpgradeChannel = "none" }
	until := metav1.NewTime(in.Add(time.Hour))
	for _, c := range []struct {
		why             string
		schedule        string
		change          func(*observation)
		facts           facts
		begins          string
		result, skipped string
	}{
		{"nothing is in the way", versions, rapid, facts{}, "the cluster", resultRunning, ""},
		{"an API that the next minor does not have is written to", versions, rapid, facts{api: "1.37"}, "", "", "~is open, but ValidationError (UpgradeBlockedOnDeprecatedAPIUsage): "},
		{"a later minor does not have it", versions, rapid, facts{api: "1.38"}, "the cluster", resultRunning, ""},
		{"a budget holds a pool's nodes", versions, rapid, facts{budgets: map[string]string{"b": "web"}}, "", "", "~UnsatisfiablePDB: PDB default/web has maxUnavailable == 0"},
		{"which the override lets pass", versions, func(o *observation) {
			rapid(o)
			o.cluster.Spec.UpgradeSettings = &v1beta1.ClusterUpgradeSettings{OverrideSettings: &v1beta1.UpgradeOverrideSettings{ForceUpgrade: true, Until: &until}}
		}, facts{api: "1.37", budgets: map[string]string{"b": "web"}}, "the cluster", resultRunning, ""},
		{"the cluster does not answer", versions, rapid, facts{err: errors.New("connection refused")}, "", "", "~KubernetesAPICallFailed: "},
		{"node images go on with the next pool", images, imagesOnly, facts{budgets: map[string]string{"a": "web"}}, "node pool b", resultRunning, ""},
		{"unless all are held", images, imagesOnly, facts{budgets: map[string]string{"a": "web", "b": "db"}}, "", "", "~UnsatisfiablePDB: PDB default/web"},
		{"a run that comes to a pool that is held ends", images, func(o *observation) {
			imagesOnly(o)
			operations(o, running(o, images, newImage, monday), v1beta1.OperationSucceeded, "p-a")
		}, facts{budgets: map[string]string{"b": "db"}}, "", "~Incomplete: node pool b may not be upgraded: UnsatisfiablePDB: PDB default/db", ""},
		{"a run whose target is none any more is not told as held", images, func(o *observation) {
			imagesOnly(o)
			operations(o, running(o, images, oldImage, monday), v1beta1.OperationSucceeded, "p-a")
		}, facts{budgets: map[string]string{"b": "db"}}, "", "Superseded by " + newImage, ""},
	} {
		t.Run(c.why, func(t *testing.T) {
			o := scene(in, c.change)
			o.held = map[string]string{}
			r := &reconciler{Config: Config{Preflight: &c.facts}}
			next, begin, _, err := r.decideGated(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			begins := ""
			if begin != nil {
				begins = begin.part.name
			}
			for _, status := range next {
				if status.Schedule != c.schedule {
					continue
				}
				if begins != c.begins || !same(status.LastResult, c.result) || !same(status.Skipped, c.skipped) {
					t.Errorf("begins %q, status %+v", begins, status)
				}
				return
			}
			t.Errorf("nothing is told: %+v", next)
		})
	}
}

// What the gates said holds for a while, and not for a cluster that was changed.
func TestGatesAreNotAskedAllTheTime(t *testing.T) {
	o := scene(monday, nil)
	o.held = map[string]string{"c-1": "UnsatisfiablePDB: x"}
	var kept refusals
	kept.keep(o)
	if got := kept.of(o.cluster, monday.Add(askAgain-time.Second)); got["c-1"] == "" {
		t.Error("asked again at once")
	}
	forced := o.cluster.DeepCopy()
	forced.Generation++
	if got := kept.of(forced, monday); len(got) != 0 {
		t.Errorf("a changed cluster is held by %v", got)
	}
	kept.keep(o)
	if got := kept.of(o.cluster, monday.Add(askAgain)); len(got) != 0 {
		t.Errorf("never asked again: %v", got)
	}
}
