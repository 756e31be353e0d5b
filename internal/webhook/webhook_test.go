package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// No spelling of an address leads to what is refused, and private networks that are not
// Berth's are reached.
func TestGuard(t *testing.T) {
	own := prefixes("100.64.0.0/10", "10.99.0.0/16", "fd00:99::/32")
	guard := Guard{Own: own}
	for text, allowed := range map[string]bool{
		"127.0.0.1": false, "127.255.255.254": false, "::1": false, "0.0.0.0": false, "::": false, "0.1.2.3": false,
		"169.254.169.254": false, "fe80::1": false, "fe80::1%eth0": false, "224.0.0.1": false, "ff02::1": false, "255.255.255.255": false,
		"100.65.0.1": false, "100.127.255.255": false, "10.99.1.1": false, "fd00:99::5": false,
		"::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:100.64.0.1": false, "::127.0.0.1": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b:1::7f00:1": false, "2002:7f00:1::": false, "2002:6440:1::1": false, "2001:0:1::1": false,
		"10.0.0.1": true, "192.168.1.1": true, "172.16.0.1": true, "fd00::1": true, "8.8.8.8": true, "2606:4700::1111": true,
		"::ffff:8.8.8.8": true, "64:ff9b::808:808": true, "100.63.255.255": true, "100.128.0.0": true,
	} {
		if err := guard.Check(netip.MustParseAddr(text)); (err == nil) != allowed {
			t.Errorf("%s: %v", text, err)
		}
	}
	guard.Allowed = prefixes("127.0.0.0/8", "100.65.1.0/24")
	for text, allowed := range map[string]bool{"127.0.0.1": true, "::ffff:127.0.0.1": true, "100.65.1.1": true, "100.65.2.1": false, "::1": false} {
		if err := guard.Check(netip.MustParseAddr(text)); (err == nil) != allowed {
			t.Errorf("allowed %s: %v", text, err)
		}
	}
	if err := guard.Check(netip.Addr{}); err == nil {
		t.Error("no address is allowed")
	}
}

// The signature is the example of the specification of Standard Webhooks.
func TestSign(t *testing.T) {
	const key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	got, err := Sign([]string{key, key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	if err != nil || got != want+" "+want {
		t.Errorf("%s, %v", got, err)
	}
	for _, keys := range [][]string{nil, {""}, {"whsec_"}, {"whsec_!"}} {
		if _, err := Sign(keys, "x", time.Now(), nil); err == nil {
			t.Errorf("%q signs", keys)
		}
	}
	if a, b := NewKey(), NewKey(); a == b || len(a) != len(keyPrefix)+44 {
		t.Errorf("keys %s, %s", a, b)
	}
}

// endpoint is a server that Client reaches, and a client of it.
func endpoint(t *testing.T, handle http.HandlerFunc) (Client, string) {
	t.Helper()
	server := httptest.NewTLSServer(handle)
	t.Cleanup(server.Close)
	roots, err := Roots(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	if err != nil {
		t.Fatal(err)
	}
	return Client{Guard: Guard{Allowed: prefixes("127.0.0.0/8")}, Roots: roots, Timeout: 10 * time.Second}, server.URL
}

// What arrives can be checked with either key, and is what was sent.
func TestDeliver(t *testing.T) {
	key1, key2 := NewKey(), NewKey()
	client, url := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		signatures := strings.Fields(r.Header.Get("Webhook-Signature"))
		for i, key := range []string{key1, key2} {
			raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, "whsec_"))
			mac := hmac.New(sha256.New, raw)
			mac.Write([]byte(r.Header.Get("Webhook-Id") + "." + r.Header.Get("Webhook-Timestamp") + "." + string(body)))
			if len(signatures) != 2 || signatures[i] != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
				t.Errorf("signatures %q", signatures)
			}
		}
		if r.Method != http.MethodPost || r.URL.RawQuery != "code=secret" || r.Header.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" ||
			r.Header.Get("Aeg-Delivery-Count") != "2" || string(body) != "{}" {
			t.Errorf("%s %s %v %s", r.Method, r.URL, r.Header, body)
		}
		w.WriteHeader(http.StatusAccepted)
	})
	status, err := client.Deliver(t.Context(), Delivery{URL: url + "/p?code=secret", Keys: []string{key1, key2}, ID: "id", Name: "n", Attempt: 3, Body: []byte("{}"), At: time.Now()})
	if err != nil || status != http.StatusAccepted {
		t.Errorf("%d, %v", status, err)
	}
}

// Redirects are not followed: they would lead past the check of the URL.
func TestRedirectsAreAnswers(t *testing.T) {
	asked := 0
	client, url := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	status, err := client.Deliver(t.Context(), Delivery{URL: url, Keys: []string{NewKey()}, Attempt: 1})
	if err != nil || status != http.StatusTemporaryRedirect || asked != 1 {
		t.Errorf("%d, %v, asked %d times", status, err, asked)
	}
}

// An error tells what is wrong and never the URL, whose query is a secret.
func TestErrors(t *testing.T) {
	hang := make(chan struct{})
	client, url := endpoint(t, func(_ http.ResponseWriter, _ *http.Request) { <-hang })
	defer close(hang)
	guarded, untrusting, hasty := client, client, client
	guarded.Guard, untrusting.Roots, hasty.Timeout = Guard{}, nil, 50*time.Millisecond
	_, port, _ := strings.Cut(strings.TrimPrefix(url, "https://"), ":")
	for _, c := range []struct {
		why    string
		client Client
		url    string
		want   string
	}{
		{"the address", guarded, url, "not for webhooks"},
		{"a name of the address", guarded, "https://localhost:" + port, "not for webhooks"},
		{"the certificate", untrusting, url, "certificate"},
		{"it hangs", hasty, url, "in time"},
		{"no TLS", client, strings.Replace(url, "https", "http", 1), "https://"},
		{"nobody is there", client, "https://127.0.0.1:1", "refused"},
	} {
		_, err := c.client.Deliver(t.Context(), Delivery{URL: c.url + "/?code=secret", Keys: []string{NewKey()}, Attempt: 1})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", c.why, err)
		}
	}
	if _, err := guarded.Deliver(t.Context(), Delivery{URL: url, Keys: []string{NewKey()}}); !errors.Is(err, errRefused) {
		t.Errorf("refused: %v", err)
	}
}

func TestValidate(t *testing.T) {
	answer := func(status int, origin string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodOptions || r.Header.Get("Webhook-Request-Origin") != Origin {
				t.Errorf("%s %v", r.Method, r.Header)
			}
			if origin != "" {
				w.Header().Set("WebHook-Allowed-Origin", origin)
			}
			w.WriteHeader(status)
		}
	}
	for _, c := range []struct {
		why    string
		status int
		origin string
		wants  bool
	}{
		{"it wants them", 200, Origin, true}, {"from everybody", 204, "*", true}, {"it says nothing", 200, "", false},
		{"from somebody else", 200, "eventgrid.azure.net", false}, {"it knows no OPTIONS", 405, "*", false},
	} {
		client, url := endpoint(t, answer(c.status, c.origin))
		if err := client.Validate(t.Context(), url); (err == nil) != c.wants {
			t.Errorf("%s: %v", c.why, err)
		}
	}
}
