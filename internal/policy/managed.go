package policy

import "slices"

// ManagedHook is a part of managed objects that is the customer's, though the objects
// are put back otherwise (A7).
type ManagedHook struct {
	// Kinds that have it; none means all.
	Kinds []string
	// Path leads to it from the object's root; "*" is any item of a list.
	Path []string
	// Only is the one key below Path, if it is not all, and Except a prefix of keys that
	// are not the customer's.
	Only, Except string
	// Annotation of the object that opens it with the value "enabled"; empty: open always.
	Annotation string
	// Why says who needs it.
	Why string
}

// hookOpen is the value of an annotation that opens a hook (AKS: customize-resource-configuration).
const hookOpen = "enabled"

// overrideResources is AKS's annotation for a component's requests and limits.
const overrideResources = "kubernetes.azure.com/override-requests-limits"

// ManagedHooks are all of them. What no row names is put back.
func ManagedHooks() []ManagedHook {
	workloads := []string{"Deployment", "DaemonSet"}
	return []ManagedHook{
		{Path: []string{"metadata", "annotations"}, Why: "tools note things there, and AKS's own hooks stand there; they change nothing of what runs"},
		{Kinds: []string{"Namespace"}, Path: []string{"metadata", "labels"}, Except: "pod-security.kubernetes.io/",
			Why: "B4: policies select namespaces by the customer's labels; a level of pod security would keep components from starting"},
		{Kinds: workloads, Path: []string{"spec", "template", "metadata", "annotations"}, Only: "kubectl.kubernetes.io/restartedAt",
			Why: "kubectl rollout restart, as AKS asks for after a change of coredns-custom"},
		{Kinds: workloads, Path: []string{"spec", "template", "spec", "containers", "*", "resources"}, Annotation: overrideResources,
			Why: "AKS: customize-resource-configuration"},
	}
}

// applies says whether the hook is there in an object of the kind with these annotations.
func (h ManagedHook) applies(kind string, annotations map[string]string) bool {
	return (len(h.Kinds) == 0 || slices.Contains(h.Kinds, kind)) && (h.Annotation == "" || annotations[h.Annotation] == hookOpen)
}

// holds says whether a path is the hook's. Path itself is too: it is the map that its
// keys are in.
func (h ManagedHook) holds(path []string) bool {
	if len(path) < len(h.Path) || !slices.Equal(path[:len(h.Path)], h.Path) {
		return false
	}
	if len(path) == len(h.Path) {
		return true
	}
	key := path[len(h.Path)]
	if h.Only != "" {
		return key == h.Only
	}
	return h.Except == "" || len(key) < len(h.Except) || key[:len(h.Except)] != h.Except
}

// CustomersField says whether a field of a managed object is the customer's. The path
// has "*" for any item of a list.
func CustomersField(kind string, annotations map[string]string, path []string) bool {
	return slices.ContainsFunc(ManagedHooks(), func(h ManagedHook) bool { return h.applies(kind, annotations) && h.holds(path) })
}

// CustomersResources says whether the requests and limits of a component's containers
// are the customer's.
func CustomersResources(kind string, annotations map[string]string) bool {
	return CustomersField(kind, annotations, []string{"spec", "template", "spec", "containers", "*", "resources"})
}

// ManagedRefusal is a change of managed objects that customers are refused, where to put
// it back would come too late (A7).
type ManagedRefusal struct {
	// Group and Resources are the kinds of objects.
	Group     string
	Resources []string
	// Names are the objects' names; none means all that are managed.
	Names []string
	// Operations are CREATE, UPDATE, DELETE.
	Operations []string
	// Fields are those that an UPDATE must leave alone; none means the whole object.
	Fields []string
	// Clause is what the customer is told to read, Why what would come of it.
	Clause, Why string
}

// ManagedRefusals are all of them. Everything else is let through and put back.
func ManagedRefusals() []ManagedRefusal {
	const rbac = "rbac.authorization.k8s.io"
	return []ManagedRefusal{
		{Group: rbac, Resources: []string{"clusterroles", "clusterrolebindings", "roles", "rolebindings"}, Operations: []string{"UPDATE", "DELETE"},
			Clause: "A7", Why: "it holds the rights of managed components"},
		{Group: rbac, Resources: []string{"clusterroles", "clusterrolebindings"}, Names: []string{"aks-service", "aks-service-rolebinding"},
			Operations: []string{"CREATE", "UPDATE", "DELETE"}, Clause: "C7", Why: "the name is support's, whose rights only the service gives"},
		{Resources: []string{"serviceaccounts"}, Operations: []string{"DELETE"},
			Clause: "A7", Why: "the tokens of running components would be void"},
		{Resources: []string{"services"}, Names: []string{"kube-dns"}, Operations: []string{"DELETE"},
			Clause: "A7", Why: "the address that every pod asks for names would be free to be taken"},
		// Labels, annotations and finalizers, ephemeral containers, evictions and deletions stay open.
		{Resources: []string{"pods", "pods/resize"}, Operations: []string{"UPDATE"}, Fields: []string{"spec", "metadata.ownerReferences"},
			Clause: "A7", Why: "its Deployment or DaemonSet, which says what it runs, would not notice"},
	}
}

// ManagedWriters are the users that no refusal holds for, beside Berth itself: the API
// server and those of Kubernetes' controllers that clean up, aggregate, and adopt and
// release pods. Others that write pods, kubelets and the scheduler too, use subresources.
func ManagedWriters() []string {
	return []string{
		"system:apiserver", "system:kube-controller-manager",
		"system:serviceaccount:kube-system:clusterrole-aggregation-controller",
		"system:serviceaccount:kube-system:daemon-set-controller",
		"system:serviceaccount:kube-system:generic-garbage-collector",
		"system:serviceaccount:kube-system:namespace-controller",
		"system:serviceaccount:kube-system:replicaset-controller",
	}
}
