// Package armtest runs the ARM server over a management cluster that exists only
// in memory, with stand-ins for the controllers, so that real clients can be put
// in front of it.
package armtest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/arm/authorization"
	"berth.dev/berth/internal/arm/compute"
	"berth.dev/berth/internal/arm/containerservice"
	"berth.dev/berth/internal/arm/eventgrid"
	"berth.dev/berth/internal/arm/insights"
	"berth.dev/berth/internal/arm/resources"
	"berth.dev/berth/internal/arm/support"
	"berth.dev/berth/internal/identity"
	"berth.dev/berth/internal/release"
)

// Who and what exists in every World.
const (
	TenantID     = "22222222-2222-2222-2222-222222222222"
	ClientID     = "33333333-3333-3333-3333-333333333333"
	ClientSecret = "a-secret-for-tests"
	// UserName is a user of TenantID, whose password is ClientSecret.
	UserName = "someone@berth.internal"
	// OtherTenantID has an application too, which must see nothing of TenantID's.
	OtherTenantID = "44444444-4444-4444-4444-444444444444"
	OtherClientID = "55555555-5555-5555-5555-555555555555"
	// EngineerID is an engineer of support, whose secret is ClientSecret, and
	// OtherEngineerID another one.
	EngineerID      = "ann@berth.internal"
	OtherEngineerID = "bob@berth.internal"
	// The subscriptions: of TenantID, suspended, and of OtherTenantID.
	Subscription          = "11111111-1111-1111-1111-111111111111"
	SuspendedSubscription = "66666666-6666-6666-6666-666666666666"
	OtherSubscription     = "77777777-7777-7777-7777-777777777777"
	// Location is the first of the locations on offer; the other one is eastus.
	Location = "westus2"
	Gateway  = "127.0.0.1:6443"
)

// World is an ARM server and the management cluster behind it.
type World struct {
	Client client.Client
	Server *httptest.Server
	// CAFile holds the certificate that the server's TLS is checked with.
	CAFile string

	offset atomic.Int64
	mu     sync.Mutex
	tokens map[string]string
	failed *v1beta1.OperationError
}

// New starts a World that ends with the test, over an API server in memory.
func New(t testing.TB) *World { return Over(t, newClient(t)) }

// Over starts a World over an API server that knows Berth's kinds and has none of
// their objects.
func Over(t testing.TB, c client.Client) *World {
	t.Helper()
	w := &World{Client: c, tokens: map[string]string{}}
	w.Server = httptest.NewUnstartedServer(nil)
	w.Server.Config.Handler = withHook(arm.NewServer(arm.Config{
		Client: w.Client, APIReader: w.Client, Catalogue: Catalogue(), Identity: directory(t),
		PublicURL: "https://" + w.Server.Listener.Addr().String(), GatewayAddress: Gateway, Now: w.Now,
	}, resources.New, resources.Features, authorization.New, containerservice.New, compute.New, support.New, insights.New, eventgrid.New(nil)))
	w.Server.StartTLS()
	t.Cleanup(w.Server.Close)
	w.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.Server.Certificate().Raw})
	if err := os.WriteFile(w.CAFile, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	w.seed(t)
	return w
}

// Now is the server's clock: the real one, moved by Advance.
func (w *World) Now() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) }

// Advance moves the server's clock.
func (w *World) Advance(by time.Duration) { w.offset.Add(int64(by)) }

// Catalogue has a version in every state: the default is 1.37.2, one before the
// newest, and 1.35.4 has long-term support alone.
func Catalogue() *release.Catalogue {
	return &release.Catalogue{
		NodeImageVersion: "BerthDebian-12containerd-202611.01.0",
		NodeImages: []release.NodeImage{
			nodeImage("BerthDebian-12containerd-202611.01.0", "3.0.17-1~deb12u2"), nodeImage("BerthDebian-12containerd-202610.01.0", "3.0.15-1~deb12u1"),
		},
		Images: map[string]string{"coredns": "registry.berth.internal/berth/coredns:v1.15.0"},
		Builds: []release.Build{
			{Version: "v0.2.0", Built: "2026-11-01T00:00:00Z", Kubernetes: []string{"1.38.0", "1.37.2"}, NodeImage: "BerthDebian-12containerd-202611.01.0", Components: map[string]string{"berth": "v0.2.0", "coredns": "v1.15.0"}},
			{Version: "v0.1.0", Built: "2026-10-01T00:00:00Z", Kubernetes: []string{"1.37.2"}, NodeImage: "BerthDebian-12containerd-202610.01.0", Components: map[string]string{"berth": "v0.1.0", "coredns": "v1.14.0"}},
		},
		Releases: []release.Release{
			{Version: "1.39.0", State: release.Preview},
			{Version: "1.38.0"},
			{Version: "1.37.2", Default: true, Life: release.Life{Released: "2020-01-31", EndOfSupport: "2099-01-31", EndOfLTS: "2099-12-31"}},
			{Version: "1.36.3"},
			{Version: "1.36.1"},
			{Version: "1.35.4", Life: release.Life{Released: "2019-01-31", EndOfSupport: "2020-01-31", EndOfLTS: "2099-12-31"}},
			{Version: "1.32.9"},
		},
	}
}

// nodeImage is a build of the node image with a version of libssl3.
func nodeImage(version, libssl string) release.NodeImage {
	return release.NodeImage{
		Version: version, Built: "2026-11-01T00:00:00Z", Images: map[string]string{"1.37.2": "registry.berth.internal/berth/node-v1.37.2:" + version},
		Packages: map[string]string{"libssl3": libssl, "libc6": "2.36-9+deb12u10"}, Components: map[string]string{"containerd": "2.4.2"},
	}
}

func directory(t testing.TB) *identity.Directory {
	t.Helper()
	hash, err := identity.HashSecret(ClientSecret)
	if err != nil {
		t.Fatal(err)
	}
	var key crypto.Signer
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made, err := identity.New(key,
		[]identity.Application{
			{TenantID: TenantID, ClientID: ClientID, SecretHash: hash},
			{TenantID: OtherTenantID, ClientID: OtherClientID, SecretHash: hash},
			{TenantID: TenantID, ClientID: EngineerID, SecretHash: hash, Engineer: true},
			{TenantID: TenantID, ClientID: OtherEngineerID, SecretHash: hash, Engineer: true},
		},
		[]identity.User{{TenantID: TenantID, Name: UserName, PasswordHash: hash}})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// newClient is an in-memory API server that counts generations and gives UIDs as
// the real one does.
func newClient(t testing.TB) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1beta1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	var uids atomic.Int64
	return fake.NewClientBuilder().WithScheme(scheme).
		WithStatusSubresource(&v1beta1.Advisory{}, &v1beta1.DeletedCluster{}, &v1beta1.ManagedCluster{}, &v1beta1.AgentPool{}, &v1beta1.Machine{}, &v1beta1.Operation{}, &v1beta1.ResourceGroup{},
			&v1beta1.ActivityLogEntry{}, &v1beta1.SupportAccess{}, &v1beta1.EventSubscription{}, &v1beta1.EventDelivery{}, &v1beta1.ComponentRollout{}).
		WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
				object.SetUID(types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", uids.Add(1))))
				object.SetGeneration(1)
				object.SetCreationTimestamp(metav1.NewTime(time.Now().Truncate(time.Second)))
				return c.Create(ctx, object, options...)
			},
			Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
				before := object.DeepCopyObject().(client.Object)
				if err := c.Get(ctx, client.ObjectKeyFromObject(object), before); err == nil && specOf(before) != specOf(object) {
					object.SetGeneration(before.GetGeneration() + 1)
				}
				return c.Update(ctx, object, options...)
			},
		}).Build()
}

func specOf(object client.Object) string {
	raw, _ := json.Marshal(object)
	var parts struct {
		Spec json.RawMessage `json:"spec"`
	}
	_ = json.Unmarshal(raw, &parts)
	return string(parts.Spec)
}

func (w *World) seed(t testing.TB) {
	t.Helper()
	subscription := func(id, name, tenant string, state v1beta1.SubscriptionState) client.Object {
		return &v1beta1.Subscription{ObjectMeta: metav1.ObjectMeta{Name: id}, Spec: v1beta1.SubscriptionSpec{DisplayName: name, TenantID: tenant, State: state}}
	}
	namespace := func(id string) client.Object {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.SubscriptionNamespace(id)}}
	}
	for _, object := range []client.Object{
		namespace(Subscription), namespace(SuspendedSubscription), namespace(OtherSubscription),
		subscription(Subscription, "Tests", TenantID, v1beta1.SubscriptionEnabled),
		subscription(SuspendedSubscription, "Unpaid", TenantID, v1beta1.SubscriptionSuspended),
		subscription(OtherSubscription, "Neighbour", OtherTenantID, v1beta1.SubscriptionEnabled),
		&v1beta1.ServicePolicy{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.ServicePolicyName}, Spec: v1beta1.ServicePolicySpec{
			Locations: []string{Location, "eastus"}, Webhooks: w.webhooks(),
		}},
	} {
		if err := w.Client.Create(context.Background(), object); client.IgnoreAlreadyExists(err) != nil {
			t.Fatal(err)
		}
	}
}

// Wipe removes every object of Berth's kinds, so that another World can start over
// the same API server.
func (w *World) Wipe(t testing.TB) {
	t.Helper()
	ctx := context.Background()
	for _, list := range []client.ObjectList{
		&v1beta1.OperationList{}, &v1beta1.MachineList{}, &v1beta1.AgentPoolList{}, &v1beta1.ManagedClusterList{},
		&v1beta1.SnapshotList{}, &v1beta1.ResourceGroupList{}, &v1beta1.SubscriptionList{}, &v1beta1.ServicePolicyList{},
		&v1beta1.MaintenanceConfigurationList{}, &v1beta1.DeletedClusterList{}, &v1beta1.ManagementLockList{}, &v1beta1.SupportTicketList{},
		&v1beta1.ActivityLogEntryList{}, &v1beta1.EventSubscriptionList{}, &v1beta1.EventDeliveryList{},
		&v1beta1.AdvisoryList{}, &v1beta1.KnownIssueList{},
		&v1beta1.SupportAccessList{}, &v1beta1.SupportAccessRecordList{},
		&v1beta1.VirtualMachineScaleSetList{},
	} {
		if err := w.Client.List(ctx, list); err != nil {
			t.Fatal(err)
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range items {
			object := item.(client.Object)
			object.SetFinalizers(nil)
			if err := w.Client.Update(ctx, object); client.IgnoreNotFound(err) != nil {
				t.Fatal(err)
			}
			if err := w.Client.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
				t.Fatal(err)
			}
		}
	}
}

// Token logs in an application of TenantID or OtherTenantID.
func (w *World) Token(t testing.TB, clientID string) string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if token := w.tokens[clientID]; token != "" {
		return token
	}
	response, err := w.Server.Client().PostForm(w.Server.URL+"/adfs/oauth2/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {clientID}, "client_secret": {ClientSecret}, "scope": {w.Server.URL + "//.default"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("log in %s: %s, %v", clientID, response.Status, err)
	}
	w.tokens[clientID] = body.AccessToken
	return body.AccessToken
}
