// Package inspect reads in managed clusters what policy must know to answer a ticket:
// ingress controllers and policy engines of the customer's, DaemonSets that reach into
// ill nodes, and admission webhooks that block the system. It changes nothing, reads no
// Secrets and decides nothing.
package inspect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
	"berth.dev/berth/internal/policy/triage"
)

// readTime is how long a managed cluster may take to answer everything.
const readTime = 15 * time.Second

// engines are DaemonSets that enforce network policies, by their names.
var engines = []string{"antrea-agent", "calico-node", "canal", "cilium", "kube-router", "weave-net"}

// Tenants finds managed clusters' API servers; *tenant.Clients does.
type Tenants interface {
	Client(ctx context.Context, clusterID string) (client.WithWatch, error)
}

// Reader reads managed clusters.
type Reader struct {
	Tenants Tenants
	// Managed are the service's own objects, as kind/namespace/name. Their labels do not
	// tell: a customer may have set those.
	Managed map[string]bool
}

// Inspect adds what the cluster's API server knows to the evidence.
func (r Reader) Inspect(ctx context.Context, cluster *v1beta1.ManagedCluster, evidence *triage.Evidence) error {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	tenant, err := r.Tenants.Client(ctx, cluster.Spec.ID)
	if err != nil {
		return err
	}
	look := inspection{reader: tenant, managed: r.Managed, evidence: evidence}
	for _, step := range []func(context.Context) error{look.ingresses, look.daemonSets, look.webhooks} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// inspection is one look into one cluster.
type inspection struct {
	reader   client.Reader
	managed  map[string]bool
	evidence *triage.Evidence
}

// ours says whether an object of a kind is the service's own.
func (i inspection) ours(kind string, object metav1.Object) bool {
	return i.managed[kind+"/"+object.GetNamespace()+"/"+object.GetName()]
}

// ingresses finds ingress controllers by their classes.
func (i inspection) ingresses(ctx context.Context) error {
	var classes networkingv1.IngressClassList
	if err := i.reader.List(ctx, &classes); err != nil {
		return fmt.Errorf("list ingress classes: %w", err)
	}
	for n := range classes.Items {
		class := &classes.Items[n]
		i.evidence.Ingresses = append(i.evidence.Ingresses, triage.Controller{Name: class.Name, Managed: i.ours("IngressClass", class)})
	}
	return nil
}

// daemonSets finds the customer's policy engines, and those DaemonSets of theirs on ill
// nodes that reach into the node.
func (i inspection) daemonSets(ctx context.Context) error {
	var sets appsv1.DaemonSetList
	if err := i.reader.List(ctx, &sets); err != nil {
		return fmt.Errorf("list DaemonSets: %w", err)
	}
	var nodes corev1.NodeList
	if err := i.reader.List(ctx, &nodes); err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	ill := illNodes(nodes.Items)
	for n := range sets.Items {
		set := &sets.Items[n]
		if i.ours("DaemonSet", set) {
			continue
		}
		if slices.Contains(engines, set.Name) {
			i.evidence.OwnPolicyEngines = append(i.evidence.OwnPolicyEngines, set.Namespace+"/"+set.Name)
		}
		reach := reachOf(&set.Spec.Template.Spec)
		if reach == "" || len(ill) == 0 {
			continue
		}
		if err := i.tuners(ctx, set, ill, len(nodes.Items)-len(ill)); err != nil {
			return err
		}
	}
	return nil
}

// illNodes are the nodes that are not Ready or have a problem that a repair can mend,
// with the time since when they are.
func illNodes(nodes []corev1.Node) map[string]time.Time {
	ill := map[string]time.Time{}
	for n := range nodes {
		for _, condition := range nodes[n].Status.Conditions {
			if !ails(condition) {
				continue
			}
			since, known := ill[nodes[n].Name]
			if !known || condition.LastTransitionTime.Time.Before(since) {
				ill[nodes[n].Name] = condition.LastTransitionTime.Time
			}
		}
	}
	return ill
}

func ails(condition corev1.NodeCondition) bool {
	if condition.Type == corev1.NodeReady {
		return condition.Status != corev1.ConditionTrue
	}
	for _, problem := range policy.NodeProblems {
		if problem.Type == condition.Type && problem.Repairs {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// reachOf says how pods get into their node, empty if they do not.
func reachOf(spec *corev1.PodSpec) string {
	for _, container := range slices.Concat(spec.InitContainers, spec.Containers) {
		if security := container.SecurityContext; security != nil && security.Privileged != nil && *security.Privileged {
			return "privileged"
		}
	}
	if spec.HostPID {
		return "hostPID"
	}
	if found := mightyOf(spec); found != "" {
		return found
	}
	if slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool { return v.HostPath != nil }) {
		return "hostPath"
	}
	return ""
}

// mighty are the capabilities that change the node itself: its kernel, its mounts, its
// memory or, with the host's network, its routes and filters.
var mighty = []corev1.Capability{"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "SYS_TIME", "DAC_READ_SEARCH", "BPF"}

// mightyOf is the first capability by which pods get into their node, empty if there is none.
func mightyOf(spec *corev1.PodSpec) string {
	for _, container := range slices.Concat(spec.InitContainers, spec.Containers) {
		if container.SecurityContext == nil || container.SecurityContext.Capabilities == nil {
			continue
		}
		for _, added := range container.SecurityContext.Capabilities.Add {
			name := corev1.Capability(strings.TrimPrefix(strings.ToUpper(string(added)), "CAP_"))
			if slices.Contains(mighty, name) || name == "NET_ADMIN" && spec.HostNetwork {
				return string(name)
			}
		}
	}
	return ""
}

// tuners finds a DaemonSet's pods on ill nodes, and how healthy nodes fare with the same
// revision of it.
func (i inspection) tuners(ctx context.Context, set *appsv1.DaemonSet, ill map[string]time.Time, healthy int) error {
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		return fmt.Errorf("selector of DaemonSet %s/%s: %w", set.Namespace, set.Name, err)
	}
	var pods corev1.PodList
	if err := i.reader.List(ctx, &pods, client.InNamespace(set.Namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return fmt.Errorf("list pods of DaemonSet %s/%s: %w", set.Namespace, set.Name, err)
	}
	var found []placed
	healthyWith, healthySince := map[string]int{}, map[string]time.Time{}
	for n := range pods.Items {
		pod := &pods.Items[n]
		owner := metav1.GetControllerOf(pod)
		if owner == nil || owner.UID != set.UID || pod.Spec.NodeName == "" || pod.Status.StartTime == nil {
			continue
		}
		revision, start := pod.Labels[appsv1.DefaultDaemonSetUniqueLabelKey], pod.Status.StartTime.Time
		if since, isIll := ill[pod.Spec.NodeName]; isIll {
			found = append(found, placed{revision, triage.Tuner{
				Name: set.Namespace + "/" + set.Name, Reach: reachOf(&set.Spec.Template.Spec), Node: pod.Spec.NodeName, Started: start, IllSince: since,
			}})
			continue
		}
		healthyWith[revision]++
		if first, known := healthySince[revision]; !known || start.Before(first) {
			healthySince[revision] = start
		}
	}
	for _, one := range found {
		tuner := one.tuner
		tuner.HealthyWith, tuner.HealthySince = healthyWith[one.revision], healthySince[one.revision]
		tuner.HealthyWithout = max(healthy-tuner.HealthyWith, 0)
		i.evidence.Tuners = append(i.evidence.Tuners, tuner)
	}
	return nil
}

// placed is a DaemonSet on an ill node, in one of its revisions.
type placed struct {
	revision string
	tuner    triage.Tuner
}
