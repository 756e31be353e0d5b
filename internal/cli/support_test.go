package cli

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm/armtest"
)

// Supportability is shown to people and to programs (X1), over Berth's own server.
func TestSupportIsShown(t *testing.T) {
	world := armtest.New(t)
	world.Run(t)
	commands := runner{environment: map[string]string{
		"BERTH_ENDPOINT": world.Server.URL, "BERTH_CA": world.CAFile, "AZURE_TENANT_ID": armtest.TenantID,
		"AZURE_CLIENT_ID": armtest.ClientID, "AZURE_CLIENT_SECRET": armtest.ClientSecret,
		"AZURE_SUBSCRIPTION_ID": armtest.Subscription, "HOME": t.TempDir(),
	}}
	for _, line := range []string{"group create -n rg1 -l westus2", "cluster create -g rg1 -n demo", "cluster create -g rg1 -n fine"} {
		if code, _, errs := commands.run(t, words(line)...); code != 0 {
			t.Fatalf("%s: %s", line, errs)
		}
	}
	since := metav1.NewTime(time.Date(2026, 11, 20, 1, 0, 0, 0, time.UTC))
	ends := metav1.NewTime(since.AddDate(0, 0, 30))
	setSupport(t, world, "fine", &v1beta1.SupportStatus{State: v1beta1.SupportSupported, Findings: []v1beta1.SupportFinding{}, Clocks: []v1beta1.SupportClock{}})
	setSupport(t, world, "demo", &v1beta1.SupportStatus{State: v1beta1.SupportOutOfSupport, Clocks: []v1beta1.SupportClock{}, Findings: []v1beta1.SupportFinding{
		{Clause: "F4", Reason: "VersionPlatformSupport", State: v1beta1.SupportPlatformOnly, Message: "the control plane runs 1.34.2", Since: since, WayBack: "Upgrade."},
		{Clause: "J4", Reason: "NoNodes", State: v1beta1.SupportOutOfSupport, Message: "no machine runs, of 2", Since: since, Act: v1beta1.ActStop, Ends: &ends, WayBack: "Have a node run."},
	}})
	play(t, "testdata/support/support.txt", commands, func(string) {})
}

func setSupport(t *testing.T, world *armtest.World, name string, status *v1beta1.SupportStatus) {
	t.Helper()
	var cluster v1beta1.ManagedCluster
	key := client.ObjectKey{Namespace: v1beta1.SubscriptionNamespace(armtest.Subscription), Name: v1beta1.ObjectName("rg1", name)}
	if err := world.Client.Get(t.Context(), key, &cluster); err != nil {
		t.Fatal(err)
	}
	cluster.Status.Support = status
	if err := world.Client.Status().Update(t.Context(), &cluster); err != nil {
		t.Fatal(err)
	}
}
