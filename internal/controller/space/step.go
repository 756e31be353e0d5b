package space

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/etcd"
	"berth.dev/berth/internal/policy"
)

// subject is an etcd in which room is made.
type subject struct {
	target etcd.Target
	// backups is the ID that its backups have.
	backups string
	// keep keeps how far the last attempt is, and ended tells how it ended.
	keep  func(context.Context, policy.EtcdSpace) error
	ended func(policy.EtcdSpace)
}

// step makes the next step. What is about to be done is written down before, and that it was
// done after: a process that dies in between has it done again, to the same member.
func (r *reconciler) step(ctx context.Context, s subject, w policy.EtcdSpace) (time.Duration, error) {
	step := policy.NextSpaceStep(w)
	switch step.Action {
	case policy.SpaceBegin:
		w.Last = policy.BeginCleaning(w, step.Reason)
		return atOnce, s.keep(ctx, w)
	case policy.SpaceCompact:
		return r.compact(ctx, s, w)
	case policy.SpaceDefragment:
		return r.defragment(ctx, s, w, step.Member)
	case policy.SpaceDisarm:
		return atOnce, r.Etcd.DisarmNoSpace(ctx, s.target)
	case policy.SpaceEnd:
		return atOnce, r.end(ctx, s, w, step.Result)
	case policy.SpaceWait:
		return lookSoon, s.keep(ctx, w)
	case policy.SpaceLetRead:
		return letRead(w), nil
	case policy.SpaceGiveUp:
		log.FromContext(ctx).Info("a full backup is given up, since etcd is full", "since", w.Reading)
		r.Fulls.GiveUp(s.backups)
		return readSoon, nil // etcd has closed it by then
	}
	if w.NoSpace {
		return lookSoon, s.keep(ctx, w)
	}
	return lookEvery, s.keep(ctx, w)
}

// letRead is after what time to look whether etcd is read still.
func letRead(w policy.EtcdSpace) time.Duration {
	if w.NoSpace {
		return readSoon
	}
	return lookSoon
}

// compact lets history go. What it gives back counts as free only where nobody reads it.
func (r *reconciler) compact(ctx context.Context, s subject, w policy.EtcdSpace) (time.Duration, error) {
	release, held := r.Fulls.Hold(s.backups)
	if !held {
		return letRead(w), nil // one has begun since
	}
	defer release()
	bounded, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if err := r.Etcd.Compact(bounded, s.target, w.Last.Revision); err != nil {
		log.FromContext(ctx).Info("history of etcd not compacted", "revision", w.Last.Revision, "error", err)
		return lookSoon, nil
	}
	w.Last.Compacted = true
	return atOnce, s.keep(ctx, w)
}

// defragment has one member defragmented, while no full backup is read. One that does not come
// to an end with it ends the attempt: it would not the next time.
func (r *reconciler) defragment(ctx context.Context, s subject, w policy.EtcdSpace, member uint64) (time.Duration, error) {
	release, held := r.Fulls.Hold(s.backups)
	if !held {
		return letRead(w), nil // one has begun since
	}
	defer release()
	id := policy.EtcdID(member)
	w.Last.Defragmenting = id
	if err := s.keep(ctx, w); err != nil {
		return 0, err
	}
	bounded, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	err := r.Etcd.Defragment(bounded, s.target, member)
	if ctx.Err() != nil {
		return 0, fmt.Errorf("defragment: %w", ctx.Err())
	}
	w.Now = r.Now()
	if err != nil {
		log.FromContext(ctx).Info("member of etcd not defragmented", "error", err)
		return atOnce, r.end(ctx, s, w, v1beta1.EtcdCleaningFailed)
	}
	w.Last.Defragmenting = ""
	w.Last.Defragmented = append(slices.Clone(w.Last.Defragmented), id)
	return atOnce, s.keep(ctx, w)
}

func (r *reconciler) end(ctx context.Context, s subject, w policy.EtcdSpace, result v1beta1.EtcdCleaningResult) error {
	at := metav1.NewTime(w.Now)
	w.Last.EndTime, w.Last.Result, w.Last.Defragmenting = &at, result, ""
	if w.Revision > 0 {
		w.Last.Noted, w.Last.After = w.Revision, w.Largest()
	}
	if err := s.keep(ctx, w); err != nil {
		return err
	}
	s.ended(w)
	return nil
}

// target is how the members of a cluster's etcd are reached.
func (r *reconciler) target(ctx context.Context, cluster *v1beta1.ManagedCluster) (etcd.Target, error) {
	namespace := v1beta1.ControlPlaneNamespace(cluster.Spec.ID)
	var roots, own corev1.Secret
	for name, secret := range map[string]*corev1.Secret{controlplane.RootsSecret: &roots, controlplane.BackupSecret: &own} {
		if err := r.reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, secret); err != nil {
			return etcd.Target{}, fmt.Errorf("certificates for etcd: %w", err)
		}
	}
	config, err := controlplane.BackupTLS(&roots, &own)
	if err != nil {
		return etcd.Target{}, err
	}
	target := etcd.Target{TLS: config}
	for _, name := range services(cluster.Status.Replicas) {
		var service corev1.Service
		if err := r.reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &service); err != nil {
			return etcd.Target{}, fmt.Errorf("address of etcd: %w", err)
		}
		if service.Spec.ClusterIP == "" {
			return etcd.Target{}, errors.New("etcd has no address")
		}
		target.Endpoints = append(target.Endpoints, fmt.Sprintf("https://%s:%d", service.Spec.ClusterIP, controlplane.EtcdPort))
	}
	return target, nil
}

// services lead to one member of etcd each.
func services(replicas *v1beta1.ControlPlaneReplicas) []string {
	if !policy.ReplicasShapeOf(replicas.At()).Addressed {
		return []string{controlplane.EtcdService}
	}
	var names []string
	for ordinal := range max(replicas.Members, 1) {
		names = append(names, controlplane.MemberName(ordinal))
	}
	return names
}
