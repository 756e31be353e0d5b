package bench

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/test/harness"
)

// The versions that the upgrade of a control plane is measured between.
const upgradeFrom, upgradeTo = "1.36.3", "1.37.2"

// measureUpgrade upgrades a control plane by a minor while its API server is asked
// every 20 ms, and reports how long each phase took.
func measureUpgrade(e *harness.Env, results *table, name string) {
	e.Run("berth", "cluster", "create", "-g", "bench", "-n", name, "-c", "1", "-k", upgradeFrom)
	management := e.ManagementClient()
	key := client.ObjectKey{Namespace: v1beta1.SubscriptionNamespace(e.Variable("AZURE_SUBSCRIPTION_ID")), Name: v1beta1.ObjectName("bench", name)}
	var cluster v1beta1.ManagedCluster
	if err := management.Get(context.Background(), key, &cluster); err != nil {
		e.T.Fatal(err)
	}
	probe := e.StartProbe("127.0.0.1:6443", cluster.Status.FQDN)
	started := time.Now()
	before := cluster.DeepCopy()
	cluster.Spec.KubernetesVersion = upgradeTo
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
				results.add("  of which "+string(phase), "s", "", time.Since(since).Seconds())
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
	results.add("control plane minor upgrade", "s", "≤ 20", time.Since(started).Seconds())
	gap, _, _, _ := probe.Stop()
	results.add("API gap of it", "s", "≤ 5", gap.Seconds())
}
