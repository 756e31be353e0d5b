package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
)

// majorityLost says whether so many members do not start any more that etcd cannot go on.
func (r *reconciler) majorityLost(ctx context.Context, p *pass, own []*corev1.Pod) (string, error) {
	lost, members := lostAgain(own), p.input.Members
	if members-lost > members/2 {
		return "", nil
	}
	if quorum, err := r.quorum(ctx, p); err != nil || quorum {
		return "", err // those that do not start have no vote
	}
	return fmt.Sprintf("%d of %d members of etcd do not start any more", lost, members), nil
}

// quorum says whether the members that run are enough for etcd to go on.
func (r *reconciler) quorum(ctx context.Context, p *pass) (bool, error) {
	target, err := r.etcdTarget(ctx, p)
	if err != nil {
		return false, err
	}
	_, err = r.Members.List(ctx, target)
	return err == nil, nil
}

// lostAgain counts the members that have failed more than one start: what befalls several at
// once, as a disk that is full for a moment, is given another.
func lostAgain(own []*corev1.Pod) int32 {
	lost := int32(0)
	for _, ordinal := range lostMembers(own) {
		for _, pod := range own {
			if pod.Name != controlplane.MemberName(ordinal) {
				continue
			}
			for _, container := range pod.Status.ContainerStatuses {
				if container.RestartCount > 0 {
					lost++
					break
				}
			}
		}
	}
	return lost
}

// examineMembers looks at the data of one member after the other, and says whether it is
// known of all. Nothing is deleted before: any of them may be ahead of the others.
func (r *reconciler) examineMembers(ctx context.Context, p *pass, pods upgradePods) (bool, error) {
	now := p.cluster.Status.Recovery
	ordinal := int32(len(now.Examined))
	if ordinal >= now.Examine {
		return true, nil
	}
	p.stopForRecovery()
	id := fmt.Sprintf("%s-%s", now.ID, controlplane.MemberName(ordinal))
	claim, err := r.claimOf(ctx, p, ordinal)
	switch {
	case err != nil:
		return false, err
	case claim == nil:
		return false, r.persistExamined(ctx, p, v1beta1.MemberData{Damage: "it has no volume"})
	case pods.ended(controlplane.RecoverPod, id):
		found, err := memberDataOf(pods.pods[controlplane.RecoverPod])
		if err != nil {
			return false, fmt.Errorf("data of %s: %w", controlplane.MemberName(ordinal), err)
		}
		return false, r.persistExamined(ctx, p, found)
	}
	return false, r.recoverPod(ctx, p, pods, controlplane.EtcdLookPod(p.input, id, ordinal))
}

// persistExamined writes down what was found of the next member, and with the last which one
// is kept.
func (r *reconciler) persistExamined(ctx context.Context, p *pass, found v1beta1.MemberData) error {
	next := p.cluster.Status.Recovery.DeepCopy()
	next.Examined = append(next.Examined, found)
	if int32(len(next.Examined)) == next.Examine {
		next.Member = furthest(next.Examined)
	}
	p.lookIn(atOnce)
	return r.persistRecovery(ctx, p, next)
}

// furthest is the ordinal of the member that has all that a majority has acknowledged: the
// one with the highest term, and of those with the highest index. Of damaged data nobody
// knows how far they reach; they come last.
func furthest(members []v1beta1.MemberData) int32 {
	best := 0
	for i, m := range members {
		switch b := members[best]; {
		case m.Damage != "":
		case b.Damage != "", m.Term > b.Term, m.Term == b.Term && m.Index > b.Index:
			best = i
		}
	}
	return int32(best)
}

// complete says whether the one that is furthest has all that was acknowledged: of what a majority
// has, one of those is seen whose data are sound, if they are a majority too.
func complete(members []v1beta1.MemberData) bool {
	return 2*sound(members) > len(members)
}

func sound(members []v1beta1.MemberData) (n int) {
	for _, m := range members {
		if m.Damage == "" {
			n++
		}
	}
	return n
}

// alone says of which member the data were, of several.
func alone(recovery *v1beta1.ControlPlaneRecovery) string {
	if recovery.Examine == 0 {
		return ""
	}
	why := "no member has sound data"
	if n := sound(recovery.Examined); n > 0 {
		why = fmt.Sprintf("%d of %d members have sound data, and none reach further", n, recovery.Examine)
	}
	return fmt.Sprintf("; it is %s that goes on, since %s, and the others are made anew from it", controlplane.MemberName(recovery.Member), why)
}

// memberDataOf reads what a pod found that looked at a member's data.
func memberDataOf(pod *corev1.Pod) (v1beta1.MemberData, error) {
	for _, container := range pod.Status.ContainerStatuses {
		ended := container.State.Terminated
		if ended == nil {
			continue
		}
		var found v1beta1.MemberData
		if err := json.Unmarshal([]byte(ended.Message), &found); err != nil {
			return found, fmt.Errorf("read the report: %w", err)
		}
		if found.Damage == "" && found.Index <= 0 {
			return found, fmt.Errorf("the report says nothing: %q", ended.Message)
		}
		return found, nil
	}
	return v1beta1.MemberData{}, fmt.Errorf("pod %s has no report", pod.Name)
}
