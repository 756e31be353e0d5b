package support_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/arm/armtest"
)

// What ended with a consent is not brought back by another one: one that is wider, or
// comes after the end, begins anew. One that is narrower or ends at another time does not.
func TestConsentBeginsAnew(t *testing.T) {
	w := armtest.New(t)
	if status := send(t, w, "t1", diagnosis()); status != http.StatusOK {
		t.Fatalf("ticket: %d", status)
	}
	expires := func(in time.Duration) string {
		return `, "expires": "` + w.Now().Add(in).UTC().Format(time.RFC3339) + `"`
	}
	var since time.Time
	for _, c := range []struct {
		why, scopes string
		ends        time.Duration
		wait        time.Duration
		anew        bool
	}{
		{"the first", `"Exec"`, 0, 0, true},
		{"narrower", `"Diagnose"`, 0, time.Minute, false},
		{"as wide as it was at first", `"Exec"`, 10 * time.Minute, time.Minute, true},
		{"before its end, until later", `"Exec"`, 10 * time.Minute, 5 * time.Minute, false},
		{"after its end", `"Exec"`, 0, 20 * time.Minute, true},
	} {
		w.Advance(c.wait)
		until := ""
		if c.ends > 0 {
			until = expires(c.ends)
		}
		if status := send(t, w, "t1/accessConsent", `{"properties": {"scopes": [`+c.scopes+`]`+until+`}}`); status != http.StatusOK {
			t.Fatalf("%s: %d", c.why, status)
		}
		spec := stored(t, w).Spec
		if !spec.AdvancedDiagnosticConsent || spec.Consented == nil {
			t.Fatalf("%s: %+v", c.why, spec)
		}
		if anew := !spec.Consented.Time.Equal(since); anew != c.anew {
			t.Errorf("%s: begins anew is %v, want %v", c.why, anew, c.anew)
		}
		since = spec.Consented.Time
	}
}

// shownConsent is what a ticket says of itself: on Azure's body, and on Berth's own.
func shownConsent(t *testing.T, w *armtest.World) (azures, own string) {
	t.Helper()
	var shown struct {
		Properties struct{ AdvancedDiagnosticConsent string }
	}
	for path, to := range map[string]*string{"t1": &azures, "t1/accessConsent": &own} {
		status, body := call(t, w, http.MethodGet, path, "")
		if err := json.Unmarshal([]byte(body), &shown); err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d, %v", path, status, err)
		}
		*to = shown.Properties.AdvancedDiagnosticConsent
	}
	return azures, own
}

// A consent that has come to its end is none: it is not shown as one, decides no ticket as
// one, and Azure's own way to consent gives another one.
func TestConsentEnds(t *testing.T) {
	w := armtest.New(t)
	if status := send(t, w, "t1", diagnosis()); status != http.StatusOK {
		t.Fatalf("ticket: %d", status)
	}
	ends := w.Now().Add(10 * time.Minute).UTC().Format(time.RFC3339)
	if status := send(t, w, "t1/accessConsent", `{"properties": {"scopes": ["Exec"], "expires": "`+ends+`"}}`); status != http.StatusOK {
		t.Fatalf("consent: %d", status)
	}
	triaged := func() string {
		if status, body := call(t, w, http.MethodPost, "t1/triage", ""); status != http.StatusOK {
			t.Fatalf("triage: %d %s", status, body)
		}
		var reasons []string
		for _, reason := range stored(t, w).Triage.Reasons {
			reasons = append(reasons, reason.Reason)
		}
		return strings.Join(reasons, " ")
	}
	is := func(when, want, reason string) {
		t.Helper()
		if azures, own := shownConsent(t, w); azures != want || own != want {
			t.Errorf("%s: the ticket shows %s, its consent %s, want %s", when, azures, own, want)
		}
		if reasons := triaged(); !strings.Contains(reasons, reason) {
			t.Errorf("%s: decided by %s, want %s", when, reasons, reason)
		}
	}
	is("before its end", "Yes", "Consented")
	w.Advance(20 * time.Minute)
	is("after its end", "No", "NoConsent")
	first := stored(t, w).Spec.Consented.Time
	if status, body := call(t, w, http.MethodPatch, "t1", `{"advancedDiagnosticConsent": "Yes"}`); status != http.StatusOK {
		t.Fatalf("consent anew: %d %s", status, body)
	}
	is("given anew", "Yes", "Consented")
	if spec := stored(t, w).Spec; spec.Consent != nil || !spec.Consented.After(first) {
		t.Errorf("given anew: %+v since %s, want another one, to diagnose alone", spec.Consent, spec.Consented)
	}
}

// The request that made a ticket is the same one when it is sent again, whatever was
// changed since; one that asks for something else is another one.
func TestTheSameTicketAgain(t *testing.T) {
	w := armtest.New(t)
	if status := send(t, w, "t1", ticket("x")); status != http.StatusOK {
		t.Fatalf("ticket: %d", status)
	}
	if status, body := call(t, w, http.MethodPatch, "t1", `{"severity": "critical", "advancedDiagnosticConsent": "Yes", "contactDetails": {"firstName": "B"}}`); status != http.StatusOK {
		t.Fatalf("change: %d %s", status, body)
	}
	if status := send(t, w, "t1", ticket("x")); status != http.StatusOK {
		t.Errorf("the same request again: %d", status)
	}
	if spec := stored(t, w).Spec; spec.Severity != "critical" || !spec.AdvancedDiagnosticConsent || spec.Contact.FirstName != "B" {
		t.Errorf("the change is lost: %+v", spec)
	}
	if status := send(t, w, "t1", strings.Replace(ticket("x"), "minimal", "moderate", 1)); status != http.StatusConflict {
		t.Errorf("another severity: %d", status)
	}
}
