package preflight

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// readTime is how long a managed cluster may take to answer everything.
const readTime = 15 * time.Second

// labelPool is the pool of a Node.
const labelPool = "kubernetes.azure.com/agentpool"

// Tenants finds managed clusters' API servers; *tenant.Clients does.
type Tenants interface {
	Client(ctx context.Context, clusterID string) (client.WithWatch, error)
	// GetFrom asks the one API server at an address, host and port.
	GetFrom(ctx context.Context, clusterID, address, path string) (*http.Response, error)
}

// Reader reads managed clusters.
type Reader struct {
	// Management reads the management cluster, not from a cache.
	Management client.Reader
	Tenants    Tenants
	// Now is the system's clock when nil.
	Now func() time.Time
}

// Budgets reads the disruption budgets of a cluster, each with those of its pods'
// nodes that belong to one of the pools and that a drain would take it from.
func (r Reader) Budgets(ctx context.Context, cluster *v1beta1.ManagedCluster, pools []string) ([]policy.Budget, error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	tenant, err := r.Tenants.Client(ctx, cluster.Spec.ID)
	if err != nil {
		return nil, err
	}
	var budgets policyv1.PodDisruptionBudgetList
	if err := tenant.List(ctx, &budgets); err != nil {
		return nil, fmt.Errorf("list disruption budgets of %s: %w", cluster.Name, err)
	}
	if len(budgets.Items) == 0 {
		return nil, nil
	}
	var nodes corev1.NodeList
	var pods corev1.PodList
	for _, list := range []client.ObjectList{&nodes, &pods} {
		if err := tenant.List(ctx, list); err != nil {
			return nil, fmt.Errorf("list nodes and pods of %s: %w", cluster.Name, err)
		}
	}
	affected := nodesOf(nodes.Items, pools)
	found := make([]policy.Budget, 0, len(budgets.Items))
	selected := map[*corev1.Pod][]int{}
	for i := range budgets.Items {
		covered, err := coveredBy(&budgets.Items[i], pods.Items)
		if err != nil {
			return nil, err
		}
		found = append(found, budgetOf(&budgets.Items[i], covered, affected))
		for _, pod := range covered {
			selected[pod] = append(selected[pod], i)
		}
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if len(selected[pod]) > 1 && pod.Status.Phase != corev1.PodPending && slices.Contains(affected, pod.Spec.NodeName) {
			share(found, selected[pod], pod)
		}
	}
	return found, nil
}

// share tells budgets of a pod that they all select. The first that is found is enough.
func share(budgets []policy.Budget, of []int, pod *corev1.Pod) {
	shared := &policy.SharedPod{Name: pod.Name, Node: pod.Spec.NodeName}
	for _, i := range of {
		shared.Budgets = append(shared.Budgets, budgets[i].Name)
	}
	slices.Sort(shared.Budgets)
	for _, i := range of {
		if budgets[i].Shared == nil {
			budgets[i].Shared = shared
		}
	}
}

// coveredBy are the pods of a budget that a drain would evict, wherever they are.
func coveredBy(budget *policyv1.PodDisruptionBudget, pods []corev1.Pod) ([]*corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("selector of disruption budget %s/%s: %w", budget.Namespace, budget.Name, err)
	}
	var covered []*corev1.Pod
	for i := range pods {
		if evictable(&pods[i]) && pods[i].Namespace == budget.Namespace && selector.Matches(labels.Set(pods[i].Labels)) {
			covered = append(covered, &pods[i])
		}
	}
	return covered, nil
}

// nodesOf are the names of the nodes of some pools.
func nodesOf(nodes []corev1.Node, pools []string) []string {
	var names []string
	for _, node := range nodes {
		if slices.Contains(pools, node.Labels[labelPool]) {
			names = append(names, node.Name)
		}
	}
	return names
}

func budgetOf(budget *policyv1.PodDisruptionBudget, covered []*corev1.Pod, affected []string) policy.Budget {
	found := policy.Budget{
		Namespace: budget.Namespace, Name: budget.Name, ExpectedPods: budget.Status.ExpectedPods,
		MaxUnavailable: textOf(budget.Spec.MaxUnavailable), MinAvailable: textOf(budget.Spec.MinAvailable),
	}
	for _, pod := range covered {
		if node := pod.Spec.NodeName; slices.Contains(affected, node) && !slices.Contains(found.Nodes, node) {
			found.Nodes = append(found.Nodes, node)
		}
	}
	// The budget's controller has not counted yet.
	if budget.Status.ObservedGeneration < budget.Generation {
		found.ExpectedPods = int32(len(covered)) //nolint:gosec // no cluster has so many pods
	}
	slices.Sort(found.Nodes)
	return found
}

func textOf(value *intstr.IntOrString) string {
	if value == nil {
		return ""
	}
	return value.String()
}

// evictable says whether a drain would have to move a pod: not one that has ended or
// is on its way, nor one of a DaemonSet or of the node itself.
func evictable(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed || pod.DeletionTimestamp != nil {
		return false
	}
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return false
	}
	owner := metav1.GetControllerOf(pod)
	return owner == nil || owner.Kind != "DaemonSet"
}

// Uses reads the use of APIs that are to be removed: what was recorded, brought up to
// what every API server counts now.
func (r Reader) Uses(ctx context.Context, cluster *v1beta1.ManagedCluster) ([]policy.APIUse, error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	known, _, err := readRecord(ctx, r.Management, cluster.Spec.ID)
	if err != nil {
		return nil, err
	}
	counted, err := r.count(ctx, cluster)
	if err != nil {
		return nil, err
	}
	return policy.MergeUses(known, counted, r.now()), nil
}

// Window is how far back the use of an API holds an upgrade up.
func (r Reader) Window(ctx context.Context) (time.Duration, error) {
	var service v1beta1.ServicePolicy
	err := r.Management.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, &service)
	if client.IgnoreNotFound(err) != nil {
		return 0, fmt.Errorf("read ServicePolicy: %w", err)
	}
	if window := service.Spec.DeprecatedAPIWindow; window != nil {
		return window.Duration, nil
	}
	return policy.DefaultDeprecatedAPIWindow, nil
}

func (r Reader) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}
