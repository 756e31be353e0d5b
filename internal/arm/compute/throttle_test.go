package compute_test

import (
	"net/http"
	"testing"

	"berth.dev/berth/internal/arm/armtest"
)

// One path of Microsoft.Compute takes 60 requests at once, as AKS's own do, and no more.
func TestRequestsAreThrottled(t *testing.T) {
	w := armtest.New(t)
	token := w.Token(t, armtest.ClientID)
	get := func(path string) *http.Response {
		t.Helper()
		address := w.Server.URL + "/subscriptions/" + armtest.Subscription + path + "?api-version=2024-07-01"
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		answer, err := w.Server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer
	}
	const all, missing = "/providers/Microsoft.Compute/virtualMachineScaleSets", "/resourceGroups/none/providers/Microsoft.Compute/virtualMachineScaleSets/none"
	// One a second comes back while they are sent.
	answered, answer := 0, get(all)
	for answer.StatusCode == http.StatusOK && answered < 1000 {
		answered, answer = answered+1, get(all)
	}
	if answered < 60 || answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" {
		t.Errorf("after %d: %s, Retry-After %q", answered, answer.Status, answer.Header.Get("Retry-After"))
	}
	if answer := get(missing); answer.StatusCode != http.StatusNotFound {
		t.Errorf("another path: %s", answer.Status)
	}
}
