package agentpool_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controller/agentpool"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/release"
	"berth.dev/berth/internal/testenv"
)

var shared testenv.Shared

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	code := m.Run()
	shared.Stop()
	os.Exit(code)
}

// world runs the reconciler by hand, so that each pass can be looked at.
type world struct {
	*testing.T
	client    client.WithWatch
	namespace string
	pool      *v1beta1.AgentPool
}

func newWorld(t *testing.T, namespace string, count int32) *world {
	t.Helper()
	env := shared.Env(t)
	c, err := env.Client()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, client: c, namespace: namespace}
	w.must(c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	w.must(c.Create(t.Context(), &v1beta1.ManagedCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "rg.c"},
		Spec:       v1beta1.ManagedClusterSpec{ResourceGroup: "RG", Name: "c", Location: "local", ID: "k3v9x0a1b2c3", KubernetesVersion: "1.36"},
	}))
	w.pool = &v1beta1.AgentPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "rg.c.np", Finalizers: []string{v1beta1.Finalizer}},
		Spec: v1beta1.AgentPoolSpec{ResourceGroup: "RG", ClusterName: "c", AgentPoolProfile: v1beta1.AgentPoolProfile{
			Name: "np", Count: &count, VMSize: "Standard_D2s_v5", Mode: "User", OSSKU: "Debian", MaxPods: 110, OSDiskSizeGB: 30,
			NodeLabels: map[string]string{"team": "blue"}, NodeTaints: []string{"gpu=yes:NoSchedule"},
		}},
	}
	w.must(c.Create(t.Context(), w.pool))
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// address lets machines be made.
func (w *world) address() {
	w.Helper()
	cluster := &v1beta1.ManagedCluster{}
	w.must(w.client.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: "rg.c"}, cluster))
	cluster.Status.ControlPlaneAddress, cluster.Status.CurrentKubernetesVersion = "100.65.7.7", "1.36.3"
	w.must(w.client.Status().Update(w.Context(), cluster))
}

// The node images that there are.
const olderImage, newerImage = "BerthDebian-12containerd-202601.01.0", "BerthDebian-12containerd-202602.01.0"

func (w *world) reconcileWith(c client.Client) error {
	built := map[string]string{"1.36.3": "r", "1.37.2": "r"}
	r := agentpool.New(c, w.client, agentpool.Config{Catalogue: &release.Catalogue{
		Releases:         []release.Release{{Version: "1.37.2", Default: true}, {Version: "1.36.3"}},
		NodeImageVersion: newerImage,
		NodeImages:       []release.NodeImage{{Version: newerImage, Images: built}, {Version: olderImage, Images: built}},
	}})
	_, err := r.Reconcile(w.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(w.pool)})
	return err
}

// reconcile makes one pass and reads the pool back; it is nil when it is gone.
func (w *world) reconcile() *v1beta1.AgentPool {
	w.Helper()
	w.must(w.reconcileWith(w.client))
	err := w.client.Get(w.Context(), client.ObjectKeyFromObject(w.pool), w.pool)
	if apierrors.IsNotFound(err) {
		return nil
	}
	w.must(err)
	return w.pool
}

func (w *world) machines() []v1beta1.Machine {
	w.Helper()
	var list v1beta1.MachineList
	w.must(w.client.List(w.Context(), &list, client.InNamespace(w.namespace)))
	return list.Items
}

func (w *world) ordinals() []int32 {
	w.Helper()
	var all []int32
	for _, m := range w.machines() {
		ordinal, err := machine.Ordinal(m.Name)
		w.must(err)
		all = append(all, ordinal)
	}
	slices.Sort(all)
	return all
}

// settle plays the machine controller: machines become Ready, or go.
func (w *world) settle() {
	w.Helper()
	for _, m := range w.machines() {
		if !m.DeletionTimestamp.IsZero() {
			m.Finalizers = nil
			w.must(w.client.Update(w.Context(), &m))
			continue
		}
		metav1.SetMetaDataAnnotation(&m.ObjectMeta, machine.AnnotationSettled, strconv.FormatInt(m.Generation, 10))
		w.must(w.client.Update(w.Context(), &m))
		m.Status.Phase = v1beta1.MachineReady
		m.Status.KubernetesVersion, m.Status.NodeImageVersion, m.Status.UnmanagedOS = m.Spec.KubernetesVersion, m.Spec.NodeImageVersion, m.Spec.UnmanagedOS
		w.must(w.client.Status().Update(w.Context(), &m))
	}
}

func (w *world) change(change func(*v1beta1.AgentPoolSpec)) {
	w.Helper()
	change(&w.pool.Spec)
	w.must(w.client.Update(w.Context(), w.pool))
}

func (w *world) expect(why string, state v1beta1.ProvisioningState, ordinals ...int32) {
	w.Helper()
	pool := w.reconcile()
	if got := w.ordinals(); pool.Status.ProvisioningState != state || !slices.Equal(got, ordinals) {
		w.Fatalf("%s: %s with machines %v, want %s with %v", why, pool.Status.ProvisioningState, got, state, ordinals)
	}
	if pool.Status.ObservedGeneration != pool.Generation {
		w.Fatalf("%s: generation %d observed of %d", why, pool.Status.ObservedGeneration, pool.Generation)
	}
}

func count(n int32) func(*v1beta1.AgentPoolSpec) {
	return func(s *v1beta1.AgentPoolSpec) { s.Count = &n }
}

func TestPoolLife(t *testing.T) {
	w := newWorld(t, "sub-life", 2)
	w.expect("without a control plane address nothing can join", v1beta1.StateCreating)
	w.address()
	w.expect("all machines are made at once, before the API server answers", v1beta1.StateCreating, 0, 1)
	if s := w.pool.Status; s.NextOrdinal != 2 || s.CurrentOrchestratorVersion != "1.36.3" || s.Count != 2 || s.ReadyCount != 0 {
		t.Errorf("status %+v", s)
	}
	w.checkMachine(w.machines()[0])
	w.settle()
	w.expect("all Ready", v1beta1.StateSucceeded, 0, 1)

	w.change(count(3))
	w.expect("it grows", v1beta1.StateScaling, 0, 1, 2)
	w.settle()
	w.expect("it has grown", v1beta1.StateSucceeded, 0, 1, 2)
	w.change(count(1))
	w.expect("it shrinks, and the machines drain", v1beta1.StateScaling, 0, 1, 2)
	w.expect("once", v1beta1.StateScaling, 0, 1, 2)
	w.settle()
	w.expect("the oldest is left", v1beta1.StateSucceeded, 0)
	w.change(count(2))
	w.expect("no name is used twice", v1beta1.StateScaling, 0, 3)
	w.settle()
	w.expect("and it is well", v1beta1.StateSucceeded, 0, 3)

	w.change(func(s *v1beta1.AgentPoolSpec) {
		s.NodeLabels, s.NodeTaints = map[string]string{"team": "red"}, nil
	})
	w.expect("labels and taints change in place", v1beta1.StateUpdating, 0, 3)
	if m := w.machines()[0].Spec; m.Labels["team"] != "red" || len(m.Taints) != 0 {
		t.Errorf("machine %+v", m)
	}
	w.expect("until the nodes show them", v1beta1.StateUpdating, 0, 3)
	w.settle()
	w.expect("as they do now", v1beta1.StateSucceeded, 0, 3)

	w.must(w.client.Delete(t.Context(), w.pool))
	w.expect("a deleted pool deletes its machines", v1beta1.StateDeleting, 0, 3)
	w.settle()
	if pool := w.reconcile(); pool != nil {
		t.Errorf("the pool is left with finalizers %v", pool.Finalizers)
	}
}

// A pool can be deleted past disruption budgets, also when that is asked for once its
// drain is held up by one (AKS: delete-node-pool).
func TestPoolIsDeletedPastBudgets(t *testing.T) {
	w := newWorld(t, "sub-past", 2)
	w.address()
	w.expect("made", v1beta1.StateCreating, 0, 1)
	w.settle()
	w.expect("all Ready", v1beta1.StateSucceeded, 0, 1)
	w.must(w.client.Delete(t.Context(), w.pool))
	w.expect("it drains", v1beta1.StateDeleting, 0, 1)
	held := w.machines()[0]
	held.Status.Phase, held.Status.DrainBlocker = v1beta1.MachineDraining, "pod default/web, PodDisruptionBudget default/web"
	w.must(w.client.Status().Update(t.Context(), &held))
	w.expect("a budget holds it up", v1beta1.StateDeleting, 0, 1)
	converged := meta.FindStatusCondition(w.pool.Status.Conditions, v1beta1.ConditionConverged)
	if want := "node " + held.Spec.NodeName + " drains: " + held.Status.DrainBlocker; converged == nil || converged.Message != want {
		t.Errorf("the pool tells %+v, want %q", converged, want)
	}
	if w.machines()[0].Spec.ForceDrain {
		t.Error("budgets are passed over and nobody asked for it")
	}
	w.pool.Annotations = map[string]string{v1beta1.AnnotationIgnoreBudgets: "true"}
	w.must(w.client.Update(t.Context(), w.pool))
	w.expect("budgets hold it up no more", v1beta1.StateDeleting, 0, 1)
	for _, m := range w.machines() {
		if !m.Spec.ForceDrain {
			t.Errorf("machine %s is held up still", m.Name)
		}
	}
	w.settle()
	if pool := w.reconcile(); pool != nil {
		t.Errorf("the pool is left with finalizers %v", pool.Finalizers)
	}
}

func (w *world) checkMachine(m v1beta1.Machine) {
	w.Helper()
	spec := m.Spec
	if m.Name != "rg.c.np.000000" || spec.NodeName != machine.NodeName("np", "k3v9x0a1b2c3", 0) || spec.ClusterID != "k3v9x0a1b2c3" ||
		spec.Cluster != "rg.c" || spec.AgentPool != "rg.c.np" || spec.KubernetesVersion != "1.36.3" ||
		spec.NodeImageVersion != "BerthDebian-12containerd-202602.01.0" || spec.VMSize != "Standard_D2s_v5" ||
		spec.Labels["team"] != "blue" || spec.Labels["kubernetes.azure.com/mode"] != "user" ||
		spec.Labels["kubernetes.azure.com/os-sku"] != "Debian" || !slices.Equal(spec.Taints, []string{"gpu=yes:NoSchedule"}) {
		w.Errorf("machine %s: %+v", m.Name, spec)
	}
	if m.Labels[v1beta1.LabelClusterID] != "k3v9x0a1b2c3" || !slices.Contains(m.Finalizers, v1beta1.Finalizer) || len(m.OwnerReferences) != 1 {
		w.Errorf("machine %s: %+v", m.Name, m.ObjectMeta)
	}
}

// The process dies at every write of a create; what is left over is always as
// many machines as asked for, and no name was used twice.
func TestPoolSurvivesDeathAtEveryWrite(t *testing.T) {
	for fatal := 1; ; fatal++ {
		w := newWorld(t, "sub-death-"+strconv.Itoa(fatal), 3)
		w.address()
		left := fatal
		err := w.reconcileWith(mortal(w.client, &left))
		if left > 0 {
			break
		}
		if err == nil {
			t.Fatalf("death at write %d went unnoticed", fatal)
		}
		before := w.ordinals()
		w.expect("after death", v1beta1.StateCreating, w.afterDeath(before)...)
		w.settle()
		if pool := w.reconcile(); pool.Status.ProvisioningState != v1beta1.StateSucceeded || pool.Status.ReadyCount != 3 {
			t.Errorf("after death at write %d: %+v", fatal, pool.Status)
		}
	}
}

// afterDeath are the ordinals that the next pass ends with: what is there, and
// new ones from where the names were reserved to.
func (w *world) afterDeath(there []int32) []int32 {
	w.Helper()
	w.must(w.client.Get(w.Context(), client.ObjectKeyFromObject(w.pool), w.pool))
	all := slices.Clone(there)
	for next := w.pool.Status.NextOrdinal; len(all) < 3; next++ {
		all = append(all, next)
	}
	return all
}

var errDead = errors.New("dead")

// mortal fails every write from the given one on.
func mortal(c client.WithWatch, left *int) client.Client {
	die := func() error {
		if *left--; *left <= 0 {
			return errDead
		}
		return nil
	}
	return interceptor.NewClient(c, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return errors.Join(die(), c.Create(ctx, o, opts...))
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, name string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			if err := die(); err != nil {
				return err
			}
			return c.SubResource(name).Update(ctx, o, opts...)
		},
	})
}
