package test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	armsupport "berth.dev/berth/internal/arm/support"
	"berth.dev/berth/internal/identity"
	"berth.dev/berth/internal/pki"
	"berth.dev/berth/internal/policy/access"
	"berth.dev/berth/internal/supportaccess"
	"berth.dev/berth/internal/testenv"
)

const (
	deskTenant   = "22222222-2222-2222-2222-222222222222"
	deskCustomer = "customer"
	deskEngineer = "ann@berth.internal"
	deskSecret   = "a-secret-for-tests"
	deskCluster  = "/subscriptions/" + subscription + "/resourceGroups/Group/providers/Microsoft.ContainerService/managedClusters/Demo"
)

// desk is Berth's own ARM server and the way of support, over a world.
type desk struct {
	*world
	server *httptest.Server
	tokens map[string]string
}

// ownServer reaches the only API server that there is, with a certificate of its clients' authority.
type ownServer struct {
	env       *testenv.Env
	authority *pki.Authority
}

func (o ownServer) Backend(_ context.Context, _ *v1beta1.ManagedCluster, user string, until time.Time, known [sha256.Size]byte) (*supportaccess.Backend, bool, error) {
	mark := sha256.Sum256([]byte(user + until.String()))
	if known == mark {
		return nil, true, nil
	}
	config, err := supportaccess.ClientTLS(o.authority, user, time.Now(), until)
	if err != nil {
		return nil, false, err
	}
	config.InsecureSkipVerify = true // as of all of the test's clients
	return &supportaccess.Backend{Address: strings.TrimPrefix(o.env.Config.Host, "https://"), TLS: config, Mark: mark}, false, nil
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	w := newWorld(t)
	env := shared.Env(t)
	authority, err := pki.LoadAuthority(env.ClientCA, env.ClientCAKey)
	if err != nil {
		t.Fatal(err)
	}
	w.front = supportaccess.New(supportaccess.Config{Client: w.client, Reader: w.client, Backends: ownServer{env, authority}, Now: w.now})
	w.bring(&v1beta1.Subscription{ObjectMeta: metav1.ObjectMeta{Name: subscription}, Spec: v1beta1.SubscriptionSpec{DisplayName: "x", TenantID: deskTenant, State: v1beta1.SubscriptionEnabled}})
	d := &desk{world: w, tokens: map[string]string{}, server: httptest.NewUnstartedServer(nil)}
	d.server.StartTLS()
	t.Cleanup(d.server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.server.Certificate().Raw})
	handler := arm.NewServer(arm.Config{
		Client: w.client, APIReader: w.client, Catalogue: catalogue(), Identity: deskDirectory(t), PublicURL: d.server.URL, CA: ca, Now: w.now,
		Log: slog.New(slog.DiscardHandler),
	}, armsupport.New)
	d.server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if supportaccess.Serves(r) {
			w.front.ServeHTTP(rw, r)
			return
		}
		handler.ServeHTTP(rw, r)
	})
	t.Cleanup(func() {
		for _, object := range []client.Object{&v1beta1.SupportAccess{}, &v1beta1.SupportAccessRecord{}, &v1beta1.SupportTicket{}} {
			if err := w.client.DeleteAllOf(context.Background(), object, client.InNamespace(w.namespace)); err != nil {
				t.Error(err)
			}
		}
	})
	return d
}

func deskDirectory(t *testing.T) *identity.Directory {
	t.Helper()
	hash, err := identity.HashSecret(deskSecret)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	directory, err := identity.New(key, []identity.Application{
		{TenantID: deskTenant, ClientID: deskCustomer, SecretHash: hash},
		{TenantID: deskTenant, ClientID: deskEngineer, SecretHash: hash, Engineer: true},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return directory
}

// ask sends a request to ARM and returns the status and the body.
func (d *desk) ask(who, method, path, body string) (int, map[string]any) {
	d.t.Helper()
	if d.tokens[who] == "" {
		answer, err := d.server.Client().PostForm(d.server.URL+"/adfs/oauth2/token", url.Values{
			"grant_type": {"client_credentials"}, "client_id": {who}, "client_secret": {deskSecret}, "scope": {d.server.URL + "/.default"},
		})
		if err != nil {
			d.t.Fatal(err)
		}
		var got struct {
			Token string `json:"access_token"`
		}
		if err := json.NewDecoder(answer.Body).Decode(&got); err != nil || got.Token == "" {
			d.t.Fatalf("log in: %s %v", answer.Status, err)
		}
		answer.Body.Close()
		d.tokens[who] = got.Token
	}
	request, err := http.NewRequestWithContext(d.t.Context(), method, d.server.URL+"/subscriptions/"+subscription+"/providers/Microsoft.Support/supportTickets/"+path+"?api-version=2024-04-01", strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+d.tokens[who])
	answer, err := d.server.Client().Do(request)
	if err != nil {
		d.t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, _ := io.ReadAll(answer.Body)
	var got map[string]any
	_ = json.Unmarshal(raw, &got)
	return answer.StatusCode, got
}

// must is ask for what is to succeed.
func (d *desk) must(who, method, path, body string) map[string]any {
	d.t.Helper()
	status, got := d.ask(who, method, path, body)
	if status >= 300 {
		d.t.Fatalf("%s %s as %s: %d %v", method, path, who, status, got)
	}
	return got
}

func (d *desk) ticket(name string) {
	d.t.Helper()
	d.must(deskCustomer, "PUT", name, `{"properties": {"serviceId": "/providers/Microsoft.Support/services/kubernetes-service",
		"problemClassificationId": "/providers/Microsoft.Support/services/kubernetes-service/problemClassifications/node-not-ready",
		"title": "t", "description": "d", "severity": "minimal", "advancedDiagnosticConsent": "No", "technicalTicketDetails": {"resourceId": "`+deskCluster+`"},
		"contactDetails": {"firstName": "A", "lastName": "L", "preferredContactMethod": "email", "primaryEmailAddress": "a@example.com",
		"preferredTimeZone": "UTC", "country": "DEU", "preferredSupportLanguage": "en-us"}}}`)
}

// access gives an engineer access and waits until the rights are there.
func (d *desk) access(ticket, name, scopes string) *kubernetes.Clientset {
	d.t.Helper()
	d.must(deskEngineer, "PUT", ticket+"/accesses/"+name, `{"properties": {"scopes": [`+scopes+`], "reason": "to see why the node is not ready"}}`)
	d.eventually("the access is active", func() bool { return d.state(name).Status.Granted != nil })
	return d.engineer(ticket, name)
}

func (d *desk) state(name string) *v1beta1.SupportAccess {
	d.t.Helper()
	var found v1beta1.SupportAccess
	if err := d.client.Get(d.t.Context(), client.ObjectKey{Namespace: d.namespace, Name: name}, &found); err != nil {
		d.t.Fatal(err)
	}
	return &found
}

func (d *desk) engineerConfig(ticket, name string) *rest.Config {
	d.t.Helper()
	got := d.must(deskEngineer, "POST", ticket+"/accesses/"+name+"/listCredentials", "")
	raw, err := json.Marshal(got["kubeconfigs"].([]any)[0].(map[string]any)["value"])
	if err != nil {
		d.t.Fatal(err)
	}
	var kubeconfig []byte
	if err := json.Unmarshal(raw, &kubeconfig); err != nil {
		d.t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		d.t.Fatal(err)
	}
	return config
}

func (d *desk) engineer(ticket, name string) *kubernetes.Clientset {
	d.t.Helper()
	clients, err := kubernetes.NewForConfig(d.engineerConfig(ticket, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return clients
}

// rightsAre says whether the role and its binding are there.
func (d *desk) rightsAre() (role, binding bool) {
	d.t.Helper()
	there := func(object client.Object, name string) bool {
		err := d.client.Get(d.t.Context(), client.ObjectKey{Name: name}, object)
		if client.IgnoreNotFound(err) != nil {
			d.t.Fatal(err)
		}
		return err == nil
	}
	return there(&rbacv1.ClusterRole{}, access.RoleName), there(&rbacv1.ClusterRoleBinding{}, access.BindingName)
}

func (d *desk) untilNoRights(why string) {
	d.t.Helper()
	d.eventually(why, func() bool { role, binding := d.rightsAre(); return !role && !binding })
}
