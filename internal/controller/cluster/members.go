package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/etcd"
	"berth.dev/berth/internal/policy"
)

// membersAgain is how soon an etcd is looked at again that has not all of its members.
const membersAgain = 2 * time.Second

// Members reads and changes the membership of a hosted etcd; etcd.Client is one.
type Members interface {
	List(ctx context.Context, target etcd.Target) ([]etcd.Member, error)
	Corruption(ctx context.Context, target etcd.Target) (etcd.Corruption, error)
	Alarms(ctx context.Context, target etcd.Target) ([]string, error)
	Do(ctx context.Context, target etcd.Target, change etcd.Change) error
	Compact(ctx context.Context, target etcd.Target, revision int64) error
}

// members does the next step towards the members that etcd is to have, and says whether
// all is as wanted. What etcd refuses, or does not answer, is asked again: the rest of the
// control plane does not wait for it.
func (r *reconciler) members(ctx context.Context, p *pass, seen seenReplicas) (bool, error) {
	target, world, known, err := r.seeMembers(ctx, p, seen)
	if err != nil || !known {
		return false, err
	}
	if err := r.corruption(ctx, p, target, &world); err != nil {
		p.found.replicas.add(err.Error())
		return false, nil
	}
	if p.found.upgrading && !world.Alarmed && world.Replacing == nil {
		return false, r.followMembers(ctx, p, world)
	}
	if world.Kept, err = r.isKept(ctx, p, world); err != nil {
		return false, err
	}
	if err := r.followMembers(ctx, p, world); err != nil {
		return false, err
	}
	action, ordinal := policy.NextEtcdStep(world)
	if action != policy.EtcdSettled && action != policy.EtcdWait {
		p.lookIn(upgradeAgain)
	}
	if err := r.etcdStep(ctx, p, target, world, action, ordinal); err != nil {
		return false, err
	}
	if action != policy.EtcdSettled {
		return false, nil
	}
	gone, err := r.dropClaims(ctx, p, func(ordinal int32) bool { return ordinal < world.Wanted })
	return gone && seen.etcdReady(world.Wanted), err
}

// seeMembers asks etcd for its members, and has one without data join while there is one that
// has not come up. It is not known who they are if etcd does not answer: what members start
// with stays as it is then.
func (r *reconciler) seeMembers(ctx context.Context, p *pass, seen seenReplicas) (target etcd.Target, world policy.EtcdWorld, known bool, err error) {
	p.lookIn(membersAgain)
	if target, err = r.etcdTarget(ctx, p); err != nil {
		return target, world, false, err
	}
	listed, err := r.Members.List(ctx, target)
	if err != nil {
		p.found.replicas.add(err.Error())
		return target, world, false, r.keepJoining(ctx, p)
	}
	r.silent.forget(p.cluster.UID)
	if world, err = r.etcdWorld(ctx, p, seen, listed); err == nil {
		p.input.Joining = joining(world)
	}
	return target, world, err == nil, err
}

// joining are the ordinals of all members while there is one that has not come up; none else: a
// member that loses its data must not come up without them.
func joining(w policy.EtcdWorld) []int32 {
	if !slices.ContainsFunc(w.Members, func(m policy.EtcdMember) bool { return !m.Started }) {
		return nil
	}
	ordinals := make([]int32, 0, len(w.Members))
	for _, m := range w.Members {
		ordinals = append(ordinals, m.Ordinal)
	}
	return ordinals
}

// silentFor is how long an etcd that does not tell who its members are has members join as
// before: an election takes less. Without a majority none can join.
const silentFor = time.Minute

// keepJoining has members start with what they start with now.
func (r *reconciler) keepJoining(ctx context.Context, p *pass) error {
	since, silent := r.silent.get(p.cluster.UID)
	if !silent {
		since = p.now
		r.silent.set(p.cluster.UID, since)
	}
	if p.now.Sub(since).Abs() >= silentFor {
		return nil
	}
	var config corev1.ConfigMap
	err := r.reader.Get(ctx, client.ObjectKey{Namespace: namespaceOf(p.cluster), Name: controlplane.EtcdConfigMap}, &config)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read what members of etcd start with: %w", err)
	}
	p.input.Joining = controlplane.JoiningIn(&config)
	return nil
}

// etcdTarget is how the members that run are reached.
func (r *reconciler) etcdTarget(ctx context.Context, p *pass) (etcd.Target, error) {
	target, err := r.etcdWithout(ctx, p.cluster)
	if err != nil {
		return target, err
	}
	for _, address := range p.input.MemberAddresses[:min(int(p.input.Members), len(p.input.MemberAddresses))] {
		target.Endpoints = append(target.Endpoints, fmt.Sprintf("https://%s:%d", address, controlplane.EtcdPort))
	}
	return target, nil
}

// etcdWithout is how an etcd is reached, without its addresses.
func (r *reconciler) etcdWithout(ctx context.Context, cluster *v1beta1.ManagedCluster) (etcd.Target, error) {
	stored, err := r.storedSecrets(ctx, cluster)
	if err != nil {
		return etcd.Target{}, err
	}
	roots, own := stored[controlplane.RootsSecret], stored[controlplane.BackupSecret]
	if roots == nil || own == nil {
		return etcd.Target{}, errors.New("etcd's certificates are not there")
	}
	config, err := controlplane.BackupTLS(roots, own)
	return etcd.Target{TLS: config}, err
}

// etcdWorld puts together what a step is decided on.
func (r *reconciler) etcdWorld(ctx context.Context, p *pass, seen seenReplicas, listed []etcd.Member) (policy.EtcdWorld, error) {
	now, highlyAvailable := p.cluster.Status.Replicas, p.cluster.Spec.SKU.HighlyAvailable()
	w := policy.EtcdWorld{
		Wanted:  policy.WantedMembers(now.At(), highlyAvailable),
		Alone:   now.At() == v1beta1.ReplicasAddress && !highlyAvailable,
		Serving: policy.ReplicasShapeOf(now.At()).Replicated,
		Lost:    lostMembers(seen.pods.own),
	}
	stranded, err := r.strandedMembers(ctx, p, seen.pods.own)
	if err != nil {
		return w, err
	}
	w.Lost = append(w.Lost, stranded...)
	for _, m := range listed {
		member := policy.EtcdMember{ID: m.ID, Started: m.Name != "", Learner: m.Learner, Healthy: m.Healthy, Leader: m.Leader}
		ordinal, ok := controlplane.MemberOf(m.Peer)
		if !ok {
			member.Alone = true // the first member, which nobody else has reached yet
		}
		member.Ordinal = ordinal
		w.Members = append(w.Members, member)
	}
	if now.Replacing == nil {
		return w, nil
	}
	id, err := strconv.ParseUint(now.Replacing.ID, 16, 64)
	if err != nil {
		return w, fmt.Errorf("read which member is replaced: %w", err)
	}
	claim, err := r.claimOf(ctx, p, now.Replacing.Ordinal)
	if err != nil {
		return w, err
	}
	w.Replacing = &policy.EtcdReplacement{ID: id, Ordinal: now.Replacing.Ordinal, Wiped: claim == nil || string(claim.UID) != now.Replacing.Claim}
	return w, nil
}

// followMembers has as many pods as etcd has members.
func (r *reconciler) followMembers(ctx context.Context, p *pass, w policy.EtcdWorld) error {
	pods := int32(1)
	for _, m := range w.Members {
		pods = max(pods, m.Ordinal+1)
	}
	if now := p.cluster.Status.Replicas; now.Members != pods && (pods > now.Members || w.Wanted < now.Members) {
		next := now.DeepCopy()
		next.Members = pods
		if err := r.persistReplicas(ctx, p, next); err != nil {
			return err
		}
		p.input.Members = pods
	}
	return nil
}

// etcdChanges are the steps that are calls to etcd.
var etcdChanges = map[policy.EtcdAction]etcd.Action{
	policy.EtcdAddress: etcd.Update, policy.EtcdMoveLeader: etcd.MoveLeader, policy.EtcdRemove: etcd.Remove,
	policy.EtcdAddLearner: etcd.AddLearner, policy.EtcdAddVoter: etcd.AddVoter, policy.EtcdPromote: etcd.Promote,
	policy.EtcdDisarm: etcd.Disarm,
}

// etcdStep carries one step out.
func (r *reconciler) etcdStep(ctx context.Context, p *pass, target etcd.Target, w policy.EtcdWorld, action policy.EtcdAction, ordinal int32) error {
	switch action {
	case policy.EtcdKeep:
		return r.keepMember(ctx, p, memberWith(w, ordinal))
	case policy.EtcdMark:
		return r.markMember(ctx, p, w, memberWith(w, ordinal))
	case policy.EtcdForget:
		r.events.Event(p.cluster, corev1.EventTypeNormal, "EtcdMemberReplaced", "Replace", fmt.Sprintf("%s was made anew", controlplane.MemberName(w.Replacing.Ordinal)))
		next := p.cluster.Status.Replicas.DeepCopy()
		next.Replacing = nil
		return r.persistReplicas(ctx, p, next)
	case policy.EtcdWipe:
		return r.wipeMember(ctx, p)
	}
	kind, call := etcdChanges[action]
	if !call {
		return nil
	}
	if action == policy.EtcdAddLearner || action == policy.EtcdAddVoter {
		if marked, err := r.markLeftover(ctx, p, ordinal); marked || err != nil {
			return err
		}
	}
	if err := r.Members.Do(ctx, target, changeOf(w, kind, ordinal)); err != nil {
		p.found.replicas.add(err.Error())
		return nil
	}
	if action == policy.EtcdDisarm {
		r.agreed(ctx, p, target, w)
	}
	return nil
}

// changeOf is the call to etcd that a step is.
func changeOf(w policy.EtcdWorld, kind etcd.Action, ordinal int32) etcd.Change {
	change := etcd.Change{Action: kind, Peer: controlplane.MemberPeer(ordinal), ID: memberWith(w, ordinal).ID}
	if kind == etcd.Update && w.Alone {
		change.Peer = controlplane.SinglePeer
	}
	if kind == etcd.Remove && w.Replacing != nil && ordinal == w.Replacing.Ordinal {
		change.ID = w.Replacing.ID
	}
	return change
}

func memberWith(w policy.EtcdWorld, ordinal int32) policy.EtcdMember {
	for _, m := range w.Members {
		if m.Ordinal == ordinal {
			return m
		}
	}
	return policy.EtcdMember{}
}

// markMember writes down that a member is replaced, before anything is done for it. A
// snapshot of before an upgrade may be of what it held.
func (r *reconciler) markMember(ctx context.Context, p *pass, w policy.EtcdWorld, m policy.EtcdMember) error {
	claim, err := r.claimOf(ctx, p, m.Ordinal)
	if err != nil {
		return err
	}
	dropped, err := r.dropSnapshot(ctx, p)
	if err != nil {
		return err
	}
	next := p.cluster.Status.Replicas.DeepCopy()
	next.Replacing = &v1beta1.MemberReplacement{Ordinal: m.Ordinal, ID: strconv.FormatUint(m.ID, 16)}
	if claim != nil {
		next.Replacing.Claim = string(claim.UID)
	}
	why, kept := "does not start on its data any more, or they are on a node that is gone", ""
	if m.ID == w.Odd {
		why = "holds other data than the two others, which agree"
		if !m.Healthy {
			why = "held other data than the two others, which agree, as the alarm CORRUPT says, and is away"
		}
		next.Kept = keptAnew(next.Kept, m, p.now)
		if kept, err = r.keptWhere(ctx, next.Kept, m); err != nil {
			return err
		}
	}
	if err := r.persistReplicas(ctx, p, next); err != nil {
		return err
	}
	r.events.Event(p.cluster, corev1.EventTypeWarning, "EtcdMemberLost", "Replace",
		fmt.Sprintf("%s %s. It is made anew; the others have all that was written%s%s", controlplane.MemberName(m.Ordinal), why, kept, dropped))
	return nil
}

// markLeftover has the volume go that an earlier member left in the place of a new one,
// which would not start on it.
func (r *reconciler) markLeftover(ctx context.Context, p *pass, ordinal int32) (bool, error) {
	if p.cluster.Status.Replicas.Replacing != nil {
		return false, nil
	}
	claim, err := r.claimOf(ctx, p, ordinal)
	if err != nil || claim == nil {
		return false, err
	}
	next := p.cluster.Status.Replicas.DeepCopy()
	next.Replacing = &v1beta1.MemberReplacement{Ordinal: ordinal, ID: "0", Claim: string(claim.UID)}
	return true, r.persistReplicas(ctx, p, next)
}

// wipeMember deletes the volume of a member that is replaced, and its pod, which holds it.
func (r *reconciler) wipeMember(ctx context.Context, p *pass) error {
	replacing := p.cluster.Status.Replicas.Replacing
	claim, err := r.claimOf(ctx, p, replacing.Ordinal)
	if err != nil {
		return err
	}
	if claim != nil && string(claim.UID) == replacing.Claim && claim.DeletionTimestamp.IsZero() {
		if replacing.Ordinal == 0 { // whose volume has it
			if _, err := r.dropSnapshot(ctx, p); err != nil {
				return err
			}
		}
		if err := r.client.Delete(ctx, claim, client.Preconditions{UID: &claim.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete claim %s: %w", claim.Name, err)
		}
	}
	var pod corev1.Pod
	err = r.reader.Get(ctx, client.ObjectKey{Namespace: namespaceOf(p.cluster), Name: controlplane.MemberName(replacing.Ordinal)}, &pod)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read a replaced member's pod: %w", err)
	}
	return r.hasten(ctx, &pod)
}

// lostMembers are the ordinals of etcd's pods that end each time they start.
func lostMembers(own []*corev1.Pod) []int32 {
	var lost []int32
	for ordinal := range int32(controlplane.Replicas) {
		for _, pod := range own {
			if pod.Name == controlplane.MemberName(ordinal) && deadEtcd([]*corev1.Pod{pod}, nil) != "" {
				lost = append(lost, ordinal)
			}
		}
	}
	return lost
}

// add says more about why the control plane is not redundant.
func (d *redundancy) add(why string) {
	if !d.ok {
		d.message += ": " + why
	}
}
