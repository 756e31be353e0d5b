package machine

import (
	"bytes"
	"crypto/rand"
	"regexp"
	"testing"
	"time"

	"berth.dev/berth/api/v1beta1"
)

func TestRandomTextIsWhatTokensAllow(t *testing.T) {
	id := regexp.MustCompile(`^[a-z0-9]{6}$`)
	seen := map[string]bool{}
	for range 500 {
		text, err := randomText(rand.Reader, tokenIDLength)
		if err != nil || !id.MatchString(text) || seen[text] {
			t.Fatalf("%q, %v, seen before: %v", text, err, seen[text])
		}
		seen[text] = true
	}
	if _, err := randomText(bytes.NewReader([]byte{255, 254, 1}), tokenIDLength); err == nil {
		t.Error("a source that ends gives no token")
	}
	if text, err := randomText(bytes.NewReader([]byte{255, 252, 0, 36, 25, 26, 35, 71}), tokenIDLength); err != nil || text != "aaz099" {
		t.Errorf("%q, %v; bytes beyond the last whole alphabet must not count", text, err)
	}
}

func TestTokenServes(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	object := &v1beta1.Machine{Status: v1beta1.MachineStatus{BootstrapTokenID: "abcdef"}}
	token := bootstrapToken(object, "0123456789abcdef", now)
	for _, c := range []struct {
		why    string
		after  time.Duration
		secret string
		want   bool
	}{
		{"a new token serves", 0, "0123456789abcdef", true},
		{"it is renewed at half its life", 31 * time.Minute, "0123456789abcdef", false},
		{"another secret is another token", 0, "x", false},
	} {
		if got := tokenServes(token, c.secret, now.Add(c.after)); got != c.want {
			t.Errorf("%s: %v", c.why, got)
		}
	}
	if token.Name != "bootstrap-token-abcdef" || token.Namespace != "kube-system" || string(token.Data["auth-extra-groups"]) != BootstrapGroup {
		t.Errorf("token %+v", token)
	}
	if _, signs := token.Data["usage-bootstrap-signing"]; signs {
		t.Error("a token must not sign the cluster's public information")
	}
}
