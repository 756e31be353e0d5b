package support_test

import (
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
	id := "/subscriptions/" + armtest.Subscription + "/resourceGroups/rg1/providers/Microsoft.ContainerService/managedClusters/c1"
	body := strings.Replace(ticket("x"), `"severity"`, `"technicalTicketDetails": {"resourceId": "`+id+`"}, "severity"`, 1)
	if status := send(t, w, "t1", body); status != http.StatusOK {
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
