package machine_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"berth.dev/berth/api/v1beta1"
	controller "berth.dev/berth/internal/controller/machine"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/machine/memory"
	"berth.dev/berth/internal/release"
	"berth.dev/berth/internal/tenant"
	"berth.dev/berth/internal/testenv"
)

const patience = 60 * time.Second

var shared testenv.Shared

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	code := m.Run()
	shared.Stop()
	os.Exit(code)
}

// world is one cluster whose own API server is the management cluster's, reached
// through its kubeconfig as every tenant's is.
type world struct {
	*testing.T
	env       *testenv.Env
	client    client.WithWatch
	machines  *memory.Provider
	id        string
	namespace string
	cluster   *v1beta1.ManagedCluster
	clock     *clock
	// stop ends the controllers.
	stop func()
}

// clock is the real time, and what the test adds to it.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

func newWorld(t *testing.T) *world {
	t.Helper()
	env := shared.Env(t)
	c, err := env.Client()
	if err != nil {
		t.Fatal(err)
	}
	id := strings.ToLower(rand.Text()[:12])
	w := &world{T: t, env: env, client: c, machines: memory.New(), id: id, namespace: "sub-" + id, clock: &clock{}}
	for _, name := range []string{w.namespace, v1beta1.MachineNamespace(id), v1beta1.ControlPlaneNamespace(id)} {
		w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	w.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.ControlPlaneNamespace(id), Name: "ca"},
		Data:       map[string][]byte{"tls.crt": []byte("the cluster's CA")},
	})
	w.makeCluster()
	w.start()
	w.Cleanup(func() { w.stop() })
	return w
}

func (w *world) makeCluster() {
	w.Helper()
	w.cluster = &v1beta1.ManagedCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "rg.c", Finalizers: []string{v1beta1.Finalizer}},
		Spec: v1beta1.ManagedClusterSpec{
			ResourceGroup: "rg", Name: "c", Location: "local", ID: w.id, NodeResourceGroup: "MC_rg_c_local",
			NetworkProfile: v1beta1.NetworkProfile{DNSServiceIP: "10.0.0.10"},
			LinuxProfile:   &v1beta1.LinuxProfile{AdminUsername: "azureuser", SSHPublicKeys: []string{"ssh-ed25519 AAAA"}},
		},
	}
	w.create(w.cluster)
	// Another world's controllers would take its requests for their own.
	w.Cleanup(func() {
		_ = w.client.Patch(context.Background(), w.cluster, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))
		if err := w.client.Delete(context.Background(), w.cluster); client.IgnoreNotFound(err) != nil {
			w.Errorf("delete cluster: %v", err)
		}
	})
	w.cluster.Status.ControlPlaneAddress = "100.65.7.7"
	w.must(w.client.Status().Update(w.Context(), w.cluster))
}

// openAPI lets the tenant's API server answer from now on.
func (w *world) openAPI() {
	w.Helper()
	kubeconfig := clientcmdapi.NewConfig()
	kubeconfig.Clusters["c"] = &clientcmdapi.Cluster{Server: w.env.Config.Host, InsecureSkipTLSVerify: true}
	kubeconfig.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: w.env.Config.BearerToken}
	kubeconfig.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	kubeconfig.CurrentContext = "x"
	text, err := clientcmd.Write(*kubeconfig)
	w.must(err)
	w.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.ControlPlaneNamespace(w.id), Name: tenant.KubeconfigSecret},
		Data:       map[string][]byte{tenant.KubeconfigKey: text},
	})
	w.must(w.client.Get(w.Context(), client.ObjectKeyFromObject(w.cluster), w.cluster))
	now := metav1.Now()
	w.cluster.Status.APIServerReady = &now
	w.must(w.client.Status().Update(w.Context(), w.cluster))
}

func (w *world) start() {
	w.Helper()
	mgr, err := ctrl.NewManager(w.env.Config, ctrl.Options{
		Scheme:     w.env.Scheme,
		Metrics:    server.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)},
		Client:     client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
	})
	w.must(err)
	w.must(controller.Setup(mgr, controller.Config{
		Provider: w.machines,
		Tenants:  tenant.NewClients(w.client),
		Catalogue: &release.Catalogue{
			Releases:         []release.Release{{Version: "1.37.2", Default: true, NodeImage: "registry/node-v1.37.2:BerthDebian-12containerd-202602.01.0"}},
			NodeImageVersion: "BerthDebian-12containerd-202602.01.0",
		},
		RegistryAddress: "https://100.65.3.3:5000", RegistryCA: []byte("the registry's CA"),
		Now: w.clock.now,
	}))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			w.Errorf("manager: %v", err)
		}
	}
}

// restart ends the controllers and begins anew with what is stored.
func (w *world) restart() {
	w.Helper()
	w.stop()
	w.start()
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) create(object client.Object) {
	w.Helper()
	w.must(w.client.Create(w.Context(), object))
}

// newMachine makes a Machine as the pool controller does.
func (w *world) newMachine(ordinal int32) *v1beta1.Machine {
	w.Helper()
	m := &v1beta1.Machine{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.namespace, Name: machine.ObjectName("rg.c.np", ordinal), Finalizers: []string{v1beta1.Finalizer},
			Labels: map[string]string{v1beta1.LabelClusterID: w.id},
		},
		Spec: v1beta1.MachineSpec{
			ClusterID: w.id, Cluster: "rg.c", AgentPool: "rg.c.np", NodeName: machine.NodeName("np", w.id, ordinal),
			VMSize: "Standard_D2s_v5", KubernetesVersion: "1.37.2", NodeImageVersion: "BerthDebian-12containerd-202601.01.0",
			MaxPods: 110, OSDiskSizeGB: 30, Labels: map[string]string{"team": "blue"}, Taints: []string{"gpu=yes:NoSchedule"},
		},
	}
	w.create(m)
	return m
}

func (w *world) ref(m *v1beta1.Machine) machine.Ref {
	return machine.Ref{ClusterID: w.id, Name: m.Spec.NodeName}
}

// until waits for a condition and says what it waited for when that never comes.
func (w *world) until(what string, condition func(ctx context.Context) bool) {
	w.Helper()
	err := wait.PollUntilContextTimeout(w.Context(), 20*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		return condition(ctx), nil
	})
	if err != nil {
		w.Fatalf("never came: %s\n%s", what, w.state())
	}
}

func (w *world) exists(ctx context.Context, object client.Object) bool {
	err := w.client.Get(ctx, client.ObjectKeyFromObject(object), object)
	if err != nil && !apierrors.IsNotFound(err) {
		w.Errorf("read %s: %v", object.GetName(), err)
	}
	return err == nil
}

func (w *world) untilPhase(m *v1beta1.Machine, phase v1beta1.MachinePhase) {
	w.Helper()
	w.until(fmt.Sprintf("%s is %s", m.Name, phase), func(ctx context.Context) bool {
		return w.exists(ctx, m) && m.Status.Phase == phase
	})
}

func (w *world) untilGone(objects ...client.Object) {
	w.Helper()
	for _, object := range objects {
		w.until(fmt.Sprintf("%T %s is gone", object, object.GetName()), func(ctx context.Context) bool { return !w.exists(ctx, object) })
	}
}

// register plays the kubelet that joined.
func (w *world) register(m *v1beta1.Machine, address string, ready corev1.ConditionStatus) *corev1.Node {
	w.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: m.Spec.NodeName}}
	if !w.exists(w.Context(), node) {
		w.create(node)
	}
	w.until("the kubelet's status", func(ctx context.Context) bool {
		w.must(w.client.Get(ctx, client.ObjectKeyFromObject(node), node))
		node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, LastTransitionTime: metav1.Now()}}
		return w.client.Status().Update(ctx, node) == nil
	})
	return node
}

func (w *world) token(m *v1beta1.Machine) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "bootstrap-token-" + m.Status.BootstrapTokenID}}
}

// ready brings a new machine all the way.
func (w *world) ready(ordinal int32) *v1beta1.Machine {
	w.Helper()
	m := w.newMachine(ordinal)
	w.until("the machine is made", func(context.Context) bool { return w.machines.Boot(w.ref(m)) != "" })
	seen, err := w.machines.Observe(w.Context(), w.ref(m))
	w.must(err)
	w.register(m, seen.Address, corev1.ConditionTrue)
	w.untilPhase(m, v1beta1.MachineReady)
	return m
}

// state is what the world looks like, for a test that fails.
func (w *world) state() string {
	var machines v1beta1.MachineList
	_ = w.client.List(context.Background(), &machines, client.InNamespace(w.namespace))
	text := ""
	for _, m := range machines.Items {
		seen, _ := w.machines.Observe(context.Background(), w.ref(&m))
		text += fmt.Sprintf("%s: %+v; %+v\n", m.Name, m.Status, seen)
	}
	return text
}
