package insights_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm/armtest"
)

const subscription = "/subscriptions/" + armtest.Subscription

func send(t *testing.T, w *armtest.World, method, address, body string) (int, []byte) {
	t.Helper()
	if strings.HasPrefix(address, "/") {
		address = w.Server.URL + address
	}
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+w.Token(t, armtest.ClientID))
	answer, err := w.Server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, raw
}

func putGroup(t *testing.T, w *armtest.World) {
	t.Helper()
	if status, body := send(t, w, http.MethodPut, subscription+"/resourceGroups/rg1?api-version=2021-04-01", `{"location": "westus2"}`); status >= 300 {
		t.Fatalf("%d %s", status, body)
	}
}

// Pages follow each other, the newest first, and what happens meanwhile moves nothing.
func TestPagesOfTheLog(t *testing.T) {
	w := armtest.New(t)
	for range 3 {
		putGroup(t, w)
	}
	query := url.Values{"api-version": {"2015-04-01"}, "$filter": {"eventTimestamp ge '2020-01-01'"}, "$top": {"1"}}
	address := subscription + "/providers/Microsoft.Insights/eventtypes/management/values?" + query.Encode()
	var seen []string
	ids := map[string]bool{}
	for address != "" {
		var page struct {
			Value []struct {
				EventDataID    string `json:"eventDataId"`
				EventTimestamp string `json:"eventTimestamp"`
			} `json:"value"`
			NextLink string `json:"nextLink"`
		}
		status, body := send(t, w, http.MethodGet, address, "")
		if err := json.Unmarshal(body, &page); err != nil || status != http.StatusOK || len(page.Value) != 1 {
			t.Fatalf("%d %s %v", status, body, err)
		}
		seen, ids[page.Value[0].EventDataID] = append(seen, page.Value[0].EventTimestamp), true
		address = page.NextLink
		if len(seen) == 2 {
			putGroup(t, w)
		}
	}
	if len(seen) != 6 || len(ids) != 6 {
		t.Fatalf("%d events, %d different ones, want 6", len(seen), len(ids))
	}
	for i := 1; i < len(seen); i++ {
		if seen[i] > seen[i-1] {
			t.Errorf("%s comes after %s", seen[i], seen[i-1])
		}
	}
}

// brokenLog is an API server that takes everything but entries of the log.
func brokenLog(t *testing.T, c client.Client) client.Client {
	t.Helper()
	watching, ok := c.(client.WithWatch)
	if !ok {
		t.Fatal("the client does not watch")
	}
	return interceptor.NewClient(watching, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			if _, is := object.(*v1beta1.ActivityLogEntry); is {
				return errors.New("etcd has no space left")
			}
			return c.Create(ctx, object, options...)
		},
	})
}

// A request whose entry cannot be written is carried out. What an Operation is about is
// written when that is seen.
func TestTheLogHoldsNothingUp(t *testing.T) {
	plain := armtest.New(t)
	w := armtest.Over(t, brokenLog(t, plain.Client))
	putGroup(t, w)
	cluster := subscription + "/resourceGroups/rg1/providers/Microsoft.ContainerService/managedClusters/c1"
	status, body := send(t, w, http.MethodPut, cluster+"?api-version=2025-02-01",
		`{"location": "westus2", "properties": {"dnsPrefix": "c1", "agentPoolProfiles": [{"name": "np1", "mode": "System", "count": 1}]}}`)
	if status != http.StatusCreated {
		t.Fatalf("%d %s", status, body)
	}
	if err := plain.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	var log v1beta1.ActivityLogEntryList
	if err := plain.Client.List(t.Context(), &log); err != nil {
		t.Fatal(err)
	}
	if len(log.Items) != 1 {
		t.Fatalf("%d entries, want that of the operation: %+v", len(log.Items), log.Items)
	}
	entry := log.Items[0]
	if entry.Spec.Caller != armtest.ClientID || entry.Spec.ResourceID != cluster || entry.Spec.Operation != "Microsoft.ContainerService/managedClusters/write" ||
		entry.Status.End == nil || entry.Status.End.Code != v1beta1.ActivitySucceeded {
		t.Errorf("the entry: %+v", entry)
	}
}
