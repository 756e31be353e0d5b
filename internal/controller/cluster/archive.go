package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
	service, err := r.servicePolicy(ctx)
	if err != nil {
		return false, err
	}
	facts, said, err := r.archiveFacts(ctx, p)
	if err != nil {
		return false, err
	}
	next, due := policy.NextArchivePhase(now, facts, policy.ArchiveAfter(service), p.now)
	if phaseOf(now) != next {
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
		// One of several replicas keeps its volumes: the proof is of a single etcd.
		Stopped: p.found.stop && status.Replicas.At() == v1beta1.ReplicasSingle && !p.cluster.Spec.SKU.HighlyAvailable() && status.Backup != nil &&
			status.PowerState.Code == v1beta1.PowerStopped && status.Initialized,
		StoppedSince: policy.PowerOf(p.cluster, p.now).StoppedSince,
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
		found := proofOf(&v1beta1.BackupProof{}, pods.pods[controlplane.ProvePod])
		facts.Proof = found.Result
		return facts, found.Message, nil
	case v1beta1.ArchiveRelease:
		gone, err := r.deleteVolumes(ctx, p)
		facts.VolumeGone = gone
		return facts, status.Archive.Message, err
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
