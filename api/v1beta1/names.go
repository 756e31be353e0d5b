package v1beta1

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Labels and annotations that Berth writes on its own objects.
const (
	// LabelSubscription, LabelResourceGroup, LabelCluster and LabelAgentPool
	// carry the object names (see ObjectName) of an object's parents, so that
	// children are found by a list.
	LabelSubscription  = "berth.dev/subscription"
	LabelResourceGroup = "berth.dev/resource-group"
	LabelCluster       = "berth.dev/cluster"
	LabelAgentPool     = "berth.dev/agent-pool"
	// LabelMachine carries the Machine's name on what the machine provider made.
	LabelMachine = "berth.dev/machine"
	// LabelEvidence marks, with the value true, what was saved of a machine before it
	// was made anew (X8).
	LabelEvidence = "berth.dev/evidence"
	// LabelClusterID carries ManagedCluster.spec.id on namespaces and their
	// content in the management cluster.
	LabelClusterID = "berth.dev/cluster-id"
	// AnnotationOperation names the Operation that holds a resource. It is
	// written together with the desired state in one update, so that at most one
	// operation holds a resource at any time.
	AnnotationOperation = "berth.dev/operation"
	// AnnotationAbort names the Operation that was aborted. While it is the one that
	// holds the resource, nothing new is begun for it (AKS: manage-abort-operations).
	AnnotationAbort = "berth.dev/aborted-operation"
	// AnnotationSaved is when a MaintenanceConfiguration was last changed, RFC 3339:
	// windows that start too soon after that do not count (AKS: planned-maintenance).
	AnnotationSaved = "berth.dev/saved"
	// AnnotationIgnoreBudgets, "true" on an AgentPool that is being deleted, has its nodes
	// drained past disruption budgets (AKS: delete-node-pool).
	AnnotationIgnoreBudgets = "berth.dev/ignore-pod-disruption-budget"
	// AnnotationKeyReplaced is on a Secret with a key of backups that took the place of one
	// that was lost, and says when (RFC 3339). The operator removes it when that is known.
	AnnotationKeyReplaced = "berth.dev/key-replaced"
	// AnnotationKeptFrom is on a PersistentVolume that is kept of a member of etcd (A3), and
	// names the reclaim policy that it gets back.
	AnnotationKeptFrom = "berth.dev/kept-from"
	// Finalizer keeps an object until everything made for it is gone.
	Finalizer = "berth.dev/cleanup"
)

// SystemNamespace holds Berth itself in the management cluster.
const SystemNamespace = "berth-system"

// SubscriptionNamespace is the namespace that holds a subscription's resource
// groups, clusters, pools, machines and operations.
func SubscriptionNamespace(subscriptionID string) string {
	return "sub-" + strings.ToLower(subscriptionID)
}

// ObjectName is the Kubernetes name for a chain of ARM names, such as a resource
// group, a cluster and a pool. ARM compares names without case and allows
// characters that Kubernetes does not; a name that had to be changed ends in a
// hash of the original so that two ARM names never share an object.
func ObjectName(armNames ...string) string {
	joined := strings.ToLower(strings.Join(armNames, "."))
	mapped := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, joined)
	trimmed := strings.Trim(mapped, "-.")
	if trimmed == joined && !strings.Contains(joined, "..") && !strings.Contains(joined, "-.") && !strings.Contains(joined, ".-") {
		return joined
	}
	clean := strings.NewReplacer("..", "--", "-.", "--", ".-", "--").Replace(trimmed)
	clean = strings.Trim(strings.ReplaceAll(clean, ".", "-"), "-")
	sum := sha256.Sum256([]byte(joined))
	return strings.Trim(clean+"-"+hex.EncodeToString(sum[:5]), "-")
}

// ControlPlaneNamespace holds the hosted control plane of the cluster with this id.
func ControlPlaneNamespace(clusterID string) string { return "cp-" + clusterID }

// MachineNamespace holds the machines of the cluster with this id: its node
// resource group (G1).
func MachineNamespace(clusterID string) string { return "mc-" + clusterID }

// RetainedSecret is the Secret in SystemNamespace with the roots of trust of a deleted
// cluster that can be recovered (X3).
func RetainedSecret(clusterID string) string { return "deleted-" + clusterID }

// BackupKeySecret is the Secret in SystemNamespace with the key of a cluster's backups.
func BackupKeySecret(clusterID string) string { return "backup-" + clusterID }
