package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

// archive takes the control plane of a cluster that has been stopped for long off the
// disk (J5): its etcd runs alone for a final backup and its proof, and then its volume
// goes. A start finds an etcd without data, which is recovered.
func (r *reconciler) archive(ctx context.Context, p *pass) (bool, error) {
	now := p.cluster.Status.Archive
	if now == nil && (!p.input.Stopped || !p.found.stop) {
		return true, nil
	}
	facts, said, err := r.archiveFacts(ctx, p)
	if err != nil {
		return false, err
	}
	next, due := policy.NextArchivePhase(now, facts, p.now)
	if next == v1beta1.ArchiveBackup && phaseOf(now) != next {
		r.archiving.Lock() // what is decided here is written before the next one is
		defer r.archiving.Unlock()
		mine, err := r.archiveTurn(ctx, p)
		if err != nil {
			return false, err
		}
		if !mine {
			next, due = phaseOf(now), p.now.Add(lookForTurn)
		}
	}
	if phaseOf(now) != next {
		if next == v1beta1.ArchiveRelease {
			if stays, err := r.stillStopped(ctx, p); err != nil || !stays {
				return false, err
			}
		}
		if err := r.persistArchive(ctx, p, next, said); err != nil {
			return false, err
		}
		p.lookIn(atOnce)
	}
	if !due.IsZero() {
		p.lookIn(due.Sub(p.now))
	}
	return true, r.archiveStep(ctx, p)
}

// stillStopped asks for the cluster as it is, not for what a cache has of it: before
// volumes go, it must not have been started.
func (r *reconciler) stillStopped(ctx context.Context, p *pass) (bool, error) {
	var live v1beta1.ManagedCluster
	if err := r.reader.Get(ctx, client.ObjectKeyFromObject(p.cluster), &live); err != nil {
		return false, fmt.Errorf("read cluster: %w", err)
	}
	return live.Spec.PowerState.Wanted() == v1beta1.PowerStopped, nil
}

// recoveredSince says whether etcd's data were put back at a time or after it, or may have
// been. Only then may an etcd of an archived cluster have run.
func recoveredSince(recovery *v1beta1.ControlPlaneRecovery, at metav1.Time) bool {
	return recovery != nil && recovery.Restored && recovery.EndTime != nil && !recovery.EndTime.Before(&at)
}

func phaseOf(archive *v1beta1.ClusterArchive) v1beta1.ArchivePhase {
	if archive == nil {
		return v1beta1.ArchiveNone
	}
	return archive.Phase
}

// archiveFacts are those of the phase, and what is to be said of them.
func (r *reconciler) archiveFacts(ctx context.Context, p *pass) (policy.ArchiveFacts, string, error) {
	status := &p.cluster.Status
	facts := policy.ArchiveFacts{
		Stopped: p.found.stop && policy.ReplicasAtRest(status.Replicas.At(), p.cluster.Spec.SKU.HighlyAvailable()) && status.Backup != nil &&
			status.PowerState.Code == v1beta1.PowerStopped && status.Initialized,
		Due:      policy.ArchiveDue(status.Support),
		Answered: status.APIServerReady != nil,
	}
	switch phaseOf(status.Archive) {
	case v1beta1.ArchiveBackup:
		b := status.Backup
		facts.BackedUp = b != nil && b.RecoveryPoint != nil && b.RecoveryPoint.After(status.Archive.StartTime.Time) &&
			meta.IsStatusConditionTrue(status.Conditions, v1beta1.ConditionBackedUp)
		return facts, "the final backup was not made in time", nil
	case v1beta1.ArchiveProve:
		pods, err := r.podsOf(ctx, p.cluster)
		if err != nil {
			return facts, "", err
		}
		if !pods.ended(controlplane.ProvePod, status.Archive.ID) && !pods.failed(controlplane.ProvePod, status.Archive.ID) {
			return facts, "the proof did not end in time", nil
		}
		found := finalProofOf(pods.pods[controlplane.ProvePod])
		facts.Proof = found.Result
		return facts, found.Message, nil
	case v1beta1.ArchiveRelease:
		gone, err := r.deleteVolumes(ctx, p)
		facts.VolumeGone = gone
		return facts, status.Archive.Message, err
	case v1beta1.Archived:
		var claims corev1.PersistentVolumeClaimList
		if err := r.reader.List(ctx, &claims, client.InNamespace(namespaceOf(p.cluster))); err != nil {
			return facts, "", fmt.Errorf("list claims: %w", err)
		}
		facts.VolumeGone, facts.Recovered = len(claims.Items) == 0, recoveredSince(status.Recovery, status.Archive.PhaseTime)
		return facts, "a start came to nothing", nil
	}
	return facts, "", nil
}

// archiveStep has the world be as the phase asks for. What runs is decided by workloads.
func (r *reconciler) archiveStep(ctx context.Context, p *pass) error {
	archive := p.cluster.Status.Archive
	switch phaseOf(archive) {
	case v1beta1.ArchiveBackup:
		p.input.Stopped, p.input.EtcdLast = true, true
		p.lookIn(lookAtProof)
	case v1beta1.ArchiveProve:
		p.input.Stopped, p.input.EtcdLast = true, true
		p.lookIn(lookAtProof)
		pods, err := r.podsOf(ctx, p.cluster)
		if err != nil {
			return err
		}
		if err := r.backupAddress(ctx, p); err != nil {
			return err
		}
		return r.keepPod(ctx, pods.pods[controlplane.ProvePod], controlplane.EtcdProvePod(p.input, archive.ID))
	case v1beta1.ArchiveRelease:
		p.input.Stopped = true // also when it shall start: first the volume goes
		p.lookIn(lookAgain)
	}
	return nil
}

// persistArchive writes down a phase before anything is done for it.
func (r *reconciler) persistArchive(ctx context.Context, p *pass, phase v1beta1.ArchivePhase, said string) error {
	next := ownPart(p.cluster.Status)
	at := metav1.NewTime(p.now)
	switch phase {
	case v1beta1.ArchiveNone:
		next.Archive = nil
	case v1beta1.ArchiveBackup:
		next.Archive = &v1beta1.ClusterArchive{ID: fmt.Sprintf("archive-%d", p.now.UnixMilli()), StartTime: at}
	default:
		next.Archive = next.Archive.DeepCopy()
		next.Archive.Message = said
	}
	if next.Archive != nil {
		next.Archive.Phase, next.Archive.PhaseTime = phase, at
	}
	if err := r.applyStatus(ctx, p.cluster, next); err != nil {
		return err
	}
	p.cluster.Status.Archive = next.Archive
	r.tellArchive(p.cluster, phase, said)
	return nil
}

func (r *reconciler) tellArchive(cluster *v1beta1.ManagedCluster, phase v1beta1.ArchivePhase, said string) {
	switch phase {
	case v1beta1.Archived:
		r.events.Event(cluster, corev1.EventTypeNormal, "Archived", "Archive", fmt.Sprintf("the stopped control plane is archived, its volume is gone: %s", said))
	case v1beta1.ArchiveFailed:
		r.events.Event(cluster, corev1.EventTypeWarning, "ArchiveFailed", "Archive", fmt.Sprintf("the stopped control plane keeps its volume: %s", said))
	}
}
