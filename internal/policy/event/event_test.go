package event

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

const (
	subscription = "/subscriptions/s"
	group        = subscription + "/resourceGroups/rg"
	cluster      = group + "/providers/Microsoft.ContainerService/managedClusters/C1"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func result(code v1beta1.ActivityCode) *v1beta1.ActivityResult {
	return &v1beta1.ActivityResult{Time: metav1.NewMicroTime(noon), Code: code}
}

// An entry is one event, once it is known how its act went, and never another one.
func TestOf(t *testing.T) {
	request := &v1beta1.ActivityRequest{Method: "PUT"}
	notice := func(reason string) *v1beta1.ActivityNotice { return &v1beta1.ActivityNotice{Reason: reason} }
	for _, c := range []struct {
		why  string
		spec v1beta1.ActivitySpec
		is   v1beta1.ActivityStatus
		want string
	}{
		{"nobody knows yet", v1beta1.ActivitySpec{Operation: "x/write", Request: request}, v1beta1.ActivityStatus{}, ""},
		{"it goes on", v1beta1.ActivitySpec{Operation: "x/write", Request: request}, v1beta1.ActivityStatus{Answer: result(v1beta1.ActivityAccepted)}, ""},
		{"it was done at once", v1beta1.ActivitySpec{Operation: "x/write", Request: request}, v1beta1.ActivityStatus{Answer: result(v1beta1.ActivitySucceeded)}, "Microsoft.Resources.ResourceWriteSuccess"},
		{"it was refused", v1beta1.ActivitySpec{Operation: "x/delete", Request: request}, v1beta1.ActivityStatus{Answer: result(v1beta1.ActivityFailed)}, "Microsoft.Resources.ResourceDeleteFailure"},
		{"it ended", v1beta1.ActivitySpec{Operation: "x/start/action", Request: request}, v1beta1.ActivityStatus{Answer: result(v1beta1.ActivityAccepted), End: result(v1beta1.ActivityCanceled)}, "Microsoft.Resources.ResourceActionCancel"},
		{"the end came before the answer", v1beta1.ActivitySpec{Operation: "x/write", Request: request}, v1beta1.ActivityStatus{End: result(v1beta1.ActivityFailed)}, "Microsoft.Resources.ResourceWriteFailure"},
		{"Berth's own act", v1beta1.ActivitySpec{Operation: "x/write"}, v1beta1.ActivityStatus{End: result(v1beta1.ActivitySucceeded)}, "Microsoft.Resources.ResourceWriteSuccess"},
		{"a name of an operation that ARM has not", v1beta1.ActivitySpec{Operation: "x/read"}, v1beta1.ActivityStatus{End: result(v1beta1.ActivitySucceeded)}, ""},
		{"AKS's event", v1beta1.ActivitySpec{Notice: notice(ReasonRollingStarted), ResourceID: cluster + "/agentPools/np"}, v1beta1.ActivityStatus{}, "Microsoft.ContainerService.NodePoolRollingStarted"},
		{"Berth's event", v1beta1.ActivitySpec{Notice: notice("SupportNotice"), ResourceID: cluster}, v1beta1.ActivityStatus{}, "dev.berth.SupportNotice"},
		{"it would be sent where nothing arrives", v1beta1.ActivitySpec{Notice: notice(ReasonDropped)}, v1beta1.ActivityStatus{}, ""},
	} {
		entry := &v1beta1.ActivityLogEntry{ObjectMeta: metav1.ObjectMeta{Namespace: "sub-s", Name: "e"}, Spec: c.spec, Status: c.is}
		got, ok := Of(entry, "t")
		if ok != (c.want != "") || got.Type != c.want {
			t.Errorf("%s: %q (%v), want %q", c.why, got.Type, ok, c.want)
		}
	}
}

// AKS's events are as clients of Azure's parse them; the body is the same at each attempt.
func TestBody(t *testing.T) {
	entry := &v1beta1.ActivityLogEntry{ObjectMeta: metav1.ObjectMeta{Namespace: "sub-s", Name: "e"}, Spec: v1beta1.ActivitySpec{
		Time: metav1.NewMicroTime(noon), ResourceID: cluster + "/agentPools/np",
		Notice: &v1beta1.ActivityNotice{Reason: ReasonRollingFailed, Message: "m", Data: map[string]string{DataNodePoolName: "np"}},
	}}
	told, _ := Of(entry, "t")
	raw, err := told.Body(v1beta1.EventSubscriptionSpec{Scope: subscription})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"data":{"nodePoolName":"np"},"datacontenttype":"application/json","id":"` + told.ID + `","source":"` + cluster + `","specversion":"1.0","subject":"C1",` +
		`"time":"2026-11-26T12:00:00Z","type":"Microsoft.ContainerService.NodePoolRollingFailed"}`
	if string(raw) != want {
		t.Errorf("%s, want %s", raw, want)
	}
	entry.Spec.Notice.Reason = "SupportNotice"
	told, _ = Of(entry, "t")
	raw, _ = told.Body(v1beta1.EventSubscriptionSpec{Scope: group})
	var body struct {
		Subject, Source string
		Data            map[string]string
	}
	if err := json.Unmarshal(raw, &body); err != nil || body.Subject != entry.Spec.ResourceID || body.Source != cluster || body.Data["message"] != "m" || body.Data["reason"] != "SupportNotice" {
		t.Errorf("%s (%v)", raw, err)
	}
	entry.Spec.Notice, entry.Spec.Operation, entry.Status.End = nil, "Microsoft.ContainerService/managedClusters/write", result(v1beta1.ActivitySucceeded)
	told, _ = Of(entry, "t")
	raw, _ = told.Body(v1beta1.EventSubscriptionSpec{Scope: group})
	for _, part := range []string{`"source":"` + group + `"`, `"tenantId":"t"`, `"subscriptionId":"s"`, `"resourceProvider":"Microsoft.ContainerService"`, `"status":"Succeeded"`} {
		if !strings.Contains(string(raw), part) {
			t.Errorf("%s is not in %s", part, raw)
		}
	}
}

func TestWanted(t *testing.T) {
	aks := Event{Type: "Microsoft.ContainerService.NodePoolRollingStarted", Time: noon, ResourceID: cluster + "/agentPools/np", subject: "C1"}
	write := Event{Type: "Microsoft.Resources.ResourceWriteSuccess", Time: noon, ResourceID: cluster, subject: cluster}
	for _, c := range []struct {
		why  string
		spec v1beta1.EventSubscriptionSpec
		made time.Time
		of   Event
		want bool
	}{
		{"what is below the scope", v1beta1.EventSubscriptionSpec{Scope: group}, noon, aks, true},
		{"in another casing", v1beta1.EventSubscriptionSpec{Scope: strings.ToUpper(group)}, noon, write, true},
		{"another group whose name begins alike", v1beta1.EventSubscriptionSpec{Scope: group + "x"}, noon, aks, false},
		{"what is above the scope", v1beta1.EventSubscriptionSpec{Scope: cluster + "/agentPools/np"}, noon, write, false},
		{"a cluster has AKS's events", v1beta1.EventSubscriptionSpec{Scope: cluster}, noon, aks, true},
		{"and none of ARM's", v1beta1.EventSubscriptionSpec{Scope: cluster}, noon, write, false},
		{"what was before", v1beta1.EventSubscriptionSpec{Scope: group}, noon.Add(time.Second), aks, false},
		{"a type that is listed", v1beta1.EventSubscriptionSpec{Scope: group, Filter: v1beta1.EventFilter{IncludedEventTypes: []string{"x", strings.ToLower(aks.Type)}}}, noon, aks, true},
		{"a type that is not", v1beta1.EventSubscriptionSpec{Scope: group, Filter: v1beta1.EventFilter{IncludedEventTypes: []string{write.Type}}}, noon, aks, false},
		{"a subject in another casing", v1beta1.EventSubscriptionSpec{Scope: group, Filter: v1beta1.EventFilter{SubjectBeginsWith: "c", SubjectEndsWith: "1"}}, noon, aks, true},
		{"where that counts", v1beta1.EventSubscriptionSpec{Scope: group, Filter: v1beta1.EventFilter{SubjectBeginsWith: "c", IsSubjectCaseSensitive: true}}, noon, aks, false},
		{"another end", v1beta1.EventSubscriptionSpec{Scope: group, Filter: v1beta1.EventFilter{SubjectEndsWith: "2"}}, noon, aks, false},
	} {
		to := &v1beta1.EventSubscription{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(c.made)}, Spec: c.spec}
		if got := Wanted(to, c.of); got != c.want {
			t.Errorf("%s: %v", c.why, got)
		}
	}
}

// Every row of the table, every delay, and both ends of a retry policy.
func TestAfter(t *testing.T) {
	for _, row := range codes {
		step := After(row.status, 1, v1beta1.EventRetryPolicy{}, noon)
		if step.Done != row.done || (step.Drop == DropRefused) != row.dropped || step.Done == step.Next.After(noon) && !row.dropped {
			t.Errorf("%d: %+v", row.status, step)
		}
		if !row.done && !row.dropped && step.Next != noon.Add(max(delays[0], row.atLeast)) {
			t.Errorf("%d: next at %s", row.status, step.Next)
		}
	}
	for _, status := range []int{0, 100, 205, 301, 307, 409, 500, 502} {
		for i, delay := range delays {
			if step := After(status, int32(i+1), v1beta1.EventRetryPolicy{}, noon); step != (Step{Next: noon.Add(delay)}) {
				t.Errorf("attempt %d, answered %d: %+v", i+1, status, step)
			}
		}
	}
	if step := After(500, 29, v1beta1.EventRetryPolicy{}, noon); step.Next != noon.Add(12*time.Hour) {
		t.Errorf("attempt 29: %+v", step)
	}
	for _, c := range []struct{ attempts, limit int32 }{{30, 0}, {1, 1}, {3, 2}} {
		if step := After(500, c.attempts, v1beta1.EventRetryPolicy{MaxDeliveryAttempts: c.limit}, noon); step.Drop != DropAttempts {
			t.Errorf("attempt %d of %d: %+v", c.attempts, c.limit, step)
		}
	}
	for failures, want := range map[int32]time.Duration{0: 10 * time.Second, 1: 10 * time.Second, 3: time.Minute, 4: maxPause, 1000: maxPause} {
		if got := Pause(failures); got != want {
			t.Errorf("%d failures: %s, want %s", failures, got, want)
		}
	}
}

func TestNext(t *testing.T) {
	at := func(d time.Duration) *metav1.MicroTime { moment := metav1.NewMicroTime(noon.Add(d)); return &moment }
	delivery := func(name string, age time.Duration, next *metav1.MicroTime) *v1beta1.EventDelivery {
		return &v1beta1.EventDelivery{
			ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(noon.Add(-age))},
			Spec:       v1beta1.EventDeliverySpec{Time: *at(-age)}, Status: v1beta1.EventDeliveryStatus{NextAttempt: next},
		}
	}
	var many []*v1beta1.EventDelivery
	for range MaxPending + 2 {
		many = append(many, delivery("x", time.Minute, nil))
	}
	for _, c := range []struct {
		why    string
		paused *metav1.MicroTime
		queue  []*v1beta1.EventDelivery
		send   string
		drops  string
		wait   time.Duration
	}{
		{"nothing", nil, nil, "", "", 0},
		{"the oldest first", nil, []*v1beta1.EventDelivery{delivery("new", time.Minute, nil), delivery("old", time.Hour, nil)}, "old", "", 0},
		{"one that waits holds no other up", nil, []*v1beta1.EventDelivery{delivery("new", time.Minute, nil), delivery("old", time.Hour, at(time.Minute))}, "new", "", 0},
		{"all wait", nil, []*v1beta1.EventDelivery{delivery("a", time.Minute, at(time.Hour)), delivery("b", time.Hour, at(time.Minute))}, "", "", time.Minute},
		{"the endpoint is left alone", at(30 * time.Second), []*v1beta1.EventDelivery{delivery("a", time.Minute, nil)}, "", "", 30 * time.Second},
		{"it was", at(0), []*v1beta1.EventDelivery{delivery("a", time.Minute, at(0))}, "a", "", 0},
		{"its time is over", nil, []*v1beta1.EventDelivery{delivery("a", DefaultTTL, nil)}, "", DropExpired, 0},
		{"its time ends before its turn", nil, []*v1beta1.EventDelivery{delivery("a", DefaultTTL-time.Minute, at(time.Hour))}, "", "", time.Minute},
		{"too many", nil, many, "x", DropTooMany + DropTooMany, 0},
	} {
		to := &v1beta1.EventSubscription{Status: v1beta1.EventSubscriptionStatus{PausedUntil: c.paused}}
		turn := Next(to, c.queue, noon)
		send, drops := "", ""
		if turn.Send != nil {
			send = turn.Send.Name
		}
		for _, one := range turn.Drops {
			drops += one.Reason
		}
		if send != c.send || drops != c.drops || turn.Wait != c.wait {
			t.Errorf("%s: %q, %q, %s", c.why, send, drops, turn.Wait)
		}
	}
}

func TestValidate(t *testing.T) {
	good := v1beta1.EventSubscriptionSpec{Name: "good", Scope: group, Filter: v1beta1.EventFilter{IncludedEventTypes: append(Types(), "dev.berth.SupportNotice")}}
	past := metav1.NewTime(noon)
	if found := Validate(good, noon); len(found) > 0 {
		t.Errorf("refused: %v", found)
	}
	for target, change := range map[string]func(*v1beta1.EventSubscriptionSpec){
		"eventSubscriptionName":                           func(s *v1beta1.EventSubscriptionSpec) { s.Name = "a" },
		"properties.retryPolicy.maxDeliveryAttempts":      func(s *v1beta1.EventSubscriptionSpec) { s.RetryPolicy.MaxDeliveryAttempts = 31 },
		"properties.retryPolicy.eventTimeToLiveInMinutes": func(s *v1beta1.EventSubscriptionSpec) { s.RetryPolicy.EventTimeToLiveInMinutes = -1 },
		"properties.expirationTimeUtc":                    func(s *v1beta1.EventSubscriptionSpec) { s.ExpirationTime = &past },
		"properties.labels":                               func(s *v1beta1.EventSubscriptionSpec) { s.Labels = make([]string, maxLabels+1) },
		"properties.filter":                               func(s *v1beta1.EventSubscriptionSpec) { s.Filter.SubjectEndsWith = strings.Repeat("x", maxText+1) },
		"properties.filter.includedEventTypes":            func(s *v1beta1.EventSubscriptionSpec) { s.Filter.IncludedEventTypes = []string{"All"} },
	} {
		bad := *good.DeepCopy()
		change(&bad)
		if found := Validate(bad, noon); len(found) != 1 || found[0].Target != target {
			t.Errorf("%s: %v", target, found)
		}
	}
	good.Scope = cluster
	if found := Validate(good, noon); len(found) != 1 {
		t.Errorf("a cluster has no events of ARM: %v", found)
	}
}

// What is secret of a URL is never in what is shown of it.
func TestEndpoint(t *testing.T) {
	for text, want := range map[string]string{
		"https://h/p?code=secret": "https://h/p", "HTTPS://h:8443?": "https://h:8443", "https://[::1]/": "https://[::1]/",
		"http://h/": "", "https:///p": "", "https://u:secret@h/": "", "https://h/#secret": "", "": "", "https://h/%zz": "", "//h": "", "https://" + strings.Repeat("h", maxText): "",
	} {
		base, refused := Endpoint(text)
		if base != want || (refused == nil) != (want != "") || strings.Contains(base, "secret") || refused != nil && strings.Contains(refused.Message, "secret") && !strings.Contains(refused.Message, "A secret") {
			t.Errorf("%s: %q, %v", text, base, refused)
		}
	}
}
