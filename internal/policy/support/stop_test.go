package support

import (
	"strings"
	"testing"

	"berth.dev/berth/internal/policy"
)

// Which webhooks a cluster cannot be stopped beside.
func TestRefuseStop(t *testing.T) {
	for _, c := range []struct {
		why  string
		hook Webhook
		want string
	}{
		{"nobody answers for nodes", Webhook{Resources: []string{"nodes"}, Inside: true, Down: "its Service a/b has no ready endpoint"}, "no ready endpoint"},
		{"nobody answers for evictions: they wait until their time is over", Webhook{Resources: []string{Evictions}, Inside: true, Down: "its Service a/b has no ready endpoint"}, "no ready endpoint"},
		{"what answers goes with the nodes", Webhook{Resources: []string{"nodes", Evictions}, Inside: true}, "once the nodes are gone"},
		{"a start makes roles before any node runs", Webhook{Resources: []string{"clusterroles"}, Inside: true}, "once the nodes are gone"},
		{"evictions that somebody answers for", Webhook{Resources: []string{Evictions}, Inside: true}, ""},
		{"somebody outside", Webhook{Resources: []string{"nodes"}}, ""},
	} {
		c.hook.Name, c.hook.Configuration = "w.example.com", "policy"
		found := RefuseStop([]Webhook{c.hook})
		if (len(found) == 1) != (c.want != "") || len(found) > 1 {
			t.Errorf("%s: %v", c.why, found)
			continue
		}
		if c.want != "" && (found[0].Code != policy.CodeValidationError || !strings.Contains(found[0].Message, c.want) || !strings.Contains(found[0].Message, "webhook w.example.com of policy")) {
			t.Errorf("%s: %v", c.why, found[0])
		}
	}
	if found := RefuseStop(nil); found != nil {
		t.Errorf("no webhook: %v", found)
	}
}
