package bench

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/test/harness"
)

// measureNodeUpgrade upgrades pools of one node from 1.36 to 1.37 and tells, from
// the machine's own phases, how long its node is away.
func measureNodeUpgrade(e *harness.Env, results *table) {
	e.Run("berth", "cluster", "create", "-g", "bench", "-n", "up", "-k", "1.37.2", "-c", "1")
	for i := range count() {
		pool := fmt.Sprintf("u%d", i)
		e.Run("berth", "nodepool", "add", "-g", "bench", "--cluster-name", "up", "-n", pool, "-c", "1", "--mode", "User", "-k", "1.36.3")
		measureReimage(e, results, pool)
		e.Run("berth", "nodepool", "delete", "-g", "bench", "--cluster-name", "up", "-n", pool)
	}
	e.Run("berth", "cluster", "delete", "-g", "bench", "-n", "up", "-y")
}

func measureReimage(e *harness.Env, results *table, pool string) {
	management := e.ManagementClient()
	namespace := client.InNamespace(v1beta1.SubscriptionNamespace(e.Variable("AZURE_SUBSCRIPTION_ID")))
	key := client.ObjectKey{Namespace: string(namespace), Name: v1beta1.ObjectName("bench", "up", pool)}
	var before v1beta1.AgentPool
	if err := management.Get(context.Background(), key, &before); err != nil {
		e.T.Fatal(err)
	}
	before.Spec.OrchestratorVersion = "1.37.2"
	started, drained, away := time.Now(), time.Time{}, true
	if err := management.Update(context.Background(), &before); err != nil {
		e.T.Fatal(err)
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := started.Add(5 * time.Minute); time.Now().Before(deadline); <-ticker.C {
		var now v1beta1.AgentPool
		var machines v1beta1.MachineList
		if management.Get(context.Background(), key, &now) != nil ||
			management.List(context.Background(), &machines, namespace, client.MatchingLabels{v1beta1.LabelAgentPool: key.Name}) != nil {
			continue
		}
		for _, m := range machines.Items {
			switch phase := m.Status.Phase; {
			case m.Spec.Surge, !away:
			case drained.IsZero() && phase != v1beta1.MachineReady:
				drained = time.Now()
			case !drained.IsZero() && phase == v1beta1.MachineReady && m.Status.KubernetesVersion == "1.37.2":
				results.add("node upgrade: drain to Ready", "s", "", time.Since(drained).Seconds())
				away = false
			}
		}
		if now.Status.CurrentOrchestratorVersion == "1.37.2" && now.Status.ProvisioningState == v1beta1.StateSucceeded {
			results.add("pool upgrade of one node, with its surge", "s", "", time.Since(started).Seconds())
			return
		}
	}
	e.T.Fatalf("pool %s was not upgraded", pool)
}
