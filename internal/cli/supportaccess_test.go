package cli

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm/armtest"
)

// Consent, access and record are shown to the customer and to the engineer (C7, X5), over
// Berth's own server. "% as engineer" and "% as customer" say who goes on; "% record" has
// the access have begun and something have been done with it.
func TestSupportAccessIsShown(t *testing.T) {
	world := armtest.New(t)
	world.Run(t)
	commands := runner{environment: map[string]string{
		"BERTH_ENDPOINT": world.Server.URL, "BERTH_CA": world.CAFile, "AZURE_TENANT_ID": armtest.TenantID,
		"AZURE_CLIENT_ID": armtest.ClientID, "AZURE_CLIENT_SECRET": armtest.ClientSecret,
		"AZURE_SUBSCRIPTION_ID": armtest.Subscription, "HOME": t.TempDir(),
	}}
	for _, line := range []string{"group create -n rg1 -l westus2", "cluster create -g rg1 -n demo"} {
		if code, _, errs := commands.run(t, words(line)...); code != 0 {
			t.Fatalf("%s: %s", line, errs)
		}
	}
	play(t, "testdata/support/access.txt", commands, func(line string) {
		switch line {
		case "as engineer":
			commands.environment["AZURE_CLIENT_ID"] = armtest.EngineerID
		case "as customer":
			commands.environment["AZURE_CLIENT_ID"] = armtest.ClientID
		case "record":
			recordAccess(t, world)
		default:
			t.Fatalf("no such plan: %s", line)
		}
	})
}

func recordAccess(t *testing.T, world *armtest.World) {
	t.Helper()
	key := client.ObjectKey{Namespace: v1beta1.SubscriptionNamespace(armtest.Subscription), Name: "01234567-89ab-4cde-8f01-23456789abcd"}
	var access v1beta1.SupportAccess
	if err := world.Client.Get(t.Context(), key, &access); err != nil {
		t.Fatal(err)
	}
	access.Status.Granted = &access.Spec.Created
	if err := world.Client.Status().Update(t.Context(), &access); err != nil {
		t.Fatal(err)
	}
	at := func(second int) metav1.MicroTime {
		return metav1.NewMicroTime(time.Date(2026, 11, 26, 12, 0, second, 0, time.UTC))
	}
	ended := at(3)
	page := &v1beta1.SupportAccessRecord{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name + ".0a1b2c3d.1", Labels: map[string]string{v1beta1.LabelSupportAccess: key.Name}},
		Requests: []v1beta1.SupportRequest{
			{ID: "bbbbbbbb-0000-4000-8000-000000000001", Time: at(0), Engineer: armtest.EngineerID, Verb: "list", Resource: "pods", Namespace: "kube-system", Code: 200, Ended: &ended},
			{ID: "bbbbbbbb-0000-4000-8000-000000000002", Time: at(1), Engineer: armtest.EngineerID, Verb: "get", Resource: "secrets", Namespace: "shop", Name: "db", Code: 403, Ended: &ended, Refused: "get secrets is nothing that support does"},
		},
	}
	if err := world.Client.Create(t.Context(), page); err != nil {
		t.Fatal(err)
	}
}
