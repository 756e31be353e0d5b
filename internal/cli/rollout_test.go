package cli

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm/armtest"
)

// An engineer sees how far a rollout has come and what holds it up, stops it and lets it go
// on (H1); a customer does not. "% as engineer" and "% as customer" say who goes on, "% heard"
// plays the controller.
func TestRolloutsAreShown(t *testing.T) {
	world := armtest.New(t)
	commands := runner{environment: map[string]string{
		"BERTH_ENDPOINT": world.Server.URL, "BERTH_CA": world.CAFile, "AZURE_TENANT_ID": armtest.TenantID,
		"AZURE_CLIENT_ID": armtest.EngineerID, "AZURE_CLIENT_SECRET": armtest.ClientSecret,
		"AZURE_SUBSCRIPTION_ID": armtest.Subscription, "HOME": t.TempDir(),
	}}
	at := metav1.NewTime(time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC))
	old := &v1beta1.ComponentRollout{ObjectMeta: metav1.ObjectMeta{Name: "rollout-1"}, Spec: v1beta1.ComponentRolloutSpec{Number: 1, Images: map[string]string{"coredns": "r/coredns:v1"}}}
	one := &v1beta1.ComponentRollout{ObjectMeta: metav1.ObjectMeta{Name: "rollout-2"}, Spec: v1beta1.ComponentRolloutSpec{Number: 2, Images: map[string]string{"coredns": "r/coredns:v2"}}}
	cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.SubscriptionNamespace(armtest.OtherSubscription), Name: "rg9.shop"}, Spec: v1beta1.ManagedClusterSpec{ResourceGroup: "rg9", Name: "shop"}}
	for _, object := range []client.Object{old, one, cluster} {
		if err := world.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	old.Status = v1beta1.ComponentRolloutStatus{State: v1beta1.RolloutCompleted, Reason: "Completed", Wave: 4, Ended: &at, Clusters: v1beta1.RolloutCounts{Reached: 9, Ready: 9}}
	one.Status = v1beta1.ComponentRolloutStatus{
		State: v1beta1.RolloutStopped, Reason: "ComponentsNotReady", Wave: 2, Limit: 3, WaveStarted: &at, Message: "wave 2: the components of a cluster were not ready",
		Clusters: v1beta1.RolloutCounts{Reached: 1, Ready: 1, Failed: 1, Waiting: 7, Away: 1},
	}
	cluster.Status.ComponentRollout = &v1beta1.ClusterRollout{Name: "rollout-2", Wave: 2, Phase: v1beta1.ClusterReturned, Since: at, Message: "its components were not ready within 10m0s"}
	for _, object := range []client.Object{old, one, cluster} {
		if err := world.Client.Status().Update(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	play(t, "testdata/support/rollout.txt", commands, func(line string) {
		switch line {
		case "as engineer":
			commands.environment["AZURE_CLIENT_ID"] = armtest.EngineerID
		case "as customer":
			commands.environment["AZURE_CLIENT_ID"] = armtest.ClientID
		case "heard":
			if err := world.Client.Get(t.Context(), client.ObjectKeyFromObject(one), one); err != nil {
				t.Fatal(err)
			}
			one.Status.Attempt, one.Status.State, one.Status.Reason, one.Status.Message = one.Spec.Attempt, v1beta1.RolloutProgressing, "WaveTaking", "wave 2 begins"
			if err := world.Client.Status().Update(t.Context(), one); err != nil {
				t.Fatal(err)
			}
		default:
			t.Fatalf("no such plan: %s", line)
		}
	})
}
