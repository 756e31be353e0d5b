package supportaccess

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"berth.dev/berth/api/v1beta1"
)

const (
	sub        = "11111111-1111-1111-1111-111111111111"
	accessName = "aaaaaaaa-0000-4000-8000-000000000001"
)

// bed is a front before an API server that notes what reaches it.
type bed struct {
	t      *testing.T
	client client.WithWatch
	front  *Front
	server *httptest.Server
	token  string
	// fails makes writes of the record fail.
	fails bool
	// leads is where the API server's answers lead, by the status of that name.
	leads   string
	leadsBy int
	// objects are what the API server answers on some paths.
	objects map[string]string
	reads   atomic.Int32

	mu   sync.Mutex
	seen []*http.Request
}

func (b *bed) Backend(context.Context, *v1beta1.ManagedCluster, string, time.Time, [sha256.Size]byte) (*Backend, bool, error) {
	backend := httptest.NewTLSServer(http.HandlerFunc(b.answer))
	b.t.Cleanup(backend.Close)
	return &Backend{Address: backend.Listener.Addr().String(), TLS: &tls.Config{InsecureSkipVerify: true}, Mark: [32]byte{1}}, false, nil
}

// answer plays the API server: a stream gives back what it gets, anything else an answer.
func (b *bed) answer(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.seen = append(b.seen, r)
	b.mu.Unlock()
	if r.Header.Get("Upgrade") == "" {
		if b.leadsBy != 0 {
			w.Header().Set("Location", b.leads)
			w.WriteHeader(b.leadsBy)
			return
		}
		if text, there := b.objects[r.URL.Path]; there {
			fmt.Fprint(w, text)
			return
		}
		fmt.Fprint(w, "{}")
		return
	}
	conn, buffer, err := w.(http.Hijacker).Hijack()
	if err != nil {
		b.t.Error(err)
		return
	}
	defer conn.Close()
	fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+r.Header.Get("Upgrade")+"\r\n\r\n")
	_, _ = io.Copy(conn, buffer)
}

func newBed(t *testing.T, scopes ...v1beta1.SupportScope) *bed {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t}
	token, kept := NewToken()
	b.token = token
	namespace := v1beta1.SubscriptionNamespace(sub)
	id := "/subscriptions/" + sub + "/resourceGroups/rg1/providers/Microsoft.ContainerService/managedClusters/c1"
	name := v1beta1.ObjectName("rg1", "c1")
	ago, later := metav1.NewTime(time.Now().Add(-time.Minute).Truncate(time.Second)), metav1.NewTime(time.Now().Add(time.Hour).Truncate(time.Second))
	objects := []client.Object{
		&v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1beta1.ManagedClusterSpec{ID: "id"}},
		&v1beta1.SupportTicket{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "t1"}, Spec: v1beta1.SupportTicketSpec{
			Name: "t1", TicketID: "ticket", Status: v1beta1.TicketOpen, ResourceID: id, AdvancedDiagnosticConsent: true, Consent: &v1beta1.SupportConsent{Scopes: scopes},
		}},
		&v1beta1.SupportAccess{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: accessName, UID: "uid"}, Spec: v1beta1.SupportAccessSpec{
			Ticket: "t1", TicketID: "ticket", Cluster: name, ClusterID: "id", Engineer: "ann", Scopes: scopes, Created: ago, Expires: later, Token: kept,
		}},
	}
	b.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if b.fails {
				return errors.New("no room in etcd")
			}
			return c.Create(ctx, o, opts...)
		},
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			b.reads.Add(1)
			return c.Get(ctx, key, o, opts...)
		},
	}).Build()
	b.front = New(Config{Client: b.client, Reader: b.client, Backends: b})
	b.server = httptest.NewServer(b.front)
	t.Cleanup(b.server.Close)
	return b
}

func (b *bed) request(method, path string, header http.Header) (int, string) {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, b.server.URL+Path(sub, accessName)+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	request.Header = http.Header{"Authorization": {"Bearer " + b.token}}
	for name, values := range header {
		request.Header[name] = values
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

func (b *bed) access() *v1beta1.SupportAccess {
	b.t.Helper()
	var found v1beta1.SupportAccess
	if err := b.client.Get(b.t.Context(), client.ObjectKey{Namespace: v1beta1.SubscriptionNamespace(sub), Name: accessName}, &found); err != nil {
		b.t.Fatal(err)
	}
	return &found
}

func (b *bed) record() []v1beta1.SupportRequest {
	b.t.Helper()
	all, err := Record(b.t.Context(), b.client, &v1beta1.SupportAccess{ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.SubscriptionNamespace(sub), Name: accessName}})
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

func (b *bed) until(what string, met func() bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-ctx.Done():
			b.t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

// Whose credential is not the access's gets the same answer, whatever is wrong with it.
func TestStrangers(t *testing.T) {
	b := newBed(t, v1beta1.ScopeDiagnose)
	for why, header := range map[string]http.Header{
		"no credential": {"Authorization": nil}, "another one": {"Authorization": {"Bearer x"}}, "a password": {"Authorization": {"Basic x"}},
		"what is kept of it": {"Authorization": {"Bearer " + hashed(b.token)}},
	} {
		if status, _ := b.request("GET", "/api/v1/pods", header); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", why, status)
		}
	}
	reads := b.reads.Load()
	for _, path := range []string{
		"/supportAccess/", "/supportAccess/x/y", Path("../x", "y") + "/api", Path("x", accessName) + "/api", Path(sub, strings.Repeat("a", 5000)) + "/api",
		Path(sub, "%61aaaaaaa-0000-4000-8000-000000000001") + "/api", Path(sub, "") + "/api", Path(sub, "aaaaaaaa-0000-4000-8000-000000000002") + "/api",
	} {
		request := httptest.NewRequest("GET", "http://x"+path, nil)
		request.Header.Set("Authorization", "Bearer "+b.token)
		w := httptest.NewRecorder()
		if b.front.ServeHTTP(w, request); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if looks := b.reads.Load() - reads; looks != 1 {
		t.Errorf("%d looks for accesses, want one for the one address that could be of one", looks)
	}
	b.front.Engineer = func(name string) bool { return name != "ann" }
	if status, _ := b.request("GET", "/api/v1/pods", nil); status != http.StatusUnauthorized {
		t.Errorf("an engineer who is none any more: %d", status)
	}
	if len(b.seen) > 0 || len(b.record()) > 0 {
		t.Errorf("%d requests of strangers went on, %d were recorded", len(b.seen), len(b.record()))
	}
}

// What a sender could be taken for somebody else by does not go on; the audit id does.
func TestWhatGoesOn(t *testing.T) {
	b := newBed(t, v1beta1.ScopeDiagnose)
	status, text := b.request("GET", "/api/v1/pods?limit=5", http.Header{
		"Impersonate-User": {"admin"}, "Impersonate-Extra-A": {"b"}, "X-Remote-User": {"admin"}, "Audit-Id": {"forged"}, "Cookie": {"a=b"},
		"X-Real-Ip": {"192.0.2.1"}, "X-Forwarded-For": {"192.0.2.1"}, "Forwarded": {"for=192.0.2.1"},
	})
	if status != http.StatusOK || text != "{}" || len(b.seen) != 1 {
		t.Fatalf("%d %s, %d went on", status, text, len(b.seen))
	}
	on := b.seen[0]
	for _, name := range []string{"Authorization", "Impersonate-User", "Impersonate-Extra-A", "X-Remote-User", "Cookie", "X-Real-Ip", "X-Forwarded-For", "Forwarded"} {
		if on.Header.Get(name) != "" {
			t.Errorf("%s goes on", name)
		}
	}
	b.until("the end is recorded", func() bool { all := b.record(); return len(all) == 1 && all[0].Ended != nil })
	one := b.record()[0]
	if on.Header.Get("Audit-Id") != one.ID || on.URL.RequestURI() != "/api/v1/pods?limit=5" || one.URI != "/api/v1/pods?limit=5" || one.Code != 200 || one.Engineer != "ann" {
		t.Errorf("%s with audit id %s; recorded %+v", on.URL.RequestURI(), on.Header.Get("Audit-Id"), one)
	}
}

// What cannot be written down does not go on (X5), and neither does what there is no room for.
func TestNothingGoesOnUnrecorded(t *testing.T) {
	b := newBed(t, v1beta1.ScopeDiagnose)
	b.fails = true
	if status, text := b.request("GET", "/api/v1/pods", nil); status != http.StatusServiceUnavailable || strings.Contains(text, "etcd") {
		t.Errorf("a record that cannot be written: %d %s", status, text)
	}
	b.fails = false
	if len(b.seen) > 0 {
		t.Error("an unrecorded request went on")
	}
	most := int32(pageSize + 5)
	if err := b.client.Create(t.Context(), &v1beta1.ServicePolicy{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.ServicePolicyName}, Spec: v1beta1.ServicePolicySpec{
		SupportAccess: &v1beta1.SupportAccessPolicy{MaxRequests: &most},
	}}); err != nil {
		t.Fatal(err)
	}
	b.front = New(Config{Client: b.client, Reader: b.client, Backends: b}) // another process
	b.server.Config.Handler = b.front
	var all sync.WaitGroup
	statuses := make(chan int, most)
	for range most {
		all.Go(func() {
			status, _ := b.request("GET", "/api/v1/pods", nil)
			statuses <- status
		})
	}
	all.Wait()
	close(statuses)
	for status := range statuses {
		if status != http.StatusOK {
			t.Errorf("a request within the bound: %d", status)
		}
	}
	if status, text := b.request("GET", "/api/v1/pods", nil); status != http.StatusTooManyRequests || !strings.Contains(text, "another access") {
		t.Errorf("one more than there is room for: %d %s", status, text)
	}
	b.until("all ends are recorded, over more than a page", func() bool {
		record := b.record()
		for i := range record {
			if record[i].Ended == nil || record[i].Code != 200 {
				return false
			}
		}
		return len(record) == int(most)
	})
}

// stream opens a stream that gives back what it gets.
func (b *bed) stream() (net.Conn, *bufio.Reader) {
	b.t.Helper()
	conn, err := net.Dial("tcp", b.server.Listener.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST %s/api/v1/namespaces/a/pods/b/exec?command=id HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n", Path(sub, accessName), b.token)
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		b.t.Fatalf("%+v %v", answer, err)
	}
	b.goesOn(conn, reader)
	return conn, reader
}

func (b *bed) goesOn(conn net.Conn, reader *bufio.Reader) {
	b.t.Helper()
	fmt.Fprint(conn, "hello\n")
	if line, err := reader.ReadString('\n'); line != "hello\n" {
		b.t.Fatalf("the stream gives back %q, %v", line, err)
	}
}

func (b *bed) isCut(conn net.Conn, reader *bufio.Reader) {
	b.t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := reader.ReadByte(); !errors.Is(err, io.EOF) {
		b.t.Errorf("the stream goes on: %v", err)
	}
}

// What came with a credential is cut when that is replaced. What came with the new one
// goes on, also where the follower does not know of that yet.
func TestReplacedCredentialsAreCut(t *testing.T) {
	b := newBed(t, v1beta1.ScopeDiagnose, v1beta1.ScopeExec)
	conn, reader := b.stream()
	before := b.access()
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(before)}
	follow := follower{b.front, b.client}
	if _, err := follow.Reconcile(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	b.goesOn(conn, reader)
	changed := before.DeepCopy()
	b.token, changed.Spec.Token = NewToken()
	if err := b.client.Update(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	newConn, newReader := b.stream()
	if err := b.front.replaced(t.Context(), before); err != nil { // as a cache that lags has it
		t.Fatal(err)
	}
	if _, err := follow.Reconcile(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	b.isCut(conn, reader)
	b.goesOn(newConn, newReader)
}

// A stream, such as that of a command, is cut when the access ends.
func TestStreamsAreCut(t *testing.T) {
	b := newBed(t, v1beta1.ScopeDiagnose, v1beta1.ScopeExec)
	conn, reader := b.stream()
	key := client.ObjectKey{Namespace: v1beta1.SubscriptionNamespace(sub), Name: "t1"}
	var ticket v1beta1.SupportTicket
	if err := b.client.Get(t.Context(), key, &ticket); err != nil {
		t.Fatal(err)
	}
	ticket.Spec.Status = v1beta1.TicketClosed
	if err := b.client.Update(t.Context(), &ticket); err != nil {
		t.Fatal(err)
	}
	follow := follower{b.front, b.client}
	if requests := Related(b.client)(t.Context(), &ticket); len(requests) != 1 {
		t.Fatalf("the ticket is related to %v", requests)
	} else if _, err := follow.Reconcile(t.Context(), requests[0]); err != nil {
		t.Fatal(err)
	}
	b.isCut(conn, reader)
	b.until("its end is recorded", func() bool { all := b.record(); return len(all) == 1 && all[0].Ended != nil && all[0].Code == 101 })
	status, text := b.request("GET", "/api/v1/pods", nil)
	var answered metav1.Status
	if err := json.Unmarshal([]byte(text), &answered); err != nil || status != http.StatusForbidden || !strings.Contains(answered.Message, "C7") {
		t.Errorf("a request after the end: %d %s", status, text)
	}
}

// What is refused is recorded, and the refusal says why.
func TestRefusalsAreRecorded(t *testing.T) {
	b := newBed(t, v1beta1.ScopeDiagnose)
	for path, word := range map[string]string{"/api/v1/secrets": "C7", "/api/v1/nodes/n/proxy/logs/x": "NodeLogs", "/api/v1/nodes/n/proxy/logs/%2e%2e/run": "more than one way", "/api/v1%2Fpods": "more than one way"} {
		if status, text := b.request("GET", path, nil); status != http.StatusForbidden || !strings.Contains(text, word) {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if len(b.seen) > 0 || len(b.record()) != 4 {
		t.Errorf("%d went on, %d recorded", len(b.seen), len(b.record()))
	}
	for _, one := range b.record() {
		if strings.HasSuffix(one.URI, "pods") && one.URI != "/api/v1%2Fpods" {
			t.Errorf("recorded is %s, which is not what was sent", one.URI)
		}
		if one.Refused == "" || one.Code != http.StatusForbidden || one.Ended == nil {
			t.Errorf("recorded: %+v", one)
		}
	}
}

// Who goes on asking after the end is refused, and seen by the customer (X5): as often as
// there is room for, also by a process that comes later.
func TestRequestsAfterTheEndAreRecorded(t *testing.T) {
	b := newBed(t, v1beta1.ScopeDiagnose)
	if status, _ := b.request("GET", "/api/v1/pods", nil); status != http.StatusOK {
		t.Fatal(status)
	}
	ended := b.access()
	at := metav1.Now()
	ended.Status.Ended, ended.Status.Clause, ended.Status.Message = &at, "C7", "it was ended by bob"
	if err := b.client.Update(t.Context(), ended); err != nil {
		t.Fatal(err)
	}
	ask := func(times int) {
		t.Helper()
		for range times {
			if status, text := b.request("GET", "/api/v1/nodes", nil); status != http.StatusForbidden || !strings.Contains(text, "ended by bob") {
				t.Fatalf("%d %s", status, text)
			}
		}
	}
	ask(3)
	b.until("the requests are recorded", func() bool { return len(b.record()) == 4 })
	for _, one := range b.record() {
		if one.URI == "/api/v1/nodes" && (one.Code != http.StatusForbidden || one.Ended == nil || one.Engineer != "ann" || !strings.Contains(one.Refused, "ended by bob")) {
			t.Errorf("recorded: %+v", one)
		}
	}
	b.front = New(Config{Client: b.client, Reader: b.client, Backends: b}) // another process
	b.server.Config.Handler = b.front
	ask(lateRequests + 2)
	if got := len(b.record()); got != lateRequests+1 || len(b.seen) != 1 {
		t.Errorf("%d recorded, want %d and the one before the end; %d went on", got, lateRequests, len(b.seen))
	}
	b.fails = true
	b.front.records.drop(client.ObjectKeyFromObject(ended))
	ask(1)
}

// In kube-system the narrowest scope is for what is Berth's own: the customer's may be there too.
func TestTheCustomersInKubeSystem(t *testing.T) {
	const system = "/api/v1/namespaces/kube-system"
	objects := map[string]string{
		system + "/pods/coredns":       `{"metadata":{"labels":{"kubernetes.azure.com/managedby":"aks"}}}`,
		system + "/pods/mine":          `{"metadata":{"labels":{"app":"mine"}}}`,
		system + "/configmaps/coredns": `{"metadata":{"labels":{"kubernetes.azure.com/managedby":"aks"}}}`,
		system + "/configmaps/mine":    `{"metadata":{"name":"mine"},"data":{"password":"x"}}`,
	}
	b := newBed(t, v1beta1.ScopeDiagnose)
	b.objects = objects
	for path, want := range map[string]int{"/pods/coredns/log?tailLines=5": 200, "/pods/mine/log": 403, "/pods/gone/log": 403, "/configmaps/coredns": 200, "/configmaps/mine": 403} {
		if status, text := b.request("GET", system+path, nil); status != want || strings.Contains(text, "password") || want == 403 && !strings.Contains(text, "B2") {
			t.Errorf("%s: %d %s, want %d", path, status, text, want)
		}
	}
	b.until("all is recorded", func() bool {
		return len(b.record()) == 5 && !slices.ContainsFunc(b.record(), func(one v1beta1.SupportRequest) bool { return one.Ended == nil })
	})
	for _, one := range b.record() {
		if refused := strings.Contains(one.URI, "mine") || strings.Contains(one.URI, "gone"); refused != (one.Refused != "") || refused != (one.Code == http.StatusForbidden) {
			t.Errorf("recorded: %+v", one)
		}
	}
	with := newBed(t, v1beta1.ScopeDiagnose, v1beta1.ScopeContainerLogs)
	with.objects = objects
	if status, text := with.request("GET", system+"/pods/mine/log", nil); status != http.StatusOK {
		t.Errorf("logs of the customer's with consent to them: %d %s", status, text)
	}
	if status, _ := with.request("GET", system+"/configmaps/mine", nil); status != http.StatusForbidden {
		t.Errorf("no scope is for the customer's configuration: %d", status)
	}
}

// A client is led nowhere: it would take its credential along. What has not changed is no
// other address.
func TestNobodyIsLedAway(t *testing.T) {
	b := newBed(t, v1beta1.ScopeDiagnose, v1beta1.ScopeNodeLogs)
	foreign := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a client was led away") }))
	defer foreign.Close()
	b.leads = foreign.URL
	for status, want := range map[int]int{301: 502, 302: 502, 303: 502, 307: 502, 308: 502, 300: 502, 304: 304} {
		b.leadsBy = status
		request := httptest.NewRequest("GET", Path(sub, accessName)+"/api/v1/nodes/n/proxy/logs/x", nil)
		request.Header.Set("Authorization", "Bearer "+b.token)
		w := httptest.NewRecorder()
		if b.front.ServeHTTP(w, request); w.Code != want || want != status && w.Header().Get("Location") != "" {
			t.Errorf("%d is answered as %d, to %q", status, w.Code, w.Header().Get("Location"))
		}
		if got, _ := b.request("GET", "/api/v1/nodes/n/proxy/logs/x", nil); got != want {
			t.Errorf("%d is %d to a client", status, got)
		}
	}
	b.until("what the cluster answered is recorded", func() bool {
		return !slices.ContainsFunc(b.record(), func(one v1beta1.SupportRequest) bool { return one.Code < 300 || one.Code > 308 })
	})
}
