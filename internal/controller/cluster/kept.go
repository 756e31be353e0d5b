package cluster

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

// defaultOddMemberRetention is ServicePolicy.spec.oddMemberRetention when nothing is set.
const defaultOddMemberRetention = 7 * 24 * time.Hour

// isKept says whether the volume of the member that holds other data than the others outlives
// its claim, as far as there is one that is to be kept (A3).
func (r *reconciler) isKept(ctx context.Context, p *pass, w policy.EtcdWorld) (bool, error) {
	at := slices.IndexFunc(w.Members, func(m policy.EtcdMember) bool { return m.ID == w.Odd })
	if at < 0 {
		return false, nil
	}
	m := w.Members[at]
	volume, err := r.volumeToKeep(ctx, p, m.Ordinal)
	if err != nil || volume == nil {
		return err == nil, err
	}
	kept := p.cluster.Status.Replicas.Kept
	return isOf(kept, m) && kept.Volume == volume.Name && volume.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain, nil
}

// isOf says whether what is kept is what this member holds.
func isOf(kept *v1beta1.KeptMember, m policy.EtcdMember) bool {
	return kept != nil && kept.ID == strconv.FormatUint(m.ID, 16)
}

// keptAnew is what is kept of a member, from now on: it may have been odd before, and have
// gone on as the others agreed with it again.
func keptAnew(kept *v1beta1.KeptMember, m policy.EtcdMember, now time.Time) *v1beta1.KeptMember {
	if !isOf(kept, m) {
		return kept
	}
	next := kept.DeepCopy()
	next.Time = metav1.NewTime(now)
	return next
}

// keepMember has the volume of a member outlive its claim, in the place of the one that was
// kept before. It is written down first.
func (r *reconciler) keepMember(ctx context.Context, p *pass, m policy.EtcdMember) error {
	volume, err := r.volumeToKeep(ctx, p, m.Ordinal)
	if err != nil || volume == nil {
		return err
	}
	now := p.cluster.Status.Replicas
	if !isOf(now.Kept, m) || now.Kept.Volume != volume.Name {
		if now.Kept != nil && now.Kept.Volume != volume.Name {
			if err := r.letGoOf(ctx, now.Kept.Volume); err != nil {
				return err
			}
		}
		next := now.DeepCopy()
		next.Kept = &v1beta1.KeptMember{
			Name: controlplane.MemberName(m.Ordinal), ID: strconv.FormatUint(m.ID, 16), Volume: volume.Name, Time: metav1.NewTime(p.now),
		}
		if err := r.persistReplicas(ctx, p, next); err != nil {
			return err
		}
	}
	if volume.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain {
		return nil
	}
	before := volume.DeepCopy()
	metav1.SetMetaDataAnnotation(&volume.ObjectMeta, v1beta1.AnnotationKeptFrom, string(volume.Spec.PersistentVolumeReclaimPolicy))
	volume.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	if err := r.client.Patch(ctx, volume, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("keep volume %s: %w", volume.Name, err)
	}
	return nil
}

// keptMember lets a volume go that has been kept for long enough.
func (r *reconciler) keptMember(ctx context.Context, p *pass) (bool, error) {
	now := p.cluster.Status.Replicas
	if now == nil || now.Kept == nil {
		return true, nil
	}
	retention, err := r.oddMemberRetention(ctx)
	if err != nil {
		return false, err
	}
	if left := now.Kept.Time.Add(retention).Sub(p.now); left > 0 {
		p.lookIn(min(left, resync))
		return true, nil
	}
	if err := r.letGoOf(ctx, now.Kept.Volume); err != nil {
		return false, err
	}
	r.events.Event(p.cluster, corev1.EventTypeNormal, "EtcdMemberNotKept", "Remove",
		fmt.Sprintf("volume %s is not kept any more, with what %s held that was made anew", now.Kept.Volume, now.Kept.Name))
	next := now.DeepCopy()
	next.Kept = nil
	return true, r.persistReplicas(ctx, p, next)
}

func (r *reconciler) oddMemberRetention(ctx context.Context) (time.Duration, error) {
	service, err := r.servicePolicy(ctx)
	if service.OddMemberRetention == nil {
		return defaultOddMemberRetention, err
	}
	return service.OddMemberRetention.Duration, err
}

// volumeToKeep is a member's volume; nil if it has none, or nothing is to be kept.
func (r *reconciler) volumeToKeep(ctx context.Context, p *pass, ordinal int32) (*corev1.PersistentVolume, error) {
	retention, err := r.oddMemberRetention(ctx)
	if err != nil || retention <= 0 {
		return nil, err
	}
	claim, err := r.claimOf(ctx, p, ordinal)
	if err != nil || claim == nil || claim.Spec.VolumeName == "" {
		return nil, err
	}
	return r.volumeOf(ctx, claim.Spec.VolumeName)
}

// volumeOf reads a volume; nil if there is none.
func (r *reconciler) volumeOf(ctx context.Context, name string) (*corev1.PersistentVolume, error) {
	var volume corev1.PersistentVolume
	err := r.reader.Get(ctx, client.ObjectKey{Name: name}, &volume)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read volume %s: %w", name, err)
	}
	return &volume, nil
}

func (r *reconciler) letGoOf(ctx context.Context, name string) error {
	volume, err := r.volumeOf(ctx, name)
	if err != nil || volume == nil {
		return err
	}
	return r.letGoVolume(ctx, volume)
}

// letGoVolume gives a volume that was kept the reclaim policy back that it had, by which its
// provisioner removes it. One that was to be retained before is the operator's.
func (r *reconciler) letGoVolume(ctx context.Context, volume *corev1.PersistentVolume) error {
	from := volume.Annotations[v1beta1.AnnotationKeptFrom]
	if from == "" {
		return nil
	}
	before := volume.DeepCopy()
	delete(volume.Annotations, v1beta1.AnnotationKeptFrom)
	volume.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimPolicy(from)
	if err := r.client.Patch(ctx, volume, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("let go of volume %s: %w", volume.Name, err)
	}
	return nil
}

// keptWhere says where the operator finds what a member held; empty if it is not kept.
func (r *reconciler) keptWhere(ctx context.Context, kept *v1beta1.KeptMember, m policy.EtcdMember) (string, error) {
	if !isOf(kept, m) {
		return "", nil
	}
	retention, err := r.oddMemberRetention(ctx)
	if err != nil {
		return "", err
	}
	volume, err := r.volumeOf(ctx, kept.Volume)
	if err != nil || volume == nil {
		return "", err
	}
	said := fmt.Sprintf(". What it held is kept until %s in the volume %s", kept.Time.Add(retention).UTC().Format(time.RFC3339), kept.Volume)
	if volume.Spec.Local != nil {
		said += ", " + volume.Spec.Local.Path
	}
	if hosts := hostsOf(volume); len(hosts) > 0 {
		said += " on " + strings.Join(hosts, ", ")
	}
	return said, nil
}
