package support

import (
	"strings"
	"testing"
	"time"

	"berth.dev/berth/api/v1beta1"
)

// A webhook that can hold the system up is told with what it holds and why it cannot
// answer, takes no support away, and stays told while the cluster does not answer.
func TestWebhooksOnSystem(t *testing.T) {
	e := healthy()
	e.Webhooks = []Webhook{
		{Name: "a.example.com", Configuration: "a", Resources: []string{"nodes", "leases"}},
		{Name: "b.example.com", Configuration: "b", Resources: []string{"pods"}, Down: "its Service x/b has no ready endpoint"},
	}
	first := Decide(nil, e, defaults(), noon)
	if first.Status.State != v1beta1.SupportSupported || first.Due != nil || len(first.Status.Findings) != 1 {
		t.Fatalf("%+v", first.Status)
	}
	for _, word := range []string{"a.example.com of a must answer for nodes, leases", "b.example.com of b", "and cannot: its Service x/b"} {
		if !strings.Contains(first.Status.Findings[0].Message, word) {
			t.Errorf("%q does not say %q", first.Status.Findings[0].Message, word)
		}
	}
	unknown := healthy()
	unknown.WebhooksUnknown = true
	second := Decide(&first.Status, unknown, defaults(), noon.Add(time.Hour))
	if len(second.Status.Findings) != 1 || second.Status.Findings[0] != first.Status.Findings[0] || News(&first.Status, second.Status, defaults()) {
		t.Errorf("while the cluster does not answer: %+v", second.Status.Findings)
	}
	if third := Decide(&second.Status, healthy(), defaults(), noon.Add(2*time.Hour)); len(third.Status.Findings) != 0 {
		t.Errorf("when it is gone: %+v", third.Status.Findings)
	}
	if begun := Decide(nil, unknown, defaults(), noon); len(begun.Status.Findings) != 0 {
		t.Errorf("nothing was known, and found: %+v", begun.Status.Findings)
	}
}
