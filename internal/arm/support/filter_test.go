package support

import "testing"

func TestFilter(t *testing.T) {
	open := map[string]string{"status": "Open", "createddate": "2026-11-26T12:00:00Z", "problemclassificationid": "/x/and/y"}
	for text, want := range map[string]bool{
		"":                                    true, // no filter
		"Status eq 'open'":                    true, // values are compared without case
		"status eq Closed":                    false,
		"CreatedDate ge 2026-11-26T12:00:00Z": true, // at least
		"CreatedDate gt 2026-11-26T12:00:00Z": false,
		"createdDate gt 2026-11-26T11:59:59Z and status eq 'Open'":                                           true,
		"createdDate gt 2026-11-26T11:59:59Z AND status eq 'Closed'":                                         false, // all terms hold
		"ProblemClassificationId eq '/x/and/y'":                                                              true,  // the word inside a value joins nothing
		"CreatedDate ge '2026-11-26T13:00:00+01:00'":                                                         true,  // another time zone
		"status eq 'Open' and problemClassificationId eq '/x/and/y' and createdDate ge 2020-01-01T00:00:00Z": true,
	} {
		parsed, err := parseFilter(text, ticketFields)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if parsed.holds(open) != want {
			t.Errorf("%q holds: %v", text, !want)
		}
	}
	for _, text := range []string{
		"title eq 'x'", "status", "status eq", "status ge 'Open'", "createdDate eq 2026-11-26T12:00:00Z", "createdDate ge yesterday",
		"status eq 'Open' or status eq 'Closed'", "status eq 'Open' and", "communicationType eq 'web'",
	} {
		if _, err := parseFilter(text, ticketFields); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("createdDate gt 2026-11-26T11:59:59Z and status eq 'Open'")
	f.Fuzz(func(t *testing.T, text string) {
		if parsed, err := parseFilter(text, ticketFields); err == nil {
			parsed.holds(map[string]string{"status": text, "createddate": text})
		}
	})
}

func TestTopicOf(t *testing.T) {
	if topic, ok := topicOf("/PROVIDERS/microsoft.support/services/Kubernetes-Service/problemClassifications/INGRESS"); !ok || topic != "ingress" {
		t.Errorf("ids are compared without case: %q", topic)
	}
	for _, id := range []string{"", "ingress", serviceID, classificationID("weather"), "/providers/Microsoft.Support/services/x/problemClassifications/ingress"} {
		if _, ok := topicOf(id); ok {
			t.Errorf("%q is no classification", id)
		}
	}
}
