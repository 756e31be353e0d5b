package identity

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

func passwordForm(overrides ...string) url.Values {
	values := url.Values{
		"grant_type": {"password"}, "client_id": {azClientID}, "username": {"ann@BERTH.internal"}, "password": {passwordA},
		"scope": {host + "//.default offline_access openid profile"}, "client_info": {"1"},
	}
	for i := 0; i < len(overrides); i += 2 {
		values.Set(overrides[i], overrides[i+1])
	}
	return values
}

func refreshForm(token any, overrides ...string) url.Values {
	values := passwordForm(append([]string{"grant_type", "refresh_token", "refresh_token", token.(string)}, overrides...)...)
	values.Del("username")
	values.Del("password")
	return values
}

func TestUserLogsInAndGoesOnWithoutThePassword(t *testing.T) {
	for _, path := range []string{"/adfs/oauth2/token", "/" + tenantA + "/oauth2/v2.0/token", "/organizations/oauth2/v2.0/token"} {
		f := newFixture(t, ecKey(t))
		response, body := f.post(path, passwordForm())
		if response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", path, response.StatusCode, body)
		}
		caller, err := f.Verify(body["access_token"].(string))
		if err != nil || caller.Name() != userA || caller.ClientID != azClientID || caller.TenantID != tenantA {
			t.Errorf("%s: caller %+v, %v", path, caller, err)
		}
		var id idClaims
		if err := f.parse(body["id_token"].(string), &id); err != nil || id.UPN != userA || !id.Audience.Contains(azClientID) {
			t.Errorf("%s: id token %+v, %v", path, id, err)
		}
		raw, err := base64.RawURLEncoding.DecodeString(body["client_info"].(string))
		var info struct{ UID, UTID string }
		if err != nil || json.Unmarshal(raw, &info) != nil || info.UID != caller.ObjectID || info.UTID != tenantA {
			t.Errorf("%s: client_info %s, %v", path, raw, err)
		}
		for _, name := range []string{"id_token", "refresh_token"} {
			if _, err := f.Verify(body[name].(string)); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: ARM takes the %s for an access token: %v", path, name, err)
			}
		}
		f.clock = f.clock.Add(refreshLifetime - time.Hour)
		response, again := f.post(path, refreshForm(body["refresh_token"]))
		if response.StatusCode != http.StatusOK {
			t.Fatalf("%s: refresh: %d %v", path, response.StatusCode, again)
		}
		if caller, err := f.Verify(again["access_token"].(string)); err != nil || caller.User != userA {
			t.Errorf("%s: refreshed caller %+v, %v", path, caller, err)
		}
		f.clock = f.clock.Add(refreshLifetime - time.Hour)
		if response, body := f.post(path, refreshForm(again["refresh_token"])); response.StatusCode != http.StatusOK {
			t.Errorf("%s: a refresh token that a refresh gave: %d %v", path, response.StatusCode, body)
		}
	}
}

func TestUsersAreRefused(t *testing.T) {
	const adfs = "/adfs/oauth2/token"
	cases := []struct {
		why, path string
		form      url.Values
		code      string
		aadsts    float64
	}{
		{"a wrong password shows the code that az explains", adfs, passwordForm("password", "guess"), "invalid_grant", 50126},
		{"who is no user gets the same answer", adfs, passwordForm("username", "nobody@berth.internal"), "invalid_grant", 50126},
		{"an application is no user", adfs, passwordForm("username", "app-a", "password", secretA), "invalid_grant", 50126},
		{"a user of another tenant", "/" + tenantB + "/oauth2/v2.0/token", passwordForm(), "invalid_grant", 50126},
		{"no password", adfs, passwordForm("password", ""), "invalid_request", 900144},
		{"a client that is not registered for users", adfs, passwordForm("client_id", "App-A"), "unauthorized_client", 700016},
		{"a user's token for a foreign resource", adfs, passwordForm("scope", "https://graph.microsoft.com/.default"), "invalid_resource", 500011},
		{"a refresh token that is none", adfs, refreshForm("a.b.c"), "invalid_grant", 70000},
		{"no refresh token", adfs, refreshForm(""), "invalid_grant", 70000},
		{"a client that refreshes what it did not get", adfs, refreshForm("a.b.c", "client_id", "App-A"), "unauthorized_client", 700016},
	}
	for _, c := range cases {
		f := newFixture(t, ecKey(t))
		response, body := f.post(c.path, c.form)
		codes, _ := body["error_codes"].([]any)
		if response.StatusCode != http.StatusBadRequest || body["error"] != c.code || len(codes) != 1 || codes[0] != c.aadsts || body["access_token"] != nil {
			t.Errorf("%s: got %d %v", c.why, response.StatusCode, body)
		}
		if strings.Contains(f.log.String(), "guess") || strings.Contains(f.log.String(), passwordA) {
			t.Errorf("%s: the password is in the log: %s", c.why, f.log)
		}
	}
}

func TestRefreshTokensAreForgedStaleAndRevoked(t *testing.T) {
	const adfs = "/adfs/oauth2/token"
	key := ecKey(t)
	f := newFixture(t, key)
	ann, _ := f.directory.user(userA)
	cases := []struct {
		why     string
		edit    func(*refreshClaims)
		foreign bool
		aadsts  float64
	}{
		{"the baseline is good", func(*refreshClaims) {}, false, 0},
		{"signed by another key", func(*refreshClaims) {}, true, 70000},
		{"an access token", func(c *refreshClaims) { c.Audience = jwt.Audience{host} }, false, 70000},
		{"never expires", func(c *refreshClaims) { c.Expiry = nil }, false, 70000},
		{"of another client", func(c *refreshClaims) { c.ClientID = "App-A" }, false, 70000},
		{"not valid yet", func(c *refreshClaims) { c.NotBefore = jwt.NewNumericDate(f.clock.Add(time.Hour)) }, false, 70000},
		{"expired", func(c *refreshClaims) { c.Expiry = jwt.NewNumericDate(f.clock.Add(-2 * time.Minute)) }, false, 700082},
		{"of another issuer", func(c *refreshClaims) { c.Issuer = host + "/" + tenantB + "/v2.0" }, false, 50173},
		{"of a user who was removed", func(c *refreshClaims) { c.UPN = "gone@berth.internal" }, false, 50173},
		{"of another user of that name", func(c *refreshClaims) { c.Subject = newGUID() }, false, 50173},
		{"from before the password was changed", func(c *refreshClaims) { c.Password = User{PasswordHash: "old"}.passwordMark() }, false, 50173},
	}
	for _, c := range cases {
		claims := refreshClaims{Claims: jwt.Claims{
			Issuer: host + "/adfs", Subject: ann.ObjectID(), Audience: jwt.Audience{f.refreshAudience()}, Expiry: jwt.NewNumericDate(f.clock.Add(time.Hour)),
		}, ClientID: azClientID, UPN: userA, Password: ann.passwordMark()}
		c.edit(&claims)
		signer := key
		if c.foreign {
			signer = ecKey(t)
		}
		jws, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: signer}, nil)
		if err != nil {
			t.Fatal(err)
		}
		token, err := jwt.Signed(jws).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		response, body := f.post(adfs, refreshForm(token))
		if c.aadsts == 0 {
			if response.StatusCode != http.StatusOK {
				t.Errorf("%s: %d %v", c.why, response.StatusCode, body)
			}
			continue
		}
		if codes, _ := body["error_codes"].([]any); response.StatusCode != http.StatusBadRequest || body["error"] != "invalid_grant" || len(codes) != 1 || codes[0] != c.aadsts {
			t.Errorf("%s: got %d %v", c.why, response.StatusCode, body)
		}
	}
}

func TestGuessingPasswordsIsSlowedDown(t *testing.T) {
	const adfs = "/adfs/oauth2/token"
	f := newFixture(t, ecKey(t))
	f.decoy = cheapHash(t, "nothing")
	for i := range failureBurst {
		name := []string{userA, "nobody@berth.internal"}[i%2]
		if response, _ := f.post(adfs, passwordForm("username", name, "password", "guess")); response.StatusCode != http.StatusBadRequest {
			t.Fatalf("an early guess got %d", response.StatusCode)
		}
	}
	for _, name := range []string{userA, "nobody@berth.internal", "new@berth.internal"} {
		response, _ := f.post(adfs, passwordForm("username", name, "password", "guess"))
		if response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") != "10" {
			t.Errorf("%s: the guess after the burst got %d", name, response.StatusCode)
		}
	}
	if response, _ := f.post(adfs, form()); response.StatusCode != http.StatusOK {
		t.Errorf("guesses at users' passwords lock an application out: %d", response.StatusCode)
	}
}

func TestUsersOfADirectory(t *testing.T) {
	app := Application{TenantID: tenantA, ClientID: "app", SecretHash: cheapHash(t, "s")}
	good := User{TenantID: tenantA, Name: userA, PasswordHash: cheapHash(t, "p")}
	change := func(edit func(*User)) []User {
		user := good
		edit(&user)
		return []User{user}
	}
	for why, users := range map[string][]User{
		"a tenant that nobody is in":      change(func(u *User) { u.TenantID = tenantB }),
		"no name":                         change(func(u *User) { u.Name = "" }),
		"a name without a domain":         change(func(u *User) { u.Name = "ann" }),
		"a name with a space":             change(func(u *User) { u.Name = "an n@berth.internal" }),
		"a password in the clear":         change(func(u *User) { u.PasswordHash = "p" }),
		"the same name twice, case aside": append(change(func(u *User) { u.Name = strings.ToUpper(userA) }), good),
	} {
		if _, err := New(ecKey(t), []Application{app}, users); err == nil {
			t.Errorf("%s is taken", why)
		}
	}
}
