package test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controller/addon"
	"berth.dev/berth/internal/controller/rollout"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/testenv"
)

// A patched component reaches three clusters, each with an API server of its own, one wave
// after another (H1). Berth dies when a wave is decided and no cluster knows of it. The second
// cluster does not come up with it: it goes back, the third is never reached, whatever time
// passes and however often Berth starts; after the mend the rollout is resumed and ends.
func TestRolloutInWaves(t *testing.T) {
	f := newFleet(t)
	f.start(newGuard(0, f.client), "coredns:v1")
	f.eventually("all clusters run", func() bool { return f.rollout(1).Status.State == v1beta1.RolloutCompleted && f.ready() == 3 })
	f.stop()

	g := newGuard(0, f.client)
	g.killAfter = func(what string) bool {
		return strings.HasPrefix(what, "update status ComponentRollout") && f.rollout(2).Status.Wave == 1
	}
	f.start(g, "coredns:v2")
	f.eventually("a life ends with the first wave decided", g.isDead)
	f.stop()
	f.expect("nobody heard of it", map[string]int{"coredns:v1": 3})
	f.start(newGuard(0, f.client), "coredns:v2")
	f.eventually("the first wave is ready", func() bool { return f.rollout(2).Status.Reason == "WaveBaking" })
	f.expect("one cluster has it", map[string]int{"coredns:v2": 1, "coredns:v1": 2})
	first := f.having("coredns:v2")[0]

	f.sick.Store("coredns:v2")
	f.ahead.Add(int64(61 * time.Minute))
	f.eventually("the second wave begins after the bake", func() bool { return len(f.having("coredns:v2")) == 2 })
	if r := f.rollout(2); r.Status.Wave != 2 || r.Status.State != v1beta1.RolloutProgressing {
		t.Errorf("%+v", r.Status)
	}
	f.eventually("its components are said not to run", func() bool { return f.ready() == 2 })
	f.ahead.Add(int64(11 * time.Minute))
	f.eventually("it is not ready in time: the rollout stops", func() bool { return f.rollout(2).Status.State == v1beta1.RolloutStopped })
	f.eventually("and the cluster goes back", func() bool { return len(f.having("coredns:v1")) == 2 && f.ready() == 3 })
	if got := f.rollout(2).Status; got.Clusters.Failed != 1 || got.Clusters.Waiting != 1 || !strings.Contains(got.Message, "coredns") {
		t.Errorf("%+v", got)
	}
	if got := f.metric("berth_component_rollout_stopped"); got != 1 {
		t.Errorf("the metric says %v", got)
	}
	f.told("ComponentsPatched", 2)
	f.told("ComponentsReturned", 1)
	f.stop()
	f.start(newGuard(0, f.client), "coredns:v2")
	f.ahead.Add(int64(24 * time.Hour))
	f.touch() // that Berth looks once more is seen by what it writes of a cluster that comes
	f.expect("a day later", map[string]int{"coredns:v2": 1, "coredns:v1": 2})
	if !slices.Contains(f.having("coredns:v2"), first) {
		t.Errorf("%s of the first wave does not keep it", first)
	}

	f.sick.Store("")
	f.resume()
	f.eventually("the mend is tried where it failed", func() bool { return f.rollout(2).Status.Reason == "WaveBaking" })
	f.expect("and nowhere else", map[string]int{"coredns:v2": 2, "coredns:v1": 1})
	f.window(f.having("coredns:v1")[0], 6*time.Hour)
	f.ahead.Add(int64(61 * time.Minute))
	f.eventually("the last one waits for its window", func() bool { return f.rollout(2).Status.Reason == "WaitingForWindows" })
	f.expect("and has not got it", map[string]int{"coredns:v2": 2, "coredns:v1": 1})
	f.ahead.Add(int64(5 * time.Hour))
	f.eventually("the last wave takes it", func() bool { return len(f.having("coredns:v2")) == 3 && f.rollout(2).Status.Reason == "WaveBaking" })
	f.ahead.Add(int64(61 * time.Minute))
	f.eventually("it is over", func() bool { return f.rollout(2).Status.State == v1beta1.RolloutCompleted })
	if got := f.rollout(2).Status.Clusters; got.Reached < 3 || got.Ready != 3 || got.Failed+got.Waiting > 0 {
		t.Errorf("%+v", got)
	}
}

// fleet is several clusters with an API server each, and the two controllers.
type fleet struct {
	t       *testing.T
	client  client.WithWatch
	tenants fleetTenants
	admins  map[string]client.WithWatch
	ahead   atomic.Int64
	metrics *prometheus.Registry
	// sick is the image whose pods do not become ready.
	sick   atomic.Value
	cancel context.CancelFunc
	ended  chan struct{}
}

// fleetTenants are the clusters' API servers by cluster id.
type fleetTenants map[string]client.WithWatch

func (f fleetTenants) Client(_ context.Context, id string) (client.WithWatch, error) {
	if c := f[id]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("cluster %s has no API server", id)
}
func (fleetTenants) Drop(string)                                     {}
func (fleetTenants) Ready(context.Context, string) error             { return nil }
func (fleetTenants) Version(context.Context, string) (string, error) { return "1.37.2", nil }

const fleetNamespace = "sub-00000000-0000-0000-0000-00000000f1ee"

func newFleet(t *testing.T) *fleet {
	t.Helper()
	management, err := shared.Env(t).Client()
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, client: management, tenants: fleetTenants{}, admins: map[string]client.WithWatch{}}
	f.sick.Store("")
	ids := []string{"fleetcluster1", "fleetcluster2", "fleetcluster3"}
	envs := make([]*testenv.Env, len(ids))
	var starting sync.WaitGroup
	for i := range ids {
		starting.Go(func() {
			if envs[i], err = testenv.Start(testenv.Options{Controllers: "deployment-controller,replicaset-controller"}); err != nil {
				t.Errorf("start the API server of %s: %v", ids[i], err)
			}
		})
	}
	starting.Wait()
	t.Cleanup(func() {
		for _, env := range envs {
			if env != nil {
				env.Stop()
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	for i, id := range ids {
		f.connect(id, envs[i])
	}
	f.seed(ids)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		wait.UntilWithContext(ctx, f.kubelets, 50*time.Millisecond)
	}()
	t.Cleanup(func() { f.stop(); cancel(); <-done; f.clean() })
	return f
}

func (f *fleet) connect(id string, env *testenv.Env) {
	f.t.Helper()
	var err error
	if f.admins[id], err = env.Client(); err != nil {
		f.t.Fatal(err)
	}
	if f.tenants[id], err = clientAs(env, controlplane.PlatformUser, "system:masters"); err != nil {
		f.t.Fatal(err)
	}
}

// seed makes what the other controllers would: three clusters whose control planes are up,
// and the operator's plan.
func (f *fleet) seed(ids []string) {
	f.t.Helper()
	hour, one, two, within := metav1.Duration{Duration: time.Hour}, int32(1), int32(2), metav1.Duration{Duration: 10 * time.Minute}
	f.make(&v1beta1.ServicePolicy{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.ServicePolicyName}, Spec: v1beta1.ServicePolicySpec{ComponentRollout: &v1beta1.RolloutPolicy{
		Waves: []v1beta1.RolloutWave{{Clusters: &one, Bake: &hour}, {Clusters: &two, Bake: &hour}}, ReadyWithin: &within,
	}}})
	f.make(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fleetNamespace}})
	for _, id := range ids {
		namespace := v1beta1.ControlPlaneNamespace(id)
		f.make(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
		f.make(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: controlplane.RootsSecret}, Data: map[string][]byte{corev1.TLSCertKey: []byte("ca")}})
		f.make(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: controlplane.MetricsSecret}})
		f.cluster(id, true)
	}
}

// cluster makes a cluster, with or without an API server that is up.
func (f *fleet) cluster(id string, up bool) {
	f.t.Helper()
	spec := clusterSpec()
	spec.Name, spec.ID = id, id
	spec.NetworkProfile.NetworkPlugin, spec.NetworkProfile.NetworkPluginMode = "none", ""
	cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: fleetNamespace, Name: v1beta1.ObjectName("Group", id)}, Spec: spec}
	f.make(cluster)
	if !up {
		return
	}
	now := metav1.Now()
	cluster.Status.APIServerReady, cluster.Status.CurrentKubernetesVersion, cluster.Status.ControlPlaneAddress = &now, "1.37.2", "100.65.0.77"
	if err := f.client.Status().Update(f.t.Context(), cluster); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) make(object client.Object) {
	f.t.Helper()
	if err := f.client.Create(f.t.Context(), object); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) clean() {
	ctx := context.Background()
	for _, err := range []error{
		f.client.DeleteAllOf(ctx, &v1beta1.ManagedCluster{}, client.InNamespace(fleetNamespace)),
		f.client.DeleteAllOf(ctx, &v1beta1.ActivityLogEntry{}, client.InNamespace(fleetNamespace)),
		f.client.DeleteAllOf(ctx, &v1beta1.MaintenanceConfiguration{}, client.InNamespace(fleetNamespace)),
		f.client.DeleteAllOf(ctx, &v1beta1.ComponentRollout{}),
		f.client.DeleteAllOf(ctx, &v1beta1.ServicePolicy{}),
	} {
		if err != nil {
			f.t.Error(err)
		}
	}
	for id := range f.tenants {
		if err := f.client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.ControlPlaneNamespace(id)}}); err != nil {
			f.t.Error(err)
		}
	}
}

// start gives the two controllers a life that brings an image of CoreDNS.
func (f *fleet) start(g *guard, coreDNS string) {
	f.t.Helper()
	env := shared.Env(f.t)
	mgr, err := ctrl.NewManager(env.Config, ctrl.Options{
		Scheme: env.Scheme, Metrics: server.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: ptr(true)},
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
		NewClient: func(config *rest.Config, options client.Options) (client.Client, error) {
			made, err := client.New(config, options)
			if err != nil {
				return nil, err
			}
			return g.wrap(watchable{made, f.client}), nil
		},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	versions := catalogue()
	versions.Images["coredns"] = coreDNS
	now := func() time.Time { return time.Now().Add(time.Duration(f.ahead.Load())) }
	f.metrics = prometheus.NewRegistry()
	for _, err := range []error{
		addon.Setup(mgr, addon.Config{Catalogue: versions, Tenants: f.tenants}),
		rollout.Setup(mgr, rollout.Config{Catalogue: versions, Metrics: f.metrics, Now: now}),
	} {
		if err != nil {
			f.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel, f.ended = cancel, make(chan struct{})
	go func() {
		select {
		case <-g.dead:
			cancel()
		case <-ctx.Done():
		}
	}()
	go func(ended chan struct{}) {
		defer close(ended)
		if err := mgr.Start(ctx); err != nil && ctx.Err() == nil {
			f.t.Errorf("manager: %v", err)
		}
	}(f.ended)
}

func (f *fleet) stop() {
	if f.cancel != nil {
		f.cancel()
		<-f.ended
		f.cancel = nil
	}
}

// kubelets has pods become ready, but those of the sick image, and those that go away end.
func (f *fleet) kubelets(ctx context.Context) {
	for _, admin := range f.admins {
		var pods corev1.PodList
		if err := admin.List(ctx, &pods, client.InNamespace(metav1.NamespaceSystem)); err != nil {
			continue
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			if pod.DeletionTimestamp != nil {
				_ = admin.Delete(ctx, pod, client.GracePeriodSeconds(0)) // again in a moment if it failed
				continue
			}
			want := corev1.ConditionTrue
			if pod.Spec.Containers[0].Image == f.sick.Load() && !slices.ContainsFunc(pod.Status.Conditions, ready) {
				want = corev1.ConditionFalse
			}
			if slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == want }) {
				continue
			}
			pod.Status.Phase = corev1.PodRunning
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: want, LastTransitionTime: metav1.Now()}}
			_ = admin.Status().Update(ctx, pod) // again in a moment if it failed
		}
	}
}

func ready(c corev1.PodCondition) bool {
	return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
}

func (f *fleet) rollout(number int) v1beta1.ComponentRollout {
	var one v1beta1.ComponentRollout
	_ = f.client.Get(context.Background(), client.ObjectKey{Name: fmt.Sprint("rollout-", number)}, &one) // an empty one if it is not there
	return one
}

// having are the clusters whose API servers have CoreDNS of an image.
func (f *fleet) having(image string) []string {
	var all []string
	for _, id := range slices.Sorted(maps.Keys(f.admins)) {
		var dns appsv1.Deployment
		if f.admins[id].Get(context.Background(), systemKey("coredns"), &dns) == nil && dns.Spec.Template.Spec.Containers[0].Image == image {
			all = append(all, id)
		}
	}
	return all
}

func (f *fleet) expect(why string, want map[string]int) {
	f.t.Helper()
	for image, count := range want {
		if got := f.having(image); len(got) != count {
			f.t.Errorf("%s: %v have %s, want %d", why, got, image, count)
		}
	}
}

// metric is the value of a metric, the sum of all that have its name.
func (f *fleet) metric(name string) float64 {
	f.t.Helper()
	families, err := f.metrics.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	sum := -1.0
	for _, family := range families {
		for _, one := range family.GetMetric() {
			if family.GetName() == name {
				sum = max(sum, 0) + one.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// told looks for so many clusters whose owners were told of something in the activity log.
func (f *fleet) told(reason string, clusters int) {
	f.t.Helper()
	f.eventually(reason+" is in the activity log", func() bool {
		var list v1beta1.ActivityLogEntryList
		if err := f.client.List(f.t.Context(), &list, client.InNamespace(fleetNamespace)); err != nil {
			return false
		}
		whose := map[string]bool{}
		for i := range list.Items {
			if notice := list.Items[i].Spec.Notice; notice != nil && notice.Reason == reason && strings.HasPrefix(notice.Message, "H1: rollout-2: ") {
				whose[list.Items[i].Spec.ResourceID] = true
			}
		}
		return len(whose) == clusters
	})
}

// ready is how many clusters are said to run their components.
func (f *fleet) ready() int {
	var list v1beta1.ManagedClusterList
	if err := f.client.List(context.Background(), &list, client.InNamespace(fleetNamespace)); err != nil {
		return 0
	}
	count := 0
	for i := range list.Items {
		if meta.IsStatusConditionTrue(list.Items[i].Status.Conditions, v1beta1.ConditionAddonsReady) {
			count++
		}
	}
	return count
}

// touch has Berth look at the fleet: a new cluster gets the images of the last rollout that
// is not stopped.
func (f *fleet) touch() {
	f.t.Helper()
	f.cluster("fleetcluster4", false)
	key := client.ObjectKey{Namespace: fleetNamespace, Name: v1beta1.ObjectName("Group", "fleetcluster4")}
	var fresh v1beta1.ManagedCluster
	f.eventually("a new cluster gets images", func() bool {
		return f.client.Get(f.t.Context(), key, &fresh) == nil && fresh.Status.ComponentRollout != nil
	})
	if at := fresh.Status.ComponentRollout; at.Name != "rollout-1" || at.Images["coredns"] != "coredns:v1" {
		f.t.Errorf("a new cluster gets %+v while the rollout is stopped", at)
	}
}

// window gives a cluster a maintenance configuration with two hours from so long ahead on.
func (f *fleet) window(id string, ahead time.Duration) {
	f.t.Helper()
	name := v1beta1.ObjectName("Group", id)
	var cluster v1beta1.ManagedCluster
	if err := f.client.Get(f.t.Context(), client.ObjectKey{Namespace: fleetNamespace, Name: name}, &cluster); err != nil {
		f.t.Fatal(err)
	}
	config := &v1beta1.MaintenanceConfiguration{
		ObjectMeta: metav1.ObjectMeta{Namespace: fleetNamespace, Name: v1beta1.ObjectName("Group", id, v1beta1.MaintenanceDefault)},
		Spec:       v1beta1.MaintenanceConfigurationSpec{ResourceGroup: "Group", ClusterName: id, Name: v1beta1.MaintenanceDefault},
	}
	first := time.Now().UTC().Add(time.Duration(f.ahead.Load()) + ahead)
	for _, hour := range []time.Time{first, first.Add(time.Hour)} {
		config.Spec.TimeInWeek = append(config.Spec.TimeInWeek, v1beta1.TimeInWeek{Day: hour.Weekday().String(), HourSlots: []int32{int32(hour.Hour())}})
	}
	if err := ctrl.SetControllerReference(&cluster, config, f.client.Scheme()); err != nil {
		f.t.Fatal(err)
	}
	f.make(config)
}

// resume does what an engineer asks ARM for.
func (f *fleet) resume() {
	f.t.Helper()
	one := f.rollout(2)
	before := one.DeepCopy()
	one.Spec.Attempt++
	if err := f.client.Patch(f.t.Context(), &one, client.MergeFrom(before)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) eventually(what string, done func() bool) {
	f.t.Helper()
	err := wait.PollUntilContextTimeout(f.t.Context(), pollEvery, patience, true, func(context.Context) (bool, error) { return done(), nil })
	if err != nil {
		f.t.Fatalf("%s: %v\n%+v", what, err, f.rollout(2).Status)
	}
}
