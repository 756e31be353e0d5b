package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	tenantA   = "11111111-1111-1111-1111-111111111111"
	tenantB   = "22222222-2222-2222-2222-222222222222"
	host      = "https://127.0.0.1:8443"
	secretA   = "s3cret-of-a"
	userA     = "Ann@berth.internal"
	passwordA = "pass of ann"
)

type fixture struct {
	*Service
	clock time.Time
	log   *bytes.Buffer
}

func newFixture(t *testing.T, key crypto.Signer) *fixture {
	t.Helper()
	directory, err := New(key,
		[]Application{
			{TenantID: tenantA, ClientID: "App-A", SecretHash: cheapHash(t, secretA)},
			{TenantID: tenantB, ClientID: "app-b", SecretHash: cheapHash(t, "s3cret-of-b")},
		},
		[]User{{TenantID: tenantA, Name: userA, PasswordHash: cheapHash(t, passwordA)}})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), log: &bytes.Buffer{}}
	f.Service = NewService(directory, host+"/", func() time.Time { return f.clock }, slog.New(slog.NewTextHandler(f.log, nil)))
	return f
}

func cheapHash(t *testing.T, secret string) string {
	t.Helper()
	hash, err := hashSecret(secret, 10)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func ecKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (f *fixture) post(path string, form url.Values) (*http.Response, map[string]any) {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	var body map[string]any
	_ = json.Unmarshal(w.Body.Bytes(), &body)
	return w.Result(), body
}

func form(overrides ...string) url.Values {
	values := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"app-a"}, "client_secret": {secretA},
		"scope": {host + "//.default"}, "client_info": {"1"},
	}
	for i := 0; i < len(overrides); i += 2 {
		values.Set(overrides[i], overrides[i+1])
	}
	return values
}

func TestTokenIsIssuedAndVerifiedInBothDialectsAndAlgorithms(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"ES256": ecKey(t), "RS256": rsaKey} {
		for _, path := range []string{"/adfs/oauth2/token", "/" + tenantA + "/oauth2/v2.0/token", "/common/oauth2/v2.0/token"} {
			f := newFixture(t, key)
			response, body := f.post(path, form())
			if response.StatusCode != http.StatusOK || response.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%s %s: %d %v", name, path, response.StatusCode, body)
			}
			caller, err := f.Verify(body["access_token"].(string))
			if err != nil || caller.ClientID != "App-A" || caller.TenantID != tenantA || !guidPattern.MatchString(caller.ObjectID) {
				t.Errorf("%s %s: caller %+v, %v", name, path, caller, err)
			}
		}
	}
}

// One secret in 64 began with a dash, and az took it for an option.
func TestSecretsAreNoOptions(t *testing.T) {
	for range 1000 {
		if secret := NewSecret(); strings.ContainsAny(secret, "-_@=+/ ") {
			t.Fatalf("secret %q has more than letters and digits", secret)
		}
	}
}

func TestTokenRequestsAreRefused(t *testing.T) {
	cases := []struct {
		why, path string
		form      url.Values
		status    int
		code      string
		aadsts    float64
	}{
		{"a wrong secret shows the code that az explains", "/adfs/oauth2/token", form("client_secret", "guess"), 401, "invalid_client", 7000215},
		{"no secret", "/adfs/oauth2/token", form("client_secret", ""), 401, "invalid_client", 7000218},
		{"an unknown application", "/adfs/oauth2/token", form("client_id", "nobody"), 400, "unauthorized_client", 700016},
		{"an application of another tenant", "/" + tenantB + "/oauth2/v2.0/token", form(), 400, "unauthorized_client", 700016},
		{"an unknown tenant", "/contoso/oauth2/v2.0/token", form(), 400, "unauthorized_client", 700016},
		{"device codes and browsers are not served", "/adfs/oauth2/token", form("grant_type", "authorization_code"), 400, "unsupported_grant_type", 70003},
		{"a token for a foreign resource", "/adfs/oauth2/token", form("scope", "https://graph.microsoft.com/.default"), 400, "invalid_resource", 500011},
		{"no resource", "/adfs/oauth2/token", form("scope", ""), 400, "invalid_request", 900144},
	}
	for _, c := range cases {
		f := newFixture(t, ecKey(t))
		response, body := f.post(c.path, c.form)
		codes, _ := body["error_codes"].([]any)
		if response.StatusCode != c.status || body["error"] != c.code || len(codes) != 1 || codes[0] != c.aadsts {
			t.Errorf("%s: got %d %v", c.why, response.StatusCode, body)
		}
		if strings.Contains(f.log.String(), "guess") || strings.Contains(f.log.String(), secretA) {
			t.Errorf("%s: the secret is in the log: %s", c.why, f.log)
		}
	}
}

func TestGuessingIsSlowedDownAndTheRightfulClientIsNot(t *testing.T) {
	f := newFixture(t, ecKey(t))
	if response, _ := f.post("/adfs/oauth2/token", form()); response.StatusCode != http.StatusOK {
		t.Fatal("the right secret was refused")
	}
	for range failureBurst {
		if response, _ := f.post("/adfs/oauth2/token", form("client_secret", "guess")); response.StatusCode != http.StatusUnauthorized {
			t.Fatalf("an early guess got %d", response.StatusCode)
		}
	}
	response, _ := f.post("/adfs/oauth2/token", form("client_secret", "guess"))
	if response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") != "10" {
		t.Fatalf("the guess after the burst got %d, Retry-After %q", response.StatusCode, response.Header.Get("Retry-After"))
	}
	if response, _ := f.post("/adfs/oauth2/token", form()); response.StatusCode != http.StatusOK {
		t.Errorf("the client whose secret was proved is locked out: %d", response.StatusCode)
	}
	f.clock = f.clock.Add(failureRefill)
	if response, _ := f.post("/adfs/oauth2/token", form("client_secret", "guess")); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("after the wait a guess got %d", response.StatusCode)
	}
}

func TestSecretsThatComeAtOnce(t *testing.T) {
	const attempts = 50
	for _, c := range []struct {
		why  string
		form url.Values
		want map[int]int
	}{
		{"of passwords guessed at once no more are looked at than of those guessed in turn", passwordForm("password", "guess"),
			map[int]int{http.StatusBadRequest: failureBurst, http.StatusTooManyRequests: attempts - failureBurst}},
		{"an application's secrets likewise", form("client_secret", "guess"),
			map[int]int{http.StatusUnauthorized: failureBurst, http.StatusTooManyRequests: attempts - failureBurst}},
		{"right passwords are no guesses", passwordForm(), map[int]int{http.StatusOK: attempts}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, ecKey(t))
			for range maxHashing {
				f.hashing <- struct{}{}
			}
			statuses := make(chan int, attempts)
			for range attempts {
				go func() {
					response, _ := f.post("/adfs/oauth2/token", c.form)
					statuses <- response.StatusCode
				}()
			}
			synctest.Wait()
			for range maxHashing {
				<-f.hashing
			}
			got := map[int]int{}
			for range attempts {
				got[<-statuses]++
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("%s: got %v, want %v", c.why, got, c.want)
			}
		})
	}
}

func TestRightSecretsAreNotCounted(t *testing.T) {
	f := newFixture(t, ecKey(t))
	for range 2 * failureBurst {
		clear(f.proofs)
		if response, _ := f.post("/adfs/oauth2/token", form()); response.StatusCode != http.StatusOK {
			t.Fatalf("a right secret got %d", response.StatusCode)
		}
	}
}

func TestUnknownApplicationsAreCountedTogether(t *testing.T) {
	f := newFixture(t, ecKey(t))
	for i := range failureBurst + 1 {
		want := http.StatusBadRequest
		if i == failureBurst {
			want = http.StatusTooManyRequests
		}
		id := strconv.Itoa(i) + strings.Repeat("x", maxForm/2)
		if response, _ := f.post("/adfs/oauth2/token", form("client_id", id)); response.StatusCode != want {
			t.Errorf("unknown id %d got %d, want %d", i, response.StatusCode, want)
		}
	}
	if len(f.failures.by) != 1 {
		t.Errorf("an address that makes ids up is remembered %d times", len(f.failures.by))
	}
	if response, _ := f.post("/adfs/oauth2/token", form()); response.StatusCode != http.StatusOK {
		t.Errorf("made-up ids lock a real application out: %d", response.StatusCode)
	}
}

func TestFailuresStayBounded(t *testing.T) {
	f := newFailures()
	now := time.Now()
	eager := guesserNamed("eager")
	for range failureBurst {
		f.take(eager, now)
	}
	for i := range 2 * maxGuessers {
		f.take(guesserNamed(strconv.Itoa(i)), now)
	}
	if len(f.by) != maxGuessers {
		t.Errorf("%d guessers are remembered, %d may be", len(f.by), maxGuessers)
	}
	if f.wait(eager, now) == 0 {
		t.Error("a flood of others makes the one who failed often forgotten")
	}
	now = now.Add(failureBurst * failureRefill)
	f.take(guesserNamed("new"), now)
	if len(f.by) != 1 {
		t.Errorf("%d guessers are remembered after all but one are forgiven", len(f.by))
	}
}

func TestVerifyRefusesForgedForeignAndStaleTokens(t *testing.T) {
	key := ecKey(t)
	f := newFixture(t, key)
	app, _ := f.directory.application("app-a")
	sign := func(signer crypto.Signer, change func(*claims)) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: signer}, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := claims{Claims: jwt.Claims{
			Issuer: host + "/adfs", Audience: jwt.Audience{host}, Expiry: jwt.NewNumericDate(f.clock.Add(time.Hour)), NotBefore: jwt.NewNumericDate(f.clock),
		}, TenantID: tenantA, AppID: "App-A", ObjectID: app.ObjectID()}
		change(&c)
		token, err := jwt.Signed(s).Claims(c).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	cases := []struct {
		why  string
		key  crypto.Signer
		edit func(*claims)
		want error
	}{
		{"the baseline is good", key, func(*claims) {}, nil},
		{"signed by another key", ecKey(t), func(*claims) {}, ErrInvalid},
		{"another issuer", key, func(c *claims) { c.Issuer = "https://login.microsoftonline.com/x" }, ErrInvalid},
		{"another tenant's issuer", key, func(c *claims) { c.Issuer = host + "/" + tenantB + "/v2.0" }, ErrInvalid},
		{"another audience", key, func(c *claims) { c.Audience = jwt.Audience{"https://vault.example"} }, ErrInvalid},
		{"no audience", key, func(c *claims) { c.Audience = nil }, ErrInvalid},
		{"expired", key, func(c *claims) { c.Expiry = jwt.NewNumericDate(f.clock.Add(-2 * time.Minute)) }, ErrExpired},
		{"never expires", key, func(c *claims) { c.Expiry = nil }, ErrInvalid},
		{"not valid yet", key, func(c *claims) { c.NotBefore = jwt.NewNumericDate(f.clock.Add(time.Hour)) }, ErrInvalid},
		{"an application that was removed", key, func(c *claims) { c.AppID = "gone" }, ErrInvalid},
		{"a tenant that the application is not in", key, func(c *claims) { c.TenantID = tenantB }, ErrInvalid},
	}
	for _, c := range cases {
		if _, err := f.Verify(sign(c.key, c.edit)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.why, err, c.want)
		}
	}
	for _, raw := range []string{"", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."} {
		if _, err := f.Verify(raw); !errors.Is(err, ErrInvalid) {
			t.Errorf("token %q: got %v", raw, err)
		}
	}
}

func TestDiscovery(t *testing.T) {
	f := newFixture(t, ecKey(t))
	get := func(path string) (int, map[string]any) {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		if !f.Serves(r) {
			t.Fatalf("%s is not served", path)
		}
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		var body map[string]any
		_ = json.NewDecoder(io.Reader(w.Body)).Decode(&body)
		return w.Code, body
	}
	for path, issuer := range map[string]string{
		"/adfs/.well-known/openid-configuration":                 host + "/adfs",
		"/" + tenantA + "/v2.0/.well-known/openid-configuration": host + "/" + tenantA + "/v2.0",
		"/" + tenantB + "/v2.0/.well-known/openid-configuration": host + "/" + tenantB + "/v2.0",
		"/common/v2.0/.well-known/openid-configuration":          host + "/" + tenantA + "/v2.0",
	} {
		status, body := get(path)
		if status != http.StatusOK || body["issuer"] != issuer {
			t.Errorf("%s: %d %v", path, status, body)
		}
		keys, _ := url.Parse(body["jwks_uri"].(string))
		if status, set := get(keys.Path); status != http.StatusOK || len(set["keys"].([]any)) != 1 {
			t.Errorf("%s: keys %d %v", path, status, set)
		} else if key := set["keys"].([]any)[0].(map[string]any); key["d"] != nil {
			t.Error("the private key is published")
		}
	}
	if status, _ := get("/nowhere/v2.0/.well-known/openid-configuration"); status != http.StatusBadRequest {
		t.Errorf("an unknown tenant's configuration: %d", status)
	}
	_, body := get("/common/discovery/instance?authorization_endpoint=" + url.QueryEscape(host+"/"+tenantB+"/oauth2/v2.0/authorize"))
	if body["tenant_discovery_endpoint"] != host+"/"+tenantB+"/v2.0/.well-known/openid-configuration" {
		t.Errorf("instance discovery: %v", body)
	}
	if f.Serves(httptest.NewRequest(http.MethodGet, "/subscriptions", nil)) {
		t.Error("an ARM path is taken for the directory's")
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	key, err := NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, value string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(FileTenantID, tenantA+"\n")
	write(FileClientID, "app\n")
	write(FileSigningKey, string(key))
	write(FileUserName, "ann@berth.internal\n")
	write(FileUserPasswordHash, cheapHash(t, "p"))
	if _, err := Load(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	write(FileClientSecretHash, "plain text")
	if _, err := Load(dir); err == nil {
		t.Error("a secret in the clear was taken for a hash")
	}
	hash, err := HashSecret("s")
	if err != nil {
		t.Fatal(err)
	}
	write(FileClientSecretHash, hash)
	d, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if app, ok := d.application("APP"); !ok || app.TenantID != tenantA {
		t.Errorf("loaded %+v, %v", app, ok)
	}
	if user, ok := d.user("ANN@berth.internal"); !ok || user.TenantID != tenantA {
		t.Errorf("loaded %+v, %v", user, ok)
	}
	parsed, err := parseHash(hash)
	if err != nil || !parsed.matches("s") || parsed.matches("t") {
		t.Errorf("the hash does not tell the secret from another: %v", err)
	}
}

// Engineers are those of the file, and no token makes one: who is not in the file any
// more is refused.
func TestEngineers(t *testing.T) {
	hash := cheapHash(t, secretA)
	directory := func(engineer bool) *Directory {
		made, err := New(ecKey(t), []Application{{TenantID: tenantA, ClientID: "app-a", SecretHash: hash}, {TenantID: tenantA, ClientID: "ann@berth.internal", SecretHash: hash, Engineer: engineer}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	f := newFixture(t, ecKey(t))
	for _, engineer := range []bool{true, false} {
		f.Service = NewService(directory(engineer), host+"/", func() time.Time { return f.clock }, slog.New(slog.DiscardHandler))
		_, body := f.post("/adfs/oauth2/token", form("client_id", "ann@berth.internal"))
		caller, err := f.Verify(body["access_token"].(string))
		if err != nil || caller.Engineer != engineer || caller.Name() != "ann@berth.internal" {
			t.Errorf("engineer %v: %+v, %v", engineer, caller, err)
		}
		_, body = f.post("/adfs/oauth2/token", form())
		if caller, err := f.Verify(body["access_token"].(string)); err != nil || caller.Engineer {
			t.Errorf("a customer is an engineer: %+v, %v", caller, err)
		}
	}
	for _, name := range []string{"", "a b", "-ann", "ann:admin", "ann\nbob x", strings.Repeat("a", 65)} {
		if _, err := New(ecKey(t), []Application{{TenantID: tenantA, ClientID: name, SecretHash: hash, Engineer: true}}, nil); err == nil {
			t.Errorf("%q is an engineer's name", name)
		}
	}
	path := filepath.Join(t.TempDir(), FileEngineers)
	if found, err := loadEngineers(path, tenantA); err != nil || len(found) != 0 {
		t.Errorf("no file: %v, %v", found, err)
	}
	for content, want := range map[string]int{"": 0, "ann " + hash + "\nbob " + hash + "\n": 2, "ann": -1, "ann " + hash + " more": -1} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := loadEngineers(path, tenantA)
		if want < 0 && err == nil || want >= 0 && (err != nil || len(found) != want) {
			t.Errorf("%q: %d engineers, %v", content, len(found), err)
		}
	}
}
