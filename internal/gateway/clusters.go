package gateway

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"berth.dev/berth/api/v1beta1"
)

// apiServerPort is the port of every control plane's Service.
const apiServerPort = "6443"

// ClusterRoutes is the routing table that follows the ManagedClusters.
type ClusterRoutes struct {
	reader client.Reader

	mu        sync.RWMutex
	byName    map[string]ownedRoute
	byCluster map[types.NamespacedName]string
	changed   []func()
}

type ownedRoute struct {
	Route
	owner types.NamespacedName
}

// RoutesFromClusters makes an empty table that reads clusters from reader, usually a manager's cache. SetupWithManager
// or Reconcile fills it.
func RoutesFromClusters(reader client.Reader) *ClusterRoutes {
	return &ClusterRoutes{
		reader:    reader,
		byName:    map[string]ownedRoute{},
		byCluster: map[types.NamespacedName]string{},
	}
}

// Lookup finds the route of a name in lower case: the Routes of a Config.
func (r *ClusterRoutes) Lookup(fqdn string) (Route, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	owned, ok := r.byName[fqdn]
	return owned.Route, ok
}

// OnChange has call called after every change of a route, usually Server.Recheck. Register before the table is filled.
func (r *ClusterRoutes) OnChange(call func()) { r.changed = append(r.changed, call) }

// SetupWithManager makes the table follow the manager's ManagedClusters, on every replica.
func (r *ClusterRoutes) SetupWithManager(manager ctrl.Manager) error {
	everywhere := false
	err := ctrl.NewControllerManagedBy(manager).
		Named("gateway-routes").
		For(&v1beta1.ManagedCluster{}).
		WithOptions(controller.Options{NeedLeaderElection: &everywhere}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("watch clusters for the gateway: %w", err)
	}
	return nil
}

// Reconcile brings one cluster's route up to date.
func (r *ClusterRoutes) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var cluster v1beta1.ManagedCluster
	err := r.reader.Get(ctx, request.NamespacedName, &cluster)
	if apierrors.IsNotFound(err) {
		r.set(request.NamespacedName, "", Route{})
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("read cluster %s: %w", request, err)
	}
	fqdn, route := RouteOf(&cluster)
	r.set(request.NamespacedName, fqdn, route)
	return ctrl.Result{}, nil
}

// RouteOf is the name and route of a cluster; the name is empty while the cluster has no address. A cluster that starts
// can be reached before its nodes are Ready. An unreadable range matches nobody rather than everybody.
func RouteOf(cluster *v1beta1.ManagedCluster) (fqdn string, route Route) {
	status := cluster.Status
	if status.FQDN == "" || status.ControlPlaneAddress == "" {
		return "", Route{}
	}
	route.Stopped = status.PowerState.Code == v1beta1.PowerStopped && cluster.Spec.PowerState.Wanted() == v1beta1.PowerStopped
	route.Backend = net.JoinHostPort(status.ControlPlaneAddress, apiServerPort)
	if access := cluster.Spec.APIServerAccess; access != nil {
		for _, text := range access.AuthorizedIPRanges {
			route.AuthorizedIPRanges = append(route.AuthorizedIPRanges, parseRange(text))
		}
	}
	return strings.ToLower(strings.TrimSuffix(status.FQDN, ".")), route
}

// parseRange reads a CIDR or a single address. The zero Prefix, which it returns for anything else, contains nothing.
func parseRange(text string) netip.Prefix {
	if ip, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(ip, ip.BitLen())
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix.Masked()
}

// set replaces what the cluster had. A name that another cluster holds already stays with that one.
func (r *ClusterRoutes) set(owner types.NamespacedName, fqdn string, route Route) {
	if r.replace(owner, fqdn, route) {
		for _, call := range r.changed {
			call()
		}
	}
}

func (r *ClusterRoutes) replace(owner types.NamespacedName, fqdn string, route Route) (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before, ok := r.byCluster[owner]; ok && before != fqdn {
		delete(r.byName, before)
		delete(r.byCluster, owner)
		changed = true
	}
	if fqdn == "" {
		return changed
	}
	now, taken := r.byName[fqdn]
	if taken && (now.owner != owner || equal(now.Route, route)) {
		return changed
	}
	r.byName[fqdn] = ownedRoute{Route: route, owner: owner}
	r.byCluster[owner] = fqdn
	return true
}

func equal(a, b Route) bool {
	return a.Backend == b.Backend && a.Stopped == b.Stopped && slices.Equal(a.AuthorizedIPRanges, b.AuthorizedIPRanges)
}
