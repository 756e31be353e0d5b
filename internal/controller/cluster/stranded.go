package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

// strandedAfter is how long no node is found for a member before its data count as gone: a
// node that is made to register again has none for a moment.
const strandedAfter = 5 * time.Minute

// strandedMembers are the ordinals of etcd's pods that no node can run any more, since
// their data are on nodes that the management cluster no longer has (A3). A node that
// does not answer may come back with its data: its member is waited for until the Node
// is deleted, as Kubernetes has a StatefulSet wait.
func (r *reconciler) strandedMembers(ctx context.Context, p *pass, own []*corev1.Pod) ([]int32, error) {
	var stranded []int32
	for ordinal := range int32(controlplane.Replicas) {
		if waitingMember(own, ordinal, p.now) == nil {
			continue
		}
		claim, err := r.claimOf(ctx, p, ordinal)
		if err != nil {
			return nil, err
		}
		if claim == nil || claim.Spec.VolumeName == "" {
			continue
		}
		gone, err := r.volumeGone(ctx, claim.Spec.VolumeName)
		if err != nil {
			return nil, err
		}
		if gone {
			stranded = append(stranded, ordinal)
		}
	}
	return stranded, nil
}

// releaseStranded has the members come up elsewhere, without data, whose nodes are gone and
// whom no others replace. What comes up so counts as having lost its data: it is recovered
// from the other members or from the backups (C3). It says whether there is any.
func (r *reconciler) releaseStranded(ctx context.Context, p *pass, own []*corev1.Pod) (bool, error) {
	if released, err := r.endReleased(ctx, p, own); released || err != nil {
		return released, err
	}
	stranded, err := r.strandedMembers(ctx, p, own)
	if err != nil || len(stranded) == 0 {
		return false, err
	}
	if p.input.Members > 0 {
		if quorum, err := r.quorum(ctx, p); err != nil || quorum {
			return false, err
		}
	}
	if why := notRecoverable(&p.cluster.Status); why != "" {
		r.events.Event(p.cluster, corev1.EventTypeWarning, "EtcdMemberLost", "Wait",
			fmt.Sprintf("the node that had etcd's data is gone, and nothing is put back by itself, since %s. Bring the node back, or delete the claim of the data", why))
		return false, nil
	}
	for _, ordinal := range stranded {
		r.events.Event(p.cluster, corev1.EventTypeWarning, "EtcdMemberLost", "Recover",
			fmt.Sprintf("the node that had the data of %s is gone; it comes up without them, and they are recovered", controlplane.MemberName(ordinal)))
	}
	p.lookIn(upgradeAgain)
	_, err = r.dropClaims(ctx, p, func(ordinal int32) bool { return !slices.Contains(stranded, ordinal) })
	return true, err
}

// endReleased ends the pods whose claims were released. Their StatefulSet makes both anew; for
// a pod that is there it makes a claim when it next looks.
func (r *reconciler) endReleased(ctx context.Context, p *pass, own []*corev1.Pod) (bool, error) {
	for ordinal := range int32(controlplane.Replicas) {
		pod := waitingMember(own, ordinal, p.now)
		if pod == nil {
			continue
		}
		claim, err := r.claimOf(ctx, p, ordinal)
		if err != nil {
			return false, err
		}
		if claim == nil {
			p.lookIn(upgradeAgain)
			return true, r.endAtOnce(ctx, []*corev1.Pod{pod})
		}
	}
	return false, nil
}

// notRecoverable is why what a control plane has lost must not be taken from the backups by
// itself; empty if it may.
func notRecoverable(status *v1beta1.ManagedClusterStatus) string {
	if status.Backup == nil || status.Backup.RecoveryPoint.IsZero() {
		return "there is no backup"
	}
	if reason := policy.BackupsApart(status.Conditions); reason != "" {
		return fmt.Sprintf("the backups are not of these data, or do not open (%s)", reason)
	}
	return ""
}

// waitingMember is the pod of a member for which no node was found for too long; nil if it has
// one, or may get one yet.
func waitingMember(own []*corev1.Pod, ordinal int32, now time.Time) *corev1.Pod {
	at := slices.IndexFunc(own, func(pod *corev1.Pod) bool { return pod.Name == controlplane.MemberName(ordinal) })
	if at < 0 || !slices.ContainsFunc(own[at].Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable &&
			now.Sub(c.LastTransitionTime.Time) > strandedAfter
	}) {
		return nil
	}
	return own[at]
}

// volumeGone says whether a volume is gone, or all nodes that it is on.
func (r *reconciler) volumeGone(ctx context.Context, name string) (bool, error) {
	var volume corev1.PersistentVolume
	err := r.reader.Get(ctx, client.ObjectKey{Name: name}, &volume)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the volume of a member of etcd: %w", err)
	}
	hosts := hostsOf(&volume)
	if len(hosts) == 0 {
		return false, nil
	}
	var nodes corev1.NodeList
	if err := r.reader.List(ctx, &nodes); err != nil {
		return false, fmt.Errorf("list the nodes of the management cluster: %w", err)
	}
	return !slices.ContainsFunc(nodes.Items, func(node corev1.Node) bool { return slices.Contains(hosts, node.Labels[corev1.LabelHostname]) }), nil
}

// hostsOf are the nodes, by the label of their host name, to which a local volume keeps its
// pods; none if it keeps them to something else, or to nothing.
func hostsOf(volume *corev1.PersistentVolume) []string {
	affinity := volume.Spec.NodeAffinity
	if affinity == nil || affinity.Required == nil {
		return nil
	}
	var hosts []string
	for _, term := range affinity.Required.NodeSelectorTerms {
		at := slices.IndexFunc(term.MatchExpressions, func(one corev1.NodeSelectorRequirement) bool {
			return one.Key == corev1.LabelHostname && one.Operator == corev1.NodeSelectorOpIn
		})
		if at < 0 {
			return nil
		}
		hosts = append(hosts, term.MatchExpressions[at].Values...)
	}
	return hosts
}
