package gateway

import (
	"net/netip"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
)

func cluster(name, fqdn, address string, ranges ...string) *v1beta1.ManagedCluster {
	c := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: name}}
	c.Status.FQDN, c.Status.ControlPlaneAddress = fqdn, address
	if ranges != nil {
		c.Spec.APIServerAccess = &v1beta1.APIServerAccessProfile{AuthorizedIPRanges: ranges}
	}
	return c
}

func TestRouteOf(t *testing.T) {
	stopped := cluster("c", "c.example", "100.65.0.9")
	stopped.Status.PowerState.Code = v1beta1.PowerStopped
	stopped.Spec.PowerState = &v1beta1.PowerState{Code: v1beta1.PowerStopped}
	starting := cluster("c", "c.example", "100.65.0.9")
	starting.Status.PowerState.Code = v1beta1.PowerStopped
	stopping := cluster("c", "c.example", "100.65.0.9")
	stopping.Status.PowerState.Code = v1beta1.PowerRunning
	stopping.Spec.PowerState = &v1beta1.PowerState{Code: v1beta1.PowerStopped}
	for _, c := range []struct {
		why     string
		cluster *v1beta1.ManagedCluster
		fqdn    string
		backend string
		stopped bool
	}{
		{"complete", cluster("c", "C.Example.", "100.65.0.9"), "c.example", "100.65.0.9:6443", false},
		{"IPv6", cluster("c", "c.example", "fd00::9"), "c.example", "[fd00::9]:6443", false},
		{"no name yet", cluster("c", "", "100.65.0.9"), "", "", false},
		{"no address yet", cluster("c", "c.example", ""), "", "", false},
		{"stopped", stopped, "c.example", "100.65.0.9:6443", true},
		{"a cluster that stops answers to the end", stopping, "c.example", "100.65.0.9:6443", false},
		{"one that starts answers before its nodes are Ready", starting, "c.example", "100.65.0.9:6443", false},
	} {
		if fqdn, route := RouteOf(c.cluster); fqdn != c.fqdn || route.Backend != c.backend || route.Stopped != c.stopped {
			t.Errorf("%s: got %q to %q, stopped %v", c.why, fqdn, route.Backend, route.Stopped)
		}
	}
}

func TestAuthorizedRanges(t *testing.T) {
	for _, c := range []struct {
		ranges []string
		client string
		want   bool
		why    string
	}{
		{nil, "192.0.2.1", true, "no ranges mean everybody"},
		{[]string{}, "192.0.2.1", true, "an empty list disables the check"},
		{[]string{"192.0.2.0/24"}, "192.0.2.1", true, "inside"},
		{[]string{"192.0.2.77/24"}, "192.0.2.1", true, "host bits do not matter"},
		{[]string{"192.0.2.1"}, "192.0.2.1", true, "a single address"},
		{[]string{"192.0.2.1"}, "192.0.2.2", false, "another address"},
		{[]string{"198.51.100.0/24", "192.0.2.0/24"}, "192.0.2.1", true, "any of several"},
		{[]string{"0.0.0.0/32"}, "192.0.2.1", false, "only the cluster itself"},
		{[]string{"nonsense"}, "192.0.2.1", false, "an unreadable range must not open the cluster"},
	} {
		_, route := RouteOf(cluster("c", "c.example", "100.65.0.9", c.ranges...))
		if got := route.Allows(netip.MustParseAddr(c.client)); got != c.want {
			t.Errorf("%v for %s: got %v (%s)", c.ranges, c.client, got, c.why)
		}
	}
}

func TestClusterRoutesFollow(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	first := cluster("first", "first.example", "100.65.0.1")
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(first).Build()
	routes := RoutesFromClusters(api)
	changes := 0
	routes.OnChange(func() { changes++ })
	reconcile := func(name string) {
		t.Helper()
		request := ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "sub-1", Name: name}}
		if _, err := routes.Reconcile(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(fqdn, backend string, wantChanges int) {
		t.Helper()
		if route, _ := routes.Lookup(fqdn); route.Backend != backend || changes != wantChanges {
			t.Fatalf("%s leads to %q after %d changes; want %q after %d", fqdn, route.Backend, changes, backend, wantChanges)
		}
	}
	update := func(object client.Object) {
		t.Helper()
		if err := api.Update(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}

	reconcile("first")
	expect("first.example", "100.65.0.1:6443", 1)
	reconcile("first") // nothing new
	expect("first.example", "100.65.0.1:6443", 1)
	first.Status.ControlPlaneAddress = "100.65.0.2"
	update(first)
	reconcile("first")
	expect("first.example", "100.65.0.2:6443", 2)

	thief := cluster("thief", "first.example", "100.65.0.66")
	if err := api.Create(t.Context(), thief); err != nil {
		t.Fatal(err)
	}
	reconcile("thief") // a name belongs to whoever had it first
	expect("first.example", "100.65.0.2:6443", 2)

	if err := api.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	reconcile("first")
	expect("first.example", "", 3)
	reconcile("first")
	expect("first.example", "", 3)
}
