package clients

import (
	"slices"
	"strings"
	"testing"

	"berth.dev/berth/internal/arm/armtest"
)

// azEvent is what the test reads of an event of the activity log.
type azEvent struct {
	Caller        string    `json:"caller"`
	CorrelationID string    `json:"correlationId"`
	EventName     azText    `json:"eventName"`
	OperationName azText    `json:"operationName"`
	Status        azText    `json:"status"`
	SubStatus     azText    `json:"subStatus"`
	ResourceID    string    `json:"resourceId"`
	Authorization azScope   `json:"authorization"`
	HTTPRequest   azRequest `json:"httpRequest"`
}

type azText struct {
	Value string `json:"value"`
}

type azScope struct {
	Action string `json:"action"`
	Scope  string `json:"scope"`
}

type azRequest struct {
	Method          string `json:"method"`
	ClientIPAddress string `json:"clientIpAddress"`
}

// TestAzActivityLog reads with az who did what.
func TestAzActivityLog(t *testing.T) {
	a, _ := startAz(t)
	a.login(t)
	a.run(t, "group create -n rg1 -l westus2", nil)
	a.run(t, "aks create -g rg1 -n c1 --no-ssh-key --node-count 1", nil)
	a.run(t, "aks stop -g rg1 -n c1", nil)
	a.fails(t, "aks scale -g rg1 -n c1 --node-count 2", "OperationNotAllowed", 1)

	// The default is the last six hours, in which az says no zone.
	var all []azEvent
	a.run(t, "monitor activity-log list", &all)
	var shown []string
	for _, event := range all {
		if event.Caller != armtest.ClientID || event.Authorization.Action != event.OperationName.Value || event.HTTPRequest.ClientIPAddress != "127.0.0.1" {
			t.Errorf("event: %+v", event)
		}
		_, kind, _ := strings.Cut(event.OperationName.Value, "/")
		shown = append(shown, kind+" "+event.Status.Value)
	}
	slices.Reverse(shown)
	want := []string{
		"subscriptions/resourceGroups/write Started", "subscriptions/resourceGroups/write Succeeded",
		"managedClusters/write Started", "managedClusters/write Accepted", "managedClusters/write Succeeded",
		"managedClusters/stop/action Started", "managedClusters/stop/action Accepted", "managedClusters/stop/action Succeeded",
		"managedClusters/write Started", "managedClusters/write Failed",
	}
	if !slices.Equal(shown, want) {
		t.Errorf("the log is\n%s\nwant\n%s", strings.Join(shown, "\n"), strings.Join(want, "\n"))
	}

	var stop []azEvent
	for _, event := range all {
		if strings.HasSuffix(event.OperationName.Value, "/stop/action") {
			a.run(t, "monitor activity-log list --correlation-id "+event.CorrelationID, &stop)
		}
	}
	if len(stop) != 3 {
		t.Errorf("of the stop there are %d events: %+v", len(stop), stop)
	}
	var failed, some, past []azEvent
	a.run(t, "monitor activity-log list -g rg1 --status Failed --namespace Microsoft.ContainerService", &some)
	a.run(t, "monitor activity-log list --resource-id "+stop[0].ResourceID+" --status Failed --select eventName subStatus", &failed)
	if len(failed) != 1 || failed[0].SubStatus.Value == "" || failed[0].ResourceID != "" || len(some) != 1 {
		t.Errorf("failed: %+v, by group: %+v", failed, some)
	}
	a.run(t, "monitor activity-log list --max-events 2 --offset 1h", &some)
	a.run(t, "monitor activity-log list --start-time 2020-01-01 --offset 1d", &past)
	if len(some) != 2 || len(past) != 0 {
		t.Errorf("%d of at most 2; %d of the past", len(some), len(past))
	}
	var categories []azText
	a.run(t, "monitor activity-log list-categories", &categories)
	if len(categories) != 2 {
		t.Errorf("categories: %+v", categories)
	}
}
