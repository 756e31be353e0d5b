package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/policy"
)

// annotationMarks on a Node lists the labels and taints that the service put
// there, so that those that a pool no longer has are taken away again.
const annotationMarks = "berth.dev/node-marks"

// marks is what the service wants on a Node.
type marks struct {
	Labels     map[string]string
	Taints     []corev1.Taint
	ProviderID string
	// System is the sum of those labels that the system makes.
	System string
}

// recorded is the content of annotationMarks.
type recorded struct {
	Labels []string `json:"labels,omitempty"`
	// Taints are key:effect.
	Taints []string `json:"taints,omitempty"`
	// System is the sum of the system's labels with their values, so that a change by
	// somebody else is told from the service's own (B4).
	System string `json:"system,omitempty"`
}

// wantedNode is what the Node of a machine shall show. The agent pool's mode comes
// with the Machine's labels, as the pool controller writes them.
func wantedNode(s *scene) marks {
	spec, cluster := s.object.Spec, s.cluster.Spec
	subscription := strings.TrimPrefix(s.object.Namespace, v1beta1.SubscriptionNamespace(""))
	// A Machine with a name that carries no ordinal was not made by a pool.
	providerID, _ := machine.ProviderID(subscription, cluster.NodeResourceGroup, spec.NodeName)
	want := marks{Labels: map[string]string{}, ProviderID: providerID}
	maps.Copy(want.Labels, spec.Labels)
	system := systemLabels(s.object, cluster)
	maps.Copy(want.Labels, system)
	want.System = sumOf(system)
	if spec.Quarantined {
		want.Labels[labelUpgradeStatus] = quarantined
	}
	for _, text := range spec.Taints {
		if key, value, effect, err := policy.ParseTaint(text); err == nil {
			want.Taints = append(want.Taints, corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)})
		}
	}
	return want
}

// systemLabels are those that AKS puts on every node (D:use-labels).
func systemLabels(object *v1beta1.Machine, cluster v1beta1.ManagedClusterSpec) map[string]string {
	pool, spec := poolName(object), object.Spec
	labels := map[string]string{
		"agentpool":                                pool,
		"kubernetes.azure.com/agentpool":           pool,
		"kubernetes.azure.com/role":                "agent",
		"kubernetes.azure.com/cluster":             labelValue(cluster.NodeResourceGroup),
		"kubernetes.azure.com/node-image-version":  object.Status.NodeImageVersion,
		"kubernetes.azure.com/nodepool-type":       "VirtualMachineScaleSets",
		"kubernetes.azure.com/storageprofile":      "managed",
		"kubernetes.azure.com/storagetier":         "Premium_LRS",
		"storageprofile":                           "managed",
		"storagetier":                              "Premium_LRS",
		"kubernetes.io/role":                       "agent",
		"node-role.kubernetes.io/agent":            "",
		corev1.LabelInstanceTypeStable:             spec.VMSize,
		"beta.kubernetes.io/instance-type":         spec.VMSize,
		corev1.LabelTopologyRegion:                 cluster.Location,
		"failure-domain.beta.kubernetes.io/region": cluster.Location,
		corev1.LabelTopologyZone:                   "0",
		"failure-domain.beta.kubernetes.io/zone":   "0",
	}
	// Those that come with the pool are the system's as well.
	for _, key := range []string{"kubernetes.azure.com/mode", "kubernetes.azure.com/os-sku"} {
		if value, there := spec.Labels[key]; there {
			labels[key] = value
		}
	}
	if size, ok := policy.FindVMSize(spec.VMSize); ok {
		labels["kubernetes.azure.com/sku-cpu"] = strconv.Itoa(size.CPUs)
		labels["kubernetes.azure.com/sku-memory"] = strconv.FormatInt(size.MemoryMiB, 10)
	}
	if cluster.NetworkProfile.NetworkPluginMode == "overlay" {
		labels["kubernetes.azure.com/podnetwork-type"] = "overlay"
	}
	return labels
}

// labelValue cuts a resource group's name to what a label holds, as AKS does.
func labelValue(name string) string {
	return strings.TrimRight(name[:min(63, len(name))], "-_.")
}

// poolName is the pool's own name, the last part of its object's name.
func poolName(object *v1beta1.Machine) string {
	name := strings.TrimPrefix(object.Spec.NodeName, "aks-")
	name, _, _ = strings.Cut(name, "-")
	return name
}

// mark puts labels, taints and provider id on the Node. Where the Node was changed meanwhile
// it is tried again; where the Machine was, both are looked at anew first.
func (r *Reconciler) mark(ctx context.Context, s *scene, _ *outcome) error {
	if s.tenant == nil || s.node == nil {
		return errNoTenant
	}
	want := wantedNode(s)
	moved := false
	err := retry.OnError(retry.DefaultRetry, func(error) bool { return moved }, func() error {
		moved = false
		if err := r.noteChange(ctx, s); err != nil {
			return err
		}
		before := s.node.DeepCopy()
		if !apply(s.node, want, s.recorded()) {
			return nil
		}
		if err := r.unmark(ctx, s, s.marks(want)); err != nil {
			return err
		}
		err := s.tenant.Patch(ctx, s.node, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		if apierrors.IsConflict(err) {
			if readErr := s.tenant.Get(ctx, client.ObjectKey{Name: s.ref.Name}, s.node); readErr != nil {
				return readErr
			}
			moved = true
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("mark node %s: %w", s.ref.Name, err)
	}
	return r.noteMarks(ctx, s, s.marks(want))
}

// marks are what the status says of a Node that is as wanted.
func (s *scene) marks(want marks) v1beta1.NodeMarks {
	return v1beta1.NodeMarks{Node: s.node.UID, System: want.System, Record: want.record(), Data: dataOf(s.cluster)}
}

// recorded is what the service last put on the Node, as it knows itself or, where it does
// not, as the Node says.
func (s *scene) recorded() string {
	if marked := s.object.Status.Marked; marked != nil && marked.Node == s.node.UID && marked.Data == dataOf(s.cluster) {
		return marked.Record
	}
	return s.node.Annotations[annotationMarks]
}

// record is the content of annotationMarks.
func (m marks) record() string {
	record := recorded{Labels: slices.Sorted(maps.Keys(m.Labels)), System: m.System}
	for _, taint := range m.Taints {
		record.Taints = append(record.Taints, taintID(taint))
	}
	slices.Sort(record.Taints)
	text, _ := json.Marshal(record) // strings have no way to fail
	return string(text)
}

// apply changes a Node to show what is wanted and says whether it changed.
// Labels and taints that others put there, which are not in the record, stay.
func apply(node *corev1.Node, want marks, record string) bool {
	before := node.DeepCopy()
	var old recorded
	// A record that cannot be read is taken for none: what it named stays.
	_ = json.Unmarshal([]byte(record), &old)
	wake(node)
	applyLabels(node, want.Labels, old.Labels)
	applyTaints(node, want.Taints, old.Taints)
	if node.Spec.ProviderID == "" {
		node.Spec.ProviderID = want.ProviderID
	}
	metav1.SetMetaDataAnnotation(&node.ObjectMeta, annotationMarks, want.record())
	return !equality.Semantic.DeepEqual(before, node)
}

func applyLabels(node *corev1.Node, want map[string]string, old []string) {
	for _, key := range old {
		if _, keep := want[key]; !keep {
			delete(node.Labels, key)
		}
	}
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	maps.Copy(node.Labels, want)
}

func applyTaints(node *corev1.Node, want []corev1.Taint, old []string) {
	var kept []corev1.Taint
	wanted := map[string]corev1.Taint{}
	for _, taint := range want {
		wanted[taintID(taint)] = taint
	}
	for _, taint := range node.Spec.Taints {
		id := taintID(taint)
		if mine, ok := wanted[id]; ok {
			taint.Value = mine.Value
			delete(wanted, id)
		} else if slices.Contains(old, id) {
			continue
		}
		kept = append(kept, taint)
	}
	for _, taint := range want {
		if _, missing := wanted[taintID(taint)]; missing {
			kept = append(kept, taint)
		}
	}
	node.Spec.Taints = kept
}

// taintID is what the API server takes for the same taint.
func taintID(taint corev1.Taint) string { return taint.Key + ":" + string(taint.Effect) }
