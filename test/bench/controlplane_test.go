package bench

import (
	"context"
	"path/filepath"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/release"
	"berth.dev/berth/test/harness"
)

// step is an upgrade of a control plane that is measured.
type step struct{ kind, from, to string }

// upgrades are the steps that this build has the versions of: an earlier patch is
// built on demand, by `berth release add`.
func upgrades(e *harness.Env) []step {
	catalogue, err := release.Load(filepath.Join(e.Root, "build", "catalogue.json"))
	if err != nil {
		e.T.Fatal(err)
	}
	steps := []step{{"minor", "1.36.3", "1.37.2"}}
	patch := step{"patch", "1.36.1", "1.36.3"}
	if _, built := catalogue.Release(patch.from); !built {
		e.T.Logf("no patch upgrade is measured: build its version with `berth release add %s`", patch.from)
		return steps
	}
	return append(steps, patch)
}

// measureUpgrade upgrades a control plane while its API server is asked every 20 ms,
// and reports how long each phase took.
func measureUpgrade(e *harness.Env, results *table, name string, s step) {
	e.Run("berth", "cluster", "create", "-g", "bench", "-n", name, "-c", "1", "-k", s.from)
	management := e.ManagementClient()
	key := client.ObjectKey{Namespace: v1beta1.SubscriptionNamespace(e.Variable("AZURE_SUBSCRIPTION_ID")), Name: v1beta1.ObjectName("bench", name)}
	var cluster v1beta1.ManagedCluster
	if err := management.Get(context.Background(), key, &cluster); err != nil {
		e.T.Fatal(err)
	}
	probe := e.StartProbe("127.0.0.1:6443", cluster.Status.FQDN)
	started := time.Now()
	before := cluster.DeepCopy()
	cluster.Spec.KubernetesVersion = s.to
	if err := management.Patch(context.Background(), &cluster, client.MergeFrom(before)); err != nil {
		e.T.Fatal(err)
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	phase, since := v1beta1.UpgradePhase(""), started
	for deadline := started.Add(5 * time.Minute); ; <-ticker.C {
		if err := management.Get(context.Background(), key, &cluster); err != nil {
			continue
		}
		up := cluster.Status.Upgrade
		if up != nil && up.Phase != phase {
			if phase != "" {
				results.add("  of the "+s.kind+": "+string(phase), "s", "", time.Since(since).Seconds())
			}
			phase, since = up.Phase, time.Now()
		}
		if phase == v1beta1.UpgradeFailed || time.Now().After(deadline) {
			e.T.Fatalf("the upgrade of %s did not succeed: %+v", name, up)
		}
		if phase == v1beta1.UpgradeSucceeded && cluster.Status.ProvisioningState == v1beta1.StateSucceeded {
			break
		}
	}
	results.add("control plane "+s.kind+" upgrade", "s", "≤ 20", time.Since(started).Seconds())
	gap, _, _, _ := probe.Stop()
	results.add("API gap of the "+s.kind+" upgrade", "s", "≤ 5", gap.Seconds())
}
