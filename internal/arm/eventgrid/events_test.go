package eventgrid_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm/armtest"
	"berth.dev/berth/internal/policy/event"
)

const (
	scope = "/subscriptions/" + armtest.Subscription
	group = scope + "/resourceGroups/rg1"
)

func send(t *testing.T, w *armtest.World, method, path, body string) (int, string) {
	t.Helper()
	version := "?api-version=2022-06-15"
	if path == group {
		version = "?api-version=2021-04-01"
	}
	request, err := http.NewRequestWithContext(t.Context(), method, w.Server.URL+path+version, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+w.Token(t, armtest.ClientID))
	response, err := w.Server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

func bodyFor(url string) string {
	return `{"properties": {"eventDeliverySchema": "CloudEventSchemaV1_0", "destination": {"endpointType": "WebHook", "properties": {"endpointUrl": "` + url + `"}}}}`
}

// The URL and the keys are in the Secret alone, which goes with the event subscription, as
// that goes with its scope. Keys outlive a change of the URL, and no other one's are used.
func TestSecrets(t *testing.T) {
	w := armtest.New(t)
	ctx := t.Context()
	send(t, w, http.MethodPut, group, `{"location": "westus2"}`)
	const path = group + "/providers/Microsoft.EventGrid/eventSubscriptions/news"
	if status, answer := send(t, w, http.MethodPut, path, bodyFor(w.Server.URL+armtest.Hook+"?code=secret")); status != http.StatusCreated || strings.Contains(answer, "secret") {
		t.Fatalf("%d %s", status, answer)
	}
	key := client.ObjectKey{Namespace: v1beta1.SubscriptionNamespace(armtest.Subscription), Name: v1beta1.EventSubscriptionObjectName(group, "news")}
	var made v1beta1.EventSubscription
	var secret corev1.Secret
	if err := w.Client.Get(ctx, key, &made); err != nil {
		t.Fatal(err)
	}
	if err := w.Client.Get(ctx, key, &secret); err != nil {
		t.Fatal(err)
	}
	if owners := made.OwnerReferences; len(owners) != 1 || owners[0].Kind != "ResourceGroup" || len(secret.OwnerReferences) != 1 || secret.OwnerReferences[0].UID != made.UID {
		t.Errorf("owners: %+v, %+v", owners, secret.OwnerReferences)
	}
	before := string(secret.Data[v1beta1.SigningKey1])
	if status, answer := send(t, w, http.MethodPut, path, bodyFor(w.Server.URL+armtest.Hook+"?code=other")); status != http.StatusCreated {
		t.Fatalf("%d %s", status, answer)
	}
	if err := w.Client.Get(ctx, key, &secret); err != nil || string(secret.Data[v1beta1.SigningKey1]) != before || !strings.HasSuffix(string(secret.Data[v1beta1.EndpointURL]), "=other") {
		t.Errorf("after a change: %v, %v", secret.Data, err)
	}
	// A Secret of an earlier event subscription of this name has not gone yet.
	secret.OwnerReferences[0].UID = "earlier"
	if err := w.Client.Update(ctx, &secret); err != nil {
		t.Fatal(err)
	}
	if status, answer := send(t, w, http.MethodPost, path+"/listKeys", ""); status != http.StatusConflict || strings.Contains(answer, before) {
		t.Errorf("%d %s", status, answer)
	}
	if status, _ := send(t, w, http.MethodPut, path, bodyFor(w.Server.URL+armtest.Hook)); status != http.StatusCreated {
		t.Error(status)
	}
	if status, answer := send(t, w, http.MethodPost, path+"/listKeys", ""); status != http.StatusOK || strings.Contains(answer, before) {
		t.Errorf("%d %s", status, answer)
	}
}

// One subscription has a bounded number, whatever their scopes.
func TestLimit(t *testing.T) {
	w := armtest.New(t)
	for i := range event.MaxSubscriptions {
		name := string(rune('a'+i%26)) + string(rune('a'+i/26)) + "x"
		one := &v1beta1.EventSubscription{Spec: v1beta1.EventSubscriptionSpec{Name: name, Scope: scope}}
		one.Namespace, one.Name = v1beta1.SubscriptionNamespace(armtest.Subscription), v1beta1.EventSubscriptionObjectName(scope, name)
		if err := w.Client.Create(context.Background(), one); err != nil {
			t.Fatal(err)
		}
	}
	status, answer := send(t, w, http.MethodPut, scope+"/providers/Microsoft.EventGrid/eventSubscriptions/more", bodyFor(w.Server.URL+armtest.Hook))
	if status != http.StatusConflict || !strings.Contains(answer, "QuotaExceeded") {
		t.Errorf("%d %s", status, answer)
	}
}
