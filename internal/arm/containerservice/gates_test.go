package containerservice

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy"
)

// found is what a cluster answers.
type found struct {
	pools []string
	err   error
}

func (f *found) Budgets(_ context.Context, _ *v1beta1.ManagedCluster, pools []string) ([]policy.Budget, error) {
	f.pools = pools
	return []policy.Budget{{Namespace: "default", Name: "web", MaxUnavailable: "0", ExpectedPods: 1, Nodes: []string{"n1"}}}, f.err
}

func (f *found) Uses(context.Context, *v1beta1.ManagedCluster) ([]policy.APIUse, error) {
	return []policy.APIUse{{Version: "v1beta1", Resource: "things", RemovedRelease: "1.37", LastWritten: time.Now()}}, f.err
}

func (*found) Window(context.Context) (time.Duration, error) { return time.Hour, nil }

// A new node image replaces nodes as a new version does.
func TestRefuseBlockedNodes(t *testing.T) {
	facts := &found{}
	p := provider{&arm.Server{Config: arm.Config{Preflight: facts, Now: time.Now}}}
	var refusal *arm.Error
	if err := p.refuseBlockedNodes(context.Background(), &v1beta1.ManagedCluster{}, "np1"); !errors.As(err, &refusal) || refusal.Code != policy.CodeUnsatisfiablePDB {
		t.Errorf("got %v, want %s", err, policy.CodeUnsatisfiablePDB)
	}
	if len(facts.pools) != 1 || facts.pools[0] != "np1" {
		t.Errorf("looked at %v", facts.pools)
	}
}

func TestRefuseBlocked(t *testing.T) {
	pool := policy.PoolVersion{Name: "np1", Running: "1.36.3", Asked: "1.36.3", Wanted: "1.36.3"}
	moved := pool
	moved.Wanted = "1.37.2"
	until := metav1.NewTime(time.Now().Add(time.Hour))
	force := &v1beta1.ClusterUpgradeSettings{OverrideSettings: &v1beta1.UpgradeOverrideSettings{ForceUpgrade: true, Until: &until}}
	for _, c := range []struct {
		why    string
		target string
		pool   policy.PoolVersion
		force  *v1beta1.ClusterUpgradeSettings
		err    error
		code   string
		pools  int
	}{
		{"nothing is upgraded", "1.36.3", pool, nil, nil, "", 0},
		{"the control plane's gate", "1.37.2", pool, nil, nil, policy.CodeValidationError, 0},
		{"the pool's", "1.36.3", moved, nil, nil, policy.CodeUnsatisfiablePDB, 1},
		{"forced", "1.37.2", moved, force, nil, "", 0},
		{"a cluster that does not answer", "1.37.2", moved, nil, errors.New("connection refused"), "KubernetesAPICallFailed", 1},
	} {
		facts := &found{err: c.err}
		p := provider{&arm.Server{Config: arm.Config{Preflight: facts}}}
		change := versionChange{Versions: policy.Versions{Now: time.Now()}, running: "1.36.3", target: c.target, pools: []policy.PoolVersion{c.pool}}
		err := p.refuseBlocked(context.Background(), &v1beta1.ManagedCluster{}, &v1beta1.ManagedClusterSpec{UpgradeSettings: c.force}, change)
		var refusal *arm.Error
		if c.code == "" && err != nil || c.code != "" && (!errors.As(err, &refusal) || refusal.Code != c.code) {
			t.Errorf("%s: %v, want %q", c.why, err, c.code)
		}
		if len(facts.pools) != c.pools {
			t.Errorf("%s: looked at pools %v, want %d: budgets of pools that stay do not matter", c.why, facts.pools, c.pools)
		}
	}
}
