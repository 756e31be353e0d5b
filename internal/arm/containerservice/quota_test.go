package containerservice_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm/armtest"
)

const (
	subscription = "/subscriptions/" + armtest.Subscription
	group        = subscription + "/resourceGroups/rg1"
	clusters     = group + "/providers/Microsoft.ContainerService/managedClusters"
)

type answer struct {
	status  int
	warning string
	Error   struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
	Value []struct {
		Name struct {
			Value string `json:"value"`
		} `json:"name"`
		CurrentValue int `json:"currentValue"`
		Limit        int `json:"limit"`
	} `json:"value"`
}

func ask(t *testing.T, w *armtest.World, method, path, body string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, w.Server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+w.Token(t, armtest.ClientID))
	response, err := w.Server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got := answer{status: response.StatusCode, warning: response.Header.Get("Warning")}
	raw, err := io.ReadAll(response.Body)
	if err == nil && len(raw) > 0 {
		err = json.Unmarshal(raw, &got)
	}
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// A subscription has as much as its quotas say, whichever request asks for more; what it
// has can be changed and made less, also after a quota was lowered.
func TestQuotasAreHeld(t *testing.T) {
	w := armtest.New(t)
	limit := func(clusterCount, cores int32) {
		t.Helper()
		var object v1beta1.Subscription
		if err := w.Client.Get(t.Context(), client.ObjectKey{Name: armtest.Subscription}, &object); err != nil {
			t.Fatal(err)
		}
		object.Spec.Quotas = &v1beta1.Quotas{Clusters: &clusterCount, Cores: &cores}
		if err := w.Client.Update(t.Context(), &object); err != nil {
			t.Fatal(err)
		}
	}
	put := func(path, body string, status int, code, message string) {
		t.Helper()
		if err := w.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := ask(t, w, http.MethodPut, path+"?api-version=2025-02-01", body)
		if got.status != status || got.Error.Code != code || !strings.Contains(got.Error.Message, message) {
			t.Errorf("PUT %s %s: %d %+v, want %d %s", path, body, got.status, got.Error, status, code)
		}
	}
	cluster := func(name, count string) string {
		return `{"location": "westus2", "properties": {"dnsPrefix": "` + name + `", "agentPoolProfiles": [{"name": "np1", "mode": "System", "vmSize": "Standard_D2s_v5", "count": ` + count + `}]}}`
	}
	const cores = "exceeding quota limits of Core. Maximum allowed: 6, Current in use: "
	limit(2, 6)
	if got := ask(t, w, http.MethodPut, group+"?api-version=2021-04-01", `{"location": "westus2"}`); got.status != http.StatusCreated {
		t.Fatalf("%+v", got)
	}
	put(clusters+"/c1", cluster("c1", "4"), 400, "QuotaExceeded", cores+"0, Additional requested: 8")
	put(clusters+"/c1", cluster("c1", "2"), 201, "", "")
	put(clusters+"/c1", cluster("c1", "4"), 400, "QuotaExceeded", cores+"4, Additional requested: 4")
	put(clusters+"/c1/agentPools/np1", `{"properties": {"count": 4}}`, 400, "QuotaExceeded", cores+"4, Additional requested: 4")
	put(clusters+"/c1/agentPools/np2", `{"properties": {"count": 2, "vmSize": "Standard_D2s_v5"}}`, 400, "QuotaExceeded", cores+"4, Additional requested: 4")
	put(clusters+"/c1/agentPools/np2", `{"properties": {"count": 1, "vmSize": "Standard_D2s_v5"}}`, 201, "", "")
	limit(1, 8)
	put(clusters+"/c2", cluster("c2", "1"), 400, "ManagedClusterCountExceedsQuotaLimit", "Maximum allowed: 1, Current in use: 1, Additional requested: 1")
	limit(0, 2)
	put(clusters+"/c1/agentPools/np2", `{"properties": {"count": 1, "nodeLabels": {"a": "b"}}}`, 200, "", "")
	put(clusters+"/c1/agentPools/np1", `{"properties": {"count": 1}}`, 200, "", "")

	got := ask(t, w, http.MethodGet, subscription+"/providers/Microsoft.ContainerService/locations/westus2/usages?api-version=2025-02-01", "")
	if len(got.Value) != 2 || got.Value[0].CurrentValue != 1 || got.Value[0].Limit != 0 || got.Value[1].Name.Value != "cores" || got.Value[1].CurrentValue != 4 || got.Value[1].Limit != 2 {
		t.Errorf("usages: %+v", got)
	}
	if got := ask(t, w, http.MethodGet, subscription+"/providers/Microsoft.ContainerService/locations/nowhere/usages?api-version=2025-02-01", ""); got.status != http.StatusBadRequest {
		t.Errorf("of no location: %+v", got)
	}
}

// A subscription that was warned can do everything and is told what comes; a suspended
// one can read and delete; a deleted one is not there (J6, J7).
func TestStatesOfSubscriptions(t *testing.T) {
	w := armtest.New(t)
	if got := ask(t, w, http.MethodPut, group+"?api-version=2021-04-01", `{"location": "westus2"}`); got.status != http.StatusCreated || got.warning != "" {
		t.Fatalf("%+v", got)
	}
	for _, c := range []struct {
		state                 v1beta1.SubscriptionState
		read, write, deletion int
		code                  string
		warned                bool
	}{
		{v1beta1.SubscriptionWarned, 200, 200, 404, "", true},
		{v1beta1.SubscriptionSuspended, 200, 409, 404, "ReadOnlyDisabledSubscription", false},
		{v1beta1.SubscriptionDeleted, 404, 404, 404, "SubscriptionNotFound", false},
		{v1beta1.SubscriptionEnabled, 200, 200, 404, "", false},
	} {
		var object v1beta1.Subscription
		if err := w.Client.Get(t.Context(), client.ObjectKey{Name: armtest.Subscription}, &object); err != nil {
			t.Fatal(err)
		}
		object.Spec.State = c.state
		if err := w.Client.Update(t.Context(), &object); err != nil {
			t.Fatal(err)
		}
		read := ask(t, w, http.MethodGet, group+"?api-version=2021-04-01", "")
		write := ask(t, w, http.MethodPut, group+"?api-version=2021-04-01", `{"location": "westus2"}`)
		deletion := ask(t, w, http.MethodDelete, subscription+"/resourceGroups/none?api-version=2021-04-01", "")
		if read.status != c.read || write.status != c.write || write.Error.Code != c.code || deletion.status != c.deletion ||
			read.warning != "" || (write.warning != "") != c.warned {
			t.Errorf("%s: read %+v, write %+v, delete %+v", c.state, read, write, deletion)
		}
	}
}
