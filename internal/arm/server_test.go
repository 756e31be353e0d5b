package arm

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/identity"
	"berth.dev/berth/internal/operation"
)

const (
	tenant = "22222222-2222-2222-2222-222222222222"
	sub    = "11111111-1111-1111-1111-111111111111"
	origin = "https://berth.test"
)

// bench is a server with one provider whose only route does what a test wants.
type bench struct {
	handler http.Handler
	token   string
	clock   time.Time
	log     bytes.Buffer
	handle  Handler
}

func newBench(t *testing.T) *bench {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		&v1beta1.Subscription{ObjectMeta: metav1.ObjectMeta{Name: sub}, Spec: v1beta1.SubscriptionSpec{TenantID: tenant}}).Build()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := identity.HashSecret("s")
	if err != nil {
		t.Fatal(err)
	}
	directory, err := identity.New(key, []identity.Application{{TenantID: tenant, ClientID: "app", SecretHash: hash}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{clock: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	route := func(method, path string) Route {
		return Route{Method: method, Path: "/subscriptions/{subscription}/providers/Berth.Test/" + path, Type: "things", Handle: func(ctx context.Context, r *Request) (*Response, error) {
			return b.handle(ctx, r)
		}}
	}
	b.handler = NewServer(Config{
		Client: c, APIReader: c, Identity: directory, PublicURL: origin, Locations: []string{"Here"},
		Now: func() time.Time { return b.clock }, Log: slog.New(slog.NewTextHandler(&b.log, nil)),
	}, func(*Server) Provider {
		return Provider{Namespace: "Berth.Test", Versions: []string{"2026-01-01"}, Routes: []Route{route(http.MethodGet, "things/{thing}"), route(http.MethodPut, "things/{thing}")}}
	})
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {"s"}, "scope": {origin + "/.default"}}
	r := httptest.NewRequest(http.MethodPost, "/adfs/oauth2/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	var body struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.AccessToken == "" {
		t.Fatalf("no token: %s", w.Body)
	}
	b.token = body.AccessToken
	return b
}

func (b *bench) do(method, path, body string) (*http.Response, string) {
	r := httptest.NewRequest(method, "/subscriptions/"+sub+"/providers/berth.test/"+path+"?api-version=2026-01-01", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+b.token)
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w.Result(), w.Body.String()
}

func TestErrorsReachTheClientAsTheyShould(t *testing.T) {
	resource := schema.GroupResource{Group: "berth.dev", Resource: "managedclusters"}
	busy := &v1beta1.Operation{Spec: v1beta1.OperationSpec{State: v1beta1.StateScaling, Target: v1beta1.OperationTarget{ResourceID: "/x/agentPools/np1"}}}
	webhook := apierrors.NewInvalid(schema.GroupKind{Kind: "ManagedCluster"}, "c1", field.ErrorList{field.Invalid(field.NewPath("spec"), "x", "is wrong")})
	cases := []struct {
		why    string
		err    error
		status int
		text   string
	}{
		{"an error meant for the client, however deep", fmt.Errorf("a: %w", errors.Join(errors.New("b"), Errorf(418, "Teapot", "short"))), 418, `"code":"Teapot"`},
		{"a held target", fmt.Errorf("begin: %w", &operation.BusyError{Operation: busy}), 409, "(np1 - Scaling)"},
		{"a race", apierrors.NewConflict(resource, "c1", errors.New("changed")), 409, "EtagMismatch"},
		{"what our own webhook refuses", fmt.Errorf("create: %w", webhook), 400, "is wrong"},
		{"what it denies", apierrors.NewForbidden(resource, "c1", errors.New(`admission webhook "x.berth.dev" denied the request: no such size`)), 400, `"message":"no such size"`},
		{"a client that left", context.Canceled, 503, "ServerTimeout"},
		{"anything else tells nothing", errors.New("dial 100.65.0.1: password hunter2"), 500, "InternalServerError"},
		{"not even of our state", apierrors.NewNotFound(resource, "secret-name"), 500, "InternalServerError"},
	}
	b := newBench(t)
	for _, c := range cases {
		b.handle = func(context.Context, *Request) (*Response, error) { return nil, c.err }
		answer, body := b.do(http.MethodGet, "things/a", "")
		if answer.StatusCode != c.status || !strings.Contains(body, c.text) || strings.Contains(body, "hunter2") || strings.Contains(body, "secret-name") {
			t.Errorf("%s: %d %s", c.why, answer.StatusCode, body)
		}
	}
}

func TestPanicBecomesAnErrorThatTheLogExplains(t *testing.T) {
	b := newBench(t)
	b.handle = func(context.Context, *Request) (*Response, error) { panic("index out of range, hunter2") }
	answer, body := b.do(http.MethodGet, "things/a", "")
	id := answer.Header.Get("x-ms-correlation-request-id")
	if answer.StatusCode != 500 || id == "" || !strings.Contains(body, id) || strings.Contains(body, "hunter2") {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	if !strings.Contains(b.log.String(), id) || !strings.Contains(b.log.String(), "hunter2") {
		t.Errorf("the log does not explain %s: %s", id, b.log.String())
	}
}

func TestBodyIsBounded(t *testing.T) {
	b := newBench(t)
	b.handle = func(_ context.Context, r *Request) (*Response, error) { return OK(len(r.body)) }
	if answer, _ := b.do(http.MethodPut, "things/a", strings.Repeat("x", maxBody)); answer.StatusCode != 200 {
		t.Errorf("the largest body: %d", answer.StatusCode)
	}
	if answer, body := b.do(http.MethodPut, "things/a", strings.Repeat("x", maxBody+1)); answer.StatusCode != 413 {
		t.Errorf("one more byte: %d %s", answer.StatusCode, body)
	}
}

func TestParametersKeepTheirCasingAndCode(t *testing.T) {
	b := newBench(t)
	b.handle = func(_ context.Context, r *Request) (*Response, error) { return OK(r.Parameter("thing")) }
	for path, want := range map[string]string{"THINGS/MyThing": "MyThing", "things/a%2Fb": "a/b", "things//x/": "x", "things/%C3%A4": "ä"} {
		if _, body := b.do(http.MethodGet, path, ""); strings.TrimSpace(body) != `"`+want+`"` {
			t.Errorf("%s: got %s, want %s", path, body, want)
		}
	}
}

func TestReadsAreThrottledAndRecover(t *testing.T) {
	b := newBench(t)
	b.handle = func(context.Context, *Request) (*Response, error) { return OK("ok") }
	for i := range readLimit.Burst {
		answer, body := b.do(http.MethodGet, "things/a", "")
		if left := answer.Header.Get("x-ms-ratelimit-remaining-subscription-reads"); answer.StatusCode != 200 || left != fmt.Sprint(readLimit.Burst-1-i) {
			t.Fatalf("read %d: %d, %s left, %s", i, answer.StatusCode, left, body)
		}
	}
	answer, body := b.do(http.MethodGet, "things/a", "")
	if answer.StatusCode != 429 || answer.Header.Get("Retry-After") != "1" || !strings.Contains(body, "SubscriptionRequestsThrottled") {
		t.Errorf("the read after the burst: %d %s", answer.StatusCode, body)
	}
	if answer, _ := b.do(http.MethodPut, "things/a", "{}"); answer.StatusCode != 200 {
		t.Errorf("writes are counted with reads: %d", answer.StatusCode)
	}
	b.clock = b.clock.Add(readLimit.Every)
	if answer, _ := b.do(http.MethodGet, "things/a", ""); answer.StatusCode != 200 {
		t.Errorf("after the refill: %d", answer.StatusCode)
	}
}

func TestLimitsStayBounded(t *testing.T) {
	l := newLimits()
	for i := range maxBuckets + 10 {
		l.take(fmt.Sprint(i), Limit{Burst: 2, Every: time.Hour}, time.Unix(0, 0))
	}
	if len(l.buckets) > maxBuckets {
		t.Errorf("%d buckets, at most %d", len(l.buckets), maxBuckets)
	}
}

func TestAllPagesTogetherAreTheList(t *testing.T) {
	b := newBench(t)
	var server *Server
	b.handle = func(_ context.Context, r *Request) (*Response, error) {
		items := make([]Item, 0, 250)
		for i := range 250 {
			items = append(items, Item{Key: fmt.Sprintf("%03d", (i*7)%250), Body: (i * 7) % 250})
		}
		return server.Page(r, items)
	}
	server = b.handler.(*Server)
	seen, next := 0, "/subscriptions/"+sub+"/providers/Berth.Test/things/a?api-version=2026-01-01&$top=30&kept=yes"
	for pages := 0; next != "" && pages < 20; pages++ {
		r := httptest.NewRequest(http.MethodGet, next, nil)
		r.Header.Set("Authorization", "Bearer "+b.token)
		w := httptest.NewRecorder()
		b.handler.ServeHTTP(w, r)
		var page struct {
			Value    []int
			NextLink string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		for _, got := range page.Value {
			if got != seen {
				t.Fatalf("element %d is %d", seen, got)
			}
			seen++
		}
		if page.NextLink != "" && (!strings.HasPrefix(page.NextLink, origin) || !strings.Contains(page.NextLink, "kept=yes")) {
			t.Fatalf("next link %s", page.NextLink)
		}
		next = strings.TrimPrefix(page.NextLink, origin)
	}
	if seen != 250 {
		t.Errorf("%d elements in all pages, want 250", seen)
	}
}

func TestPreconditions(t *testing.T) {
	cases := []struct {
		why, match, none, current string
		status                    int
	}{
		{"no header", "", "", "e", 0}, {"no header, nothing there", "", "", "", 0},
		{"the right ETag", "e", "", "e", 0}, {"quoted", `"e"`, "", "e", 0}, {"weak", `W/"e"`, "", "e", 0}, {"any", "*", "", "e", 0},
		{"a stale ETag", "old", "", "e", 412}, {"any of nothing", "*", "", "", 412}, {"one of nothing", "e", "", "", 412},
		{"create only", "", "*", "", 0}, {"create what is there", "", "*", "e", 412},
		{"a value in If-None-Match", "", "e", "", 400}, {"both", "e", "*", "e", 400},
	}
	for _, c := range cases {
		r := &Request{Request: httptest.NewRequest(http.MethodPut, "/", nil)}
		r.Header.Set("If-Match", c.match)
		r.Header.Set("If-None-Match", c.none)
		var refusal *Error
		err := r.CheckPreconditions(c.current)
		if errors.As(err, &refusal); (err == nil) != (c.status == 0) || refusal != nil && refusal.Status != c.status {
			t.Errorf("%s: %v, want status %d", c.why, err, c.status)
		}
	}
}

func TestSecretsOfARequestAreNotLogged(t *testing.T) {
	b := newBench(t)
	b.handle = func(context.Context, *Request) (*Response, error) { return nil, errors.New("broken") }
	b.do(http.MethodPut, "things/a", `{"secret":"hunter2"}`)
	if log := b.log.String(); strings.Contains(log, b.token) || strings.Contains(log, "hunter2") {
		t.Errorf("the log holds a secret: %s", log)
	}
}
