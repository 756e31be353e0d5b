package cli

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm/armtest"
)

// What Berth upgrades by itself is told in fields that the SDK drops: the command
// line must show them all the same, to people and to programs.
func TestAutomaticUpgradesAreShown(t *testing.T) {
	world := armtest.New(t)
	world.Run(t)
	commands := runner{environment: map[string]string{
		"BERTH_ENDPOINT": world.Server.URL, "BERTH_CA": world.CAFile, "AZURE_TENANT_ID": armtest.TenantID,
		"AZURE_CLIENT_ID": armtest.ClientID, "AZURE_CLIENT_SECRET": armtest.ClientSecret, "AZURE_SUBSCRIPTION_ID": armtest.Subscription,
	}}
	for _, line := range []string{
		"group create -n rg1 -l westus2", "cluster create -g rg1 -n demo",
		"maintenanceconfiguration add -g rg1 --cluster-name demo -n aksManagedAutoUpgradeSchedule --schedule-type Daily --interval-days 1 --duration 4 --start-time 01:00",
	} {
		if code, _, errs := commands.run(t, words(line)...); code != 0 {
			t.Fatalf("%s: %s", line, errs)
		}
	}
	var cluster v1beta1.ManagedCluster
	key := client.ObjectKey{Namespace: v1beta1.SubscriptionNamespace(armtest.Subscription), Name: v1beta1.ObjectName("rg1", "demo")}
	if err := world.Client.Get(t.Context(), key, &cluster); err != nil {
		t.Fatal(err)
	}
	next := metav1.NewTime(time.Date(2030, 1, 2, 1, 0, 0, 0, time.UTC))
	cluster.Status.AutoUpgrades = []v1beta1.AutoUpgradeStatus{{
		Schedule: v1beta1.MaintenanceAutoUpgrade, NextRun: &next, Target: "1.37.3", LastResult: "Failed: UnsatisfiablePDB: x", Skipped: "the cluster is stopped",
	}}
	if err := world.Client.Status().Update(t.Context(), &cluster); err != nil {
		t.Fatal(err)
	}
	for line, wanted := range map[string][]string{
		"cluster show -g rg1 -n demo":                                                                       {"NextRun", "2030-01-02T01:00:00Z", "1.37.3", "UnsatisfiablePDB", "the cluster is stopped"},
		"cluster show -g rg1 -n demo -o json":                                                               {`"berthAutoUpgrades"`, `"nextRun": "2030-01-02T01:00:00Z"`},
		"maintenanceconfiguration list -g rg1 --cluster-name demo":                                          {"1.37.3", "UnsatisfiablePDB", "the cluster is stopped"},
		"maintenanceconfiguration show -g rg1 --cluster-name demo -n aksManagedAutoUpgradeSchedule -o yaml": {"berthNextWindow:", "target: 1.37.3"},
	} {
		_, out, errs := commands.run(t, words(line)...)
		for _, part := range wanted {
			if !strings.Contains(out, part) {
				t.Errorf("berth %s lacks %q:\n%s%s", line, part, out, errs)
			}
		}
	}
}
