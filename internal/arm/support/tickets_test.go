package support_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm/armtest"
)

const tickets = "/subscriptions/" + armtest.Subscription + "/providers/Microsoft.Support/supportTickets/"

func ticket(title string) string {
	return `{"properties": {"serviceId": "/providers/Microsoft.Support/services/kubernetes-service",
		"problemClassificationId": "/providers/Microsoft.Support/services/kubernetes-service/problemClassifications/kubernetes-how-to",
		"title": "` + title + `", "description": "x", "severity": "minimal", "advancedDiagnosticConsent": "No", "contactDetails": {"firstName": "A", "lastName": "L",
		"preferredContactMethod": "email", "primaryEmailAddress": "a@example.com", "preferredTimeZone": "UTC", "country": "DEU", "preferredSupportLanguage": "en-us"}}}`
}

// diagnosis is a ticket that has support look into a node of a cluster.
func diagnosis() string {
	id := "/subscriptions/" + armtest.Subscription + "/resourceGroups/rg1/providers/Microsoft.ContainerService/managedClusters/c1"
	body := strings.Replace(ticket("x"), "kubernetes-how-to", "node-diagnosis", 1)
	return strings.Replace(body, `"severity"`, `"technicalTicketDetails": {"resourceId": "`+id+`"}, "severity"`, 1)
}

// send puts something and returns the status of the answer.
func send(t *testing.T, w *armtest.World, path, body string) int {
	t.Helper()
	status, _ := call(t, w, http.MethodPut, path, body)
	return status
}

// call returns the status and the body of the answer.
func call(t *testing.T, w *armtest.World, method, path, body string) (int, string) {
	t.Helper()
	return callAs(t, w, method, path, body, armtest.ClientID)
}

// callAs is call by one of the world's applications.
func callAs(t *testing.T, w *armtest.World, method, path, body, application string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, w.Server.URL+tickets+path+"?api-version=2024-04-01", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+w.Token(t, application))
	answer, err := w.Server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(said)
}

func stored(t *testing.T, w *armtest.World) *v1beta1.SupportTicket {
	t.Helper()
	var found v1beta1.SupportTicket
	if err := w.Client.Get(t.Context(), client.ObjectKey{Namespace: v1beta1.SubscriptionNamespace(armtest.Subscription), Name: "t1"}, &found); err != nil {
		t.Fatal(err)
	}
	return &found
}

// Messages that come at the same time are all kept.
func TestMessagesAtOnce(t *testing.T) {
	w := armtest.New(t)
	if status := send(t, w, "t1", ticket("x")); status != http.StatusOK {
		t.Fatalf("ticket: %d", status)
	}
	w.Token(t, armtest.ClientID)
	var all sync.WaitGroup
	for i := range 5 {
		all.Go(func() {
			if status := send(t, w, fmt.Sprintf("t1/communications/m%d", i), `{"properties": {"sender": "a@example.com", "subject": "s", "body": "b"}}`); status != http.StatusOK {
				t.Errorf("m%d: %d", i, status)
			}
		})
	}
	all.Wait()
	if said := len(stored(t, w).Communications); said != 6 {
		t.Errorf("%d messages, want five and the answer", said)
	}
}

// A ticket is one object: what would make it too large is refused, also where it grows
// on the way.
func TestWhatIsTooLongIsRefused(t *testing.T) {
	w := armtest.New(t)
	if status := send(t, w, "t1", ticket(strings.Repeat("x", 300))); status != http.StatusBadRequest {
		t.Errorf("a long title: %d", status)
	}
	if status := send(t, w, "t1", ticket("x")); status != http.StatusOK {
		t.Fatalf("ticket: %d", status)
	}
	long := `{"properties": {"sender": "a@example.com", "subject": "s", "body": "` + strings.Repeat(`\u0001`, 3000) + `"}}`
	if status := send(t, w, "t1/communications/m", long); status != http.StatusBadRequest {
		t.Errorf("a message of 3,000 control characters, six bytes each: %d", status)
	}
	full := stored(t, w)
	for len(full.Communications) < 40 {
		full.Communications = append(full.Communications, v1beta1.SupportCommunication{Name: fmt.Sprint("c", len(full.Communications)), Body: "x"})
	}
	if err := w.Client.Update(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	if status := send(t, w, "t1/communications/m", `{"properties": {"sender": "a@example.com", "subject": "s", "body": "b"}}`); status != http.StatusConflict {
		t.Errorf("the 41st message: %d", status)
	}
}

// Whatever is sent is answered or refused, and never an error of the service's own.
func FuzzTicketBody(f *testing.F) {
	f.Add(ticket("x"))
	f.Add(`{"properties": {"severity": 1}}`)
	f.Add(`{"properties": {"contactDetails": {"additionalEmailAddresses": [null]}, "technicalTicketDetails": {"resourceId": "//"}}}`)
	f.Add(strings.Replace(ticket("x"), `"severity"`, `"problemStartTime": "0000-01-01T00:00:00Z", "technicalTicketDetails": {"resourceId": "/subscriptions/`+armtest.Subscription+`/x/../%00/"}, "severity"`, 1))
	w := armtest.New(f)
	f.Fuzz(func(t *testing.T, body string) {
		w.Advance(10 * time.Second) // past the limit of writes
		if status := send(t, w, "t1", body); status >= http.StatusInternalServerError {
			t.Errorf("%d on %q", status, body)
		}
	})
}

// What ends support's access passes locks and the limit of writes, and does no more than
// that on the way.
func TestNothingKeepsACustomerFromEnding(t *testing.T) {
	w := armtest.New(t)
	if status := send(t, w, "t1", diagnosis()); status != http.StatusOK {
		t.Fatalf("ticket: %d", status)
	}
	if status, body := call(t, w, http.MethodPatch, "t1", `{"advancedDiagnosticConsent": "Yes"}`); status != http.StatusOK {
		t.Fatalf("consent: %d %s", status, body)
	}
	lock := &v1beta1.ManagementLock{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.SubscriptionNamespace(armtest.Subscription), Name: "l"},
		Spec:       v1beta1.ManagementLockSpec{Name: "l", Scope: "/subscriptions/" + armtest.Subscription, Level: v1beta1.LockReadOnly},
	}
	if err := w.Client.Create(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	for _, more := range []string{
		`{"advancedDiagnosticConsent": "Yes"}`, `{"advancedDiagnosticConsent": "No", "severity": "minimal"}`, `{"status": "closed", "contactDetails": {"firstName": "B"}}`,
		`{"status": "open", "advancedDiagnosticConsent": "No"}`, `{"status": "closed", "advancedDiagnosticConsent": "Yes"}`, `{}`, `{`,
	} {
		if status, _ := call(t, w, http.MethodPatch, "t1", more); status != http.StatusConflict {
			t.Errorf("%s under a lock: %d", more, status)
		}
	}
	for range 30 { // past the limit of writes
		call(t, w, http.MethodPatch, "t1", `{}`)
	}
	if status, _ := call(t, w, http.MethodPatch, "t1", `{}`); status != http.StatusTooManyRequests {
		t.Errorf("the limit of writes is not reached: %d", status)
	}
	if status, body := call(t, w, http.MethodPatch, "t1", `{"advancedDiagnosticConsent": "No"}`); status != http.StatusOK {
		t.Errorf("withdrawn: %d %s", status, body)
	}
	if status, body := call(t, w, http.MethodPatch, "t1", `{"status": "closed"}`); status != http.StatusOK {
		t.Errorf("closed: %d %s", status, body)
	}
	if spec := stored(t, w).Spec; spec.AdvancedDiagnosticConsent || spec.Status != v1beta1.TicketClosed {
		t.Errorf("%+v", spec)
	}
}

// An engineer answers on a ticket that is open, as who the token says; what is said so is
// the service's and decides nothing.
func TestEngineersAnswer(t *testing.T) {
	w := armtest.New(t)
	if status := send(t, w, "t1", ticket("x")); status != http.StatusOK {
		t.Fatalf("ticket: %d", status)
	}
	answer := `{"properties": {"subject": "s", "body": "We see no Dynatrace there"}}`
	say := func(name, body string) int {
		status, _ := callAs(t, w, http.MethodPut, "t1/communications/"+name, body, armtest.EngineerID)
		return status
	}
	if status := say("a", answer); status != http.StatusOK {
		t.Fatalf("an answer: %d", status)
	}
	if status := say("a", answer); status != http.StatusOK {
		t.Errorf("the same answer again: %d", status)
	}
	if status := send(t, w, "t1/communications/a", `{"properties": {"sender": "`+armtest.EngineerID+`", "subject": "s", "body": "We see no Dynatrace there"}}`); status != http.StatusConflict {
		t.Errorf("a customer says it as well: %d", status)
	}
	if status := say("b", `{"properties": {"sender": "bob@berth.internal", "subject": "s", "body": "b"}}`); status != http.StatusBadRequest {
		t.Errorf("in another one's name: %d", status)
	}
	if status := say("b", `{"properties": {"subject": "s"}}`); status != http.StatusBadRequest {
		t.Errorf("with nothing to say: %d", status)
	}
	said := stored(t, w).Communications
	if last := said[len(said)-1]; len(said) != 2 || last.Sender != armtest.EngineerID || !last.FromService {
		t.Errorf("said: %+v", said)
	}
	if _, body := call(t, w, http.MethodGet, "t1/communications/a", ""); !strings.Contains(body, "inbound") {
		t.Errorf("shown as %s, want inbound", body)
	}
	call(t, w, http.MethodPatch, "t1", `{"status": "closed"}`)
	if status := say("c", answer); status != http.StatusConflict {
		t.Errorf("on a closed ticket: %d", status)
	}
}

// Whatever is sent as a consent, an access, a change or a message is answered or refused,
// and never an error of the service's own.
func FuzzBodies(f *testing.F) {
	f.Add(uint8(0), `{"properties": {"scopes": ["Exec", "Diagnose"], "expires": "9999-12-31T23:59:59.999Z"}}`)
	f.Add(uint8(0), `{"properties": {"scopes": [null], "expires": "0000-01-01T00:00:00+23:59"}}`)
	f.Add(uint8(1), `{"properties": {"scopes": ["Diagnose"], "durationInMinutes": -9223372036854775808, "reason": "\u0000"}}`)
	f.Add(uint8(1), `{"properties": {"scopes": {}, "token": []}}`)
	f.Add(uint8(2), `{"properties": {"sender": "a@example.com", "subject": "\ud800", "body": "b"}}`)
	f.Add(uint8(2), `{"properties": null}`)
	f.Add(uint8(3), `{"status": "closed", "advancedDiagnosticConsent": "No", "contactDetails": {"additionalEmailAddresses": [null]}}`)
	requests := []struct{ method, path string }{
		{http.MethodPut, "t1/accessConsent"}, {http.MethodPut, "t1/accesses/a"}, {http.MethodPut, "t1/communications/m"}, {http.MethodPatch, "t1"},
	}
	w := armtest.New(f)
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		one := requests[int(which)%len(requests)]
		w.Advance(10 * time.Second) // past the limit of writes
		if status := send(t, w, "t1", diagnosis()); status != http.StatusOK {
			t.Fatalf("ticket: %d", status)
		}
		for _, who := range []string{armtest.ClientID, armtest.EngineerID} {
			if status, said := callAs(t, w, one.method, one.path, body, who); status >= http.StatusInternalServerError {
				t.Errorf("%d on %q to %s: %s", status, body, one.path, said)
			}
		}
	})
}
