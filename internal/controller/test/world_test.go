package test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"berth.dev/berth/api/v1beta1"
	activitycontroller "berth.dev/berth/internal/controller/activity"
	"berth.dev/berth/internal/controller/addon"
	"berth.dev/berth/internal/controller/advisory"
	"berth.dev/berth/internal/controller/agentpool"
	"berth.dev/berth/internal/controller/autoupgrade"
	"berth.dev/berth/internal/controller/cluster"
	"berth.dev/berth/internal/controller/courier"
	"berth.dev/berth/internal/controller/deletedcluster"
	machinecontroller "berth.dev/berth/internal/controller/machine"
	operationcontroller "berth.dev/berth/internal/controller/operation"
	"berth.dev/berth/internal/controller/resourcegroup"
	"berth.dev/berth/internal/controller/rollout"
	"berth.dev/berth/internal/controller/space"
	"berth.dev/berth/internal/controller/support"
	accesscontroller "berth.dev/berth/internal/controller/supportaccess"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/inspect"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/machine/memory"
	"berth.dev/berth/internal/preflight"
	"berth.dev/berth/internal/release"
	"berth.dev/berth/internal/supportaccess"
	"berth.dev/berth/internal/testenv"
)

const (
	subscription = "00000000-0000-0000-0000-000000000001"
	clusterID    = "abcdefghijkl"
)

// shared replaces the pods of a StatefulSet as Kubernetes did up to 1.36, which the management
// cluster may be: one after the other, each once the one before is ready, whatever the others are.
var shared = testenv.Shared{Options: testenv.Options{Controllers: testenv.DefaultControllers, ControllerGates: "MaxUnavailableStatefulSet=false"}}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	logger := logr.Discard()
	if os.Getenv("BERTH_TEST_LOG") != "" {
		logger = logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, nil))
	}
	log.SetLogger(logger) // the first call alone counts
	defer shared.Stop()
	return m.Run()
}

func catalogue() *release.Catalogue {
	return &release.Catalogue{
		Releases: []release.Release{
			{Version: "1.37.2", State: release.Supported, Default: true, KubeImage: "kube:v1.37.2", NodeImage: "node-v1.37.2:1"},
			{Version: "1.36.3", State: release.Supported, KubeImage: "kube:v1.36.3", NodeImage: "node-v1.36.3:1"},
		},
		NodeImageVersion: "BerthDebian-12containerd-202611.22.0",
		Images: map[string]string{
			"etcd": "etcd:v1", "etcd-snapshot": "etcd-snapshot:v1", "coredns": "coredns:v1", "konnectivity-server": "konnectivity-server:v1",
			"konnectivity-agent": "konnectivity-agent:v1", "metrics-server": "metrics-server:v1", "berth-node": "berth-node:v1",
		},
	}
}

// world is what outlives the process under test: the API server, the machines and
// the kubelets on them.
type world struct {
	t      *testing.T
	client client.WithWatch
	// platform is Berth's own client of the managed cluster; the test's is the customer's.
	platform  client.WithWatch
	namespace string
	machines  *memory.Provider

	// nextGuard is what a life that follows a killed one gets.
	nextGuard func() *guard

	// ahead is what the test adds to the real time, in nanoseconds.
	ahead atomic.Int64
	// later is what it adds for the maintenance calendar alone.
	later atomic.Int64
	// leapt is what it adds for the support policy alone, as a clock that leaps does.
	leapt atomic.Int64

	mu      sync.Mutex
	process *process
	deaths  []string
	// sick says which pods of a control plane do not do their work; nil is none.
	sick func(*corev1.Pod) bool
	// awaits: a sick etcd has found no data and waits for them; else it ends at each start.
	awaits bool
	// stranded is the claim whose volume no node has; empty is none.
	stranded types.UID
	// ill says which machines' nodes are NotReady; nil is none.
	ill func(machine.Observation) bool
	// restored are the snapshots that were put back.
	restored map[string]bool
	// etcd plays the membership of a hosted etcd.
	etcd *hostedEtcd
	// report is what a proof of backups says.
	report string
	// dataOf is what is found of the data in a member's claim.
	dataOf map[string]string
	// backupCA has the controllers recover etcd's data; none if empty.
	backupCA []byte
	// away: the API server does not answer.
	away atomic.Bool
	// coreDNS is the image that the next life brings, if it is another.
	coreDNS string
	// etcdImage is the image that the next life brings, if it is another, and lostImage one that
	// nobody has any more.
	etcdImage, lostImage string
	// front is the way of support, if a test has one.
	front *supportaccess.Front
}

// process is one life of the controllers.
type process struct {
	guard  *guard
	client client.Client
	cancel context.CancelFunc
	ended  chan struct{}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	env := shared.Env(t)
	c, err := env.Client()
	if err != nil {
		t.Fatal(err)
	}
	platform, err := clientAs(env, controlplane.PlatformUser, "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, client: c, platform: platform, namespace: v1beta1.SubscriptionNamespace(subscription), machines: memory.New(), restored: map[string]bool{}}
	w.machines.Prompt = true
	w.dataOf = map[string]string{}
	w.etcd = &hostedEtcd{w: w, before: map[string]types.UID{}}
	w.nextGuard = func() *guard { return newGuard(0, c) }
	w.ensure(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		wait.UntilWithContext(ctx, func(ctx context.Context) { w.kubelets(ctx); w.hostedPods(ctx) }, 30*time.Millisecond)
	}()
	t.Cleanup(func() { w.stop(); cancel(); <-done; w.checkLeft(); w.forget() })
	return w
}

// forget empties the activity log: tests use the same names of operations. It forgets
// rollouts too.
func (w *world) forget() {
	if err := w.client.DeleteAllOf(context.Background(), &v1beta1.ComponentRollout{}); err != nil {
		w.t.Error(err)
	}
	if err := w.client.DeleteAllOf(context.Background(), &v1beta1.ActivityLogEntry{}, client.InNamespace(w.namespace)); err != nil {
		w.t.Error(err)
	}
}

// checkLeft complains about a cluster that a test leaves to the next one.
func (w *world) checkLeft() {
	var left v1beta1.ManagedClusterList
	if err := w.client.List(context.Background(), &left); err != nil || len(left.Items) > 0 && !w.t.Failed() {
		w.t.Errorf("%d clusters are left (%v)", len(left.Items), err)
	}
}

func (w *world) ensure(object client.Object) {
	w.t.Helper()
	if err := w.client.Create(w.t.Context(), object); err != nil && !apierrors.IsAlreadyExists(err) {
		w.t.Fatal(err)
	}
}

// start gives the controllers a new life, which ends at the guard's side effect.
func (w *world) start(g *guard) *process {
	w.t.Helper()
	p := &process{guard: g, ended: make(chan struct{})}
	env := shared.Env(w.t)
	mgr, err := ctrl.NewManager(env.Config, ctrl.Options{
		Scheme:     env.Scheme,
		Metrics:    server.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: ptr(true)},
		Cache:      cache.Options{ByObject: cluster.CacheOptions()},
		Client:     client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}}},
		NewClient: func(config *rest.Config, options client.Options) (client.Client, error) {
			made, err := client.New(config, options)
			if err != nil {
				return nil, err
			}
			return g.wrap(watchable{made, w.client}), nil
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.setUp(mgr, g)
	p.client = mgr.GetClient()
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() {
		select {
		case <-g.dead:
			cancel()
		case <-ctx.Done():
		}
	}()
	go func() {
		defer close(p.ended)
		if err := mgr.Start(ctx); err != nil && ctx.Err() == nil {
			w.t.Errorf("manager: %v", err)
		}
	}()
	w.mu.Lock()
	w.process = p
	w.mu.Unlock()
	return p
}

// setUp registers every controller. A new one joins the crash sweep here.
func (w *world) setUp(mgr ctrl.Manager, g *guard) {
	w.t.Helper()
	versions, tenants := catalogue(), tenants{withoutAggregation(g.wrap(w.platform)), &w.away}
	if w.coreDNS != "" {
		versions.Images["coredns"] = w.coreDNS
	}
	if w.etcdImage != "" {
		versions.Images["etcd"] = w.etcdImage
	}
	for _, err := range []error{
		cluster.Setup(mgr, cluster.Config{Catalogue: versions, GatewayURL: "https://127.0.0.1:6443", Tenants: tenants, Members: members{w.etcd, g}, BackupCA: w.backupCA, LooksApart: 300 * time.Millisecond}),
		space.Setup(mgr, space.Config{Store: "file:///backups", Etcd: members{w.etcd, g}, Metrics: prometheus.NewRegistry(), Now: w.now}),
		addon.Setup(mgr, addon.Config{Catalogue: versions, Tenants: tenants}),
		rollout.Setup(mgr, rollout.Config{Catalogue: versions, Metrics: prometheus.NewRegistry(), Now: w.now}),
		deletedcluster.Setup(mgr, deletedcluster.Config{Log: slog.New(slog.DiscardHandler), Now: w.now}),
		autoupgrade.Setup(mgr, autoupgrade.Config{Catalogue: versions, Preflight: preflight.Reader{Management: w.client, Tenants: tenants}, Now: w.today}),
		support.Setup(mgr, support.Config{
			Catalogue: versions, Metrics: prometheus.NewRegistry(), Now: w.supportNow, Webhooks: inspect.Reader{Tenants: tenants}.SystemWebhooks,
		}),
		advisory.Setup(mgr, advisory.Config{Catalogue: versions, Now: w.now}),
		agentpool.Setup(mgr, agentpool.Config{Catalogue: versions, Now: w.now}),
		machinecontroller.Setup(mgr, machinecontroller.Config{
			Provider: provider{w.machines, g}, Tenants: tenants, Catalogue: versions,
			RegistryAddress: "https://100.65.0.5:5000", RegistryCA: []byte("ca"), Now: w.now,
		}),
		operationcontroller.Setup(mgr, operationcontroller.Config{ServerGrace: 300 * time.Millisecond}),
		resourcegroup.Setup(mgr, resourcegroup.Config{}),
		activitycontroller.Setup(mgr, activitycontroller.Config{Now: w.now}),
		courier.Setup(mgr, courier.Config{Now: w.now}),
		accesscontroller.Setup(mgr, accesscontroller.Config{Tenants: tenants, Now: w.now}),
	} {
		if err != nil {
			w.t.Fatal(err)
		}
	}
	if w.front != nil {
		if err := w.front.SetupWithManager(mgr); err != nil {
			w.t.Fatal(err)
		}
	}
}

// stop ends the current life as an ordinary shutdown does.
func (w *world) stop() {
	w.mu.Lock()
	p := w.process
	w.process = nil
	w.mu.Unlock()
	if p != nil {
		p.cancel()
		<-p.ended
	}
}

// kubelets plays the node of every machine that runs.
func (w *world) kubelets(ctx context.Context) {
	for ref := range w.machines.Machines() {
		seen, err := w.machines.Observe(ctx, ref)
		if err != nil || seen.State != machine.Running {
			continue
		}
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: ref.Name}}
		if err := w.client.Get(ctx, client.ObjectKeyFromObject(node), node); apierrors.IsNotFound(err) {
			if err := w.client.Create(ctx, node); err != nil {
				continue
			}
			if now, err := w.machines.Observe(ctx, ref); err == nil && now.State != machine.Running {
				_ = w.client.Delete(ctx, node) // its machine went meanwhile, and whoever removes nodes had seen none
				continue
			}
		}
		w.endPods(ctx, ref.Name)
		ready := w.readiness(seen)
		if len(node.Status.Addresses) > 0 && node.Status.Addresses[0].Address == seen.Address && node.Status.Conditions[0].Status == ready {
			continue
		}
		node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: seen.Address}}
		node.Status.Conditions = []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: ready, Reason: "KubeletReady",
			LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(),
		}}
		_ = w.client.Status().Update(ctx, node) // again in a moment if it failed
	}
}

func (w *world) readiness(seen machine.Observation) corev1.ConditionStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ill != nil && w.ill(seen) {
		return corev1.ConditionFalse
	}
	return corev1.ConditionTrue
}

// endPods lets evicted pods of a node end, as its kubelet would.
func (w *world) endPods(ctx context.Context, node string) {
	var pods corev1.PodList
	if err := w.client.List(ctx, &pods, client.MatchingFields{"spec.nodeName": node}); err != nil {
		return
	}
	for i := range pods.Items {
		if pods.Items[i].DeletionTimestamp != nil {
			_ = w.client.Delete(ctx, &pods.Items[i], client.GracePeriodSeconds(0)) // again in a moment if it failed
		}
	}
}

// now is the time of the controllers under test.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

// tenants stands in for every cluster's API server.
type tenants struct {
	client client.WithWatch
	away   *atomic.Bool // nil if it always answers
}

func (t tenants) Client(context.Context, string) (client.WithWatch, error) { return t.client, nil }
func (t tenants) Drop(string)                                              {}

func (t tenants) Ready(context.Context, string) error {
	if t.away != nil && t.away.Load() {
		return errors.New("etcd is away")
	}
	return nil
}

// GetFrom answers like an API server of whose deprecated APIs nobody has made use.
func (t tenants) GetFrom(ctx context.Context, id, _, _ string) (*http.Response, error) {
	if err := t.Ready(ctx, id); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

// Version is that of the control plane's image, whose pods play the API server.
func (t tenants) Version(ctx context.Context, id string) (string, error) {
	var kube appsv1.Deployment
	key := client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(id), Name: controlplane.KubeDeployment}
	if err := t.client.Get(ctx, key, &kube); err != nil {
		return "", err
	}
	return strings.TrimPrefix(kube.Spec.Template.Spec.Containers[0].Image, "kube:v"), nil
}

// watchable gives a manager's client the Watch that the interceptor asks for.
type watchable struct {
	client.Client
	watcher client.WithWatch
}

func (w watchable) Watch(ctx context.Context, list client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
	return w.watcher.Watch(ctx, list, opts...)
}

func ptr[T any](value T) *T { return &value }
