package clients

import (
	"slices"
	"strings"
	"testing"

	"berth.dev/berth/internal/arm/armtest"
)

// azEventSubscription is what the test reads of an event subscription.
type azEventSubscription struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Destination struct {
		EndpointBaseURL string `json:"endpointBaseUrl"`
		EndpointURL     string `json:"endpointUrl"`
	} `json:"destination"`
	Filter struct {
		IncludedEventTypes []string `json:"includedEventTypes"`
		SubjectEndsWith    string   `json:"subjectEndsWith"`
	} `json:"filter"`
	RetryPolicy struct {
		MaxDeliveryAttempts int `json:"maxDeliveryAttempts"`
	} `json:"retryPolicy"`
	ProvisioningState string `json:"provisioningState"`
}

// TestAzEventSubscription has az send what happens at a cluster and its group to a webhook.
func TestAzEventSubscription(t *testing.T) {
	a, w := startAz(t)
	a.login(t)
	a.run(t, "group create -n rg1 -l westus2", nil)
	a.run(t, "aks create -g rg1 -n c1 --no-ssh-key --node-count 1", nil)
	const group = "/subscriptions/" + armtest.Subscription + "/resourceGroups/rg1"
	const cluster = group + "/providers/Microsoft.ContainerService/managedClusters/c1"
	hook := w.Server.URL + armtest.Hook
	const verb = "eventgrid event-subscription "
	const schema = " --event-delivery-schema cloudeventschemav1_0"

	var made, changed, shown azEventSubscription
	a.run(t, verb+"create -n news --source-resource-id "+cluster+" --endpoint "+hook+"?code=secret --max-delivery-attempts 5"+schema+
		" --included-event-types Microsoft.ContainerService.NodePoolRollingFailed Microsoft.ContainerService.ClusterSupportEnding", &made)
	if made.ProvisioningState != "Succeeded" || made.Destination.EndpointBaseURL != hook || made.Destination.EndpointURL != "" || made.RetryPolicy.MaxDeliveryAttempts != 5 || len(made.Filter.IncludedEventTypes) != 2 {
		t.Errorf("create: %+v", made)
	}
	a.run(t, verb+"create -n all-news --source-resource-id "+group+" --endpoint "+hook+schema, nil)
	a.run(t, verb+"update -n news --source-resource-id "+cluster+" --subject-ends-with c1", &changed)
	if changed.Filter.SubjectEndsWith != "c1" || changed.RetryPolicy.MaxDeliveryAttempts != 5 || len(changed.Filter.IncludedEventTypes) != 2 {
		t.Errorf("update: %+v", changed)
	}
	a.run(t, verb+"show -n news --source-resource-id "+cluster+" --include-full-endpoint-url --include-attrib-secret", &shown)
	if shown.Destination.EndpointURL != hook+"?code=secret" {
		t.Errorf("show: %+v", shown)
	}
	for line, want := range map[string]string{
		"--source-resource-id " + cluster: "news", "--source-resource-id " + group: "all-news news", "--location global": "all-news news",
		"--location westus2 -g rg1": "news",
	} {
		var listed []azEventSubscription
		a.run(t, verb+"list "+line, &listed)
		var names []string
		for _, one := range listed {
			names = append(names, one.Name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != want {
			t.Errorf("list %s: %s, want %s", line, got, want)
		}
	}
	a.fails(t, verb+"create -n bad-one --source-resource-id "+group+" --endpoint "+hook, "EventGridSchema", 1)
	a.fails(t, verb+"create -n bad-one --source-resource-id "+group+" --endpoint https://169.254.169.254/"+schema, "Url validation", 1)
	a.run(t, verb+"delete -n news --source-resource-id "+cluster, nil)
	a.fails(t, verb+"show -n news --source-resource-id "+cluster, "(ResourceNotFound)", 3)
	a.run(t, "aks delete -g rg1 -n c1 -y", nil)
	a.run(t, "group delete -n rg1 -y", nil)
}
