package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/etcd"
	"berth.dev/berth/internal/policy"
)

const (
	// looksApart is how long after a first look what the members hold is looked at again, if
	// nothing else is set: nothing is read or written meanwhile.
	looksApart = 10 * time.Second
	// tornAgain is how soon an etcd is looked at again that waits for the operator: all that
	// its members hold is read for it.
	tornAgain = time.Minute
	// unbroken is how far apart looks are at most that follow one another.
	unbroken = 5 * tornAgain
	// forgetTime bounds what is done to have etcd forget why it raised an alarm.
	forgetTime = 30 * time.Second
)

// looks remembers what the members of etcds with the alarm CORRUPT were seen to hold.
type looks struct {
	mu sync.Mutex
	of map[types.UID]look
}

type look struct {
	found policy.EtcdCorruption
	// first is the first look of several of which none found the same as one before, since the
	// first of several that did, and at the last.
	first, since, at time.Time
	// message is what was said, which holds for so long.
	message string
	holds   time.Duration
}

// said is what was said of a cluster's etcd just now; empty if it is to be looked at again.
func (l *looks) said(cluster types.UID, now time.Time) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := l.of[cluster]; now.Sub(last.at).Abs() < last.holds {
		return last.message
	}
	return ""
}

// note adds a look, and says whether the same was found so long before.
func (l *looks) note(cluster types.UID, found policy.EtcdCorruption, now time.Time, apart time.Duration) look {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(found.Alarmed) == 0 {
		delete(l.of, cluster)
		return look{found: found}
	}
	next, last := look{found: found, first: now, since: now, at: now}, l.of[cluster]
	next.found.Anew = stillAnew(last.found, found)
	if !last.found.Again && now.Sub(last.at).Abs() < unbroken {
		next.first = last.first
	}
	if slices.Equal(last.found.Alarmed, found.Alarmed) && slices.Equal(last.found.Members, found.Members) {
		next.since = last.since
	}
	next.found.Again, next.found.Long = now.Sub(next.since) >= apart, now.Sub(next.first) >= tornAgain
	if next.message = policy.CorruptMessage(next.found); next.message != "" {
		next.holds = tornAgain
		if !next.found.Again && !next.found.Long {
			next.holds = apart
		}
	}
	if l.of == nil {
		l.of = map[types.UID]look{}
	}
	l.of[cluster] = next
	return next
}

// stillAnew are the members that have nothing of their own to tell, also of those who have come up
// since an alarm was first seen: they hold a copy.
func stillAnew(last, now policy.EtcdCorruption) []uint64 {
	anew := slices.Clone(now.Anew)
	for _, m := range now.Members {
		if slices.Contains(last.Anew, m.ID) && !slices.Contains(anew, m.ID) {
			anew = append(anew, m.ID)
		}
	}
	return anew
}

func (l *looks) forget(cluster types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, cluster)
}

// told: an event says what the operator has to know; that there is a second look is no such thing.
func (l look) told() bool {
	return l.message != "" && (l.found.Verdict() != policy.CorruptOnce || l.found.Long)
}

func (l *looks) last(cluster types.UID) policy.EtcdCorruption {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[cluster].found
}

// corruption finds out, where etcd has raised the alarm CORRUPT, which member holds other
// data than the others, and tells the operator where nobody can (A3). While the alarm is
// raised no member is ready, so that it is looked for wherever one is not.
func (r *reconciler) corruption(ctx context.Context, p *pass, target etcd.Target, w *policy.EtcdWorld) error {
	if message := r.looks.said(p.cluster.UID, p.now); message != "" {
		w.Alarmed = true
		p.found.replicas.add(message)
		return nil
	}
	seen, err := r.Members.Corruption(ctx, target)
	if err != nil {
		return err
	}
	found := policy.EtcdCorruption{Alarmed: seen.Alarmed, Replacing: w.Replacing != nil, Anew: w.Anew()}
	for _, m := range seen.Members {
		found.Members = append(found.Members, policy.EtcdHash(m))
	}
	slices.Sort(found.Alarmed) // etcd lists them in no order
	looked := r.looks.note(p.cluster.UID, found, p.now, r.LooksApart)
	verdict := looked.found.Verdict()
	w.Alarmed = verdict != policy.CorruptNone
	w.Agreed = verdict == policy.CorruptSettled || verdict == policy.CorruptStale
	if verdict == policy.CorruptOdd {
		w.Odd, _ = looked.found.Odd()
	}
	if looked.message == "" {
		return nil
	}
	p.found.replicas.add(looked.message)
	if looked.told() {
		r.events.Event(p.cluster, corev1.EventTypeWarning, "EtcdCorrupt", "Wait", looked.message)
	}
	return nil
}

// agreed records that the alarm was taken back. Where nobody was made anew for it, the members
// still remember to have held different data, and are to forget it; what comes of that is
// seen when the alarm comes again.
func (r *reconciler) agreed(ctx context.Context, p *pass, target etcd.Target, w policy.EtcdWorld) {
	found := r.looks.last(p.cluster.UID)
	if found.Verdict() != policy.CorruptStale {
		r.events.Event(p.cluster, corev1.EventTypeNormal, "EtcdAgrees", "Disarm", "all members of etcd hold the same again: the alarm CORRUPT was taken back, and etcd is read and written")
		return
	}
	r.events.Event(p.cluster, corev1.EventTypeWarning, "EtcdAgrees", "Disarm", fmt.Sprintf(
		"etcd had raised the alarm CORRUPT about %s, and a majority of its members was seen twice to hold the same, and none to hold anything else: the alarm was taken back, and etcd is read and written. What was wrong has gone with old revisions, or was misread for once",
		named(found.Alarmed, w)))
	ctx, cancel := context.WithTimeout(ctx, forgetTime)
	defer cancel()
	for _, revision := range found.Forget() {
		if err := r.Members.Compact(ctx, target, revision); err != nil {
			p.found.replicas.add(err.Error())
			return
		}
	}
}

// named are the names of those whom an alarm is about.
func named(alarmed []uint64, w policy.EtcdWorld) string {
	var names []string
	for _, id := range alarmed {
		at := slices.IndexFunc(w.Members, func(m policy.EtcdMember) bool { return m.ID == id })
		if at < 0 {
			return "all members"
		}
		names = append(names, controlplane.MemberName(w.Members[at].Ordinal))
	}
	return strings.Join(names, ", ")
}

// healInUpgrade goes on with the members of etcd while the version changes, if one is being
// made anew or the alarm CORRUPT is raised, with which none is ready: no API server of any
// version comes up on an etcd that is not read. One that was added joins. All else waits for
// the upgrade's end.
func (r *reconciler) healInUpgrade(ctx context.Context, p *pass) error {
	now := p.cluster.Status.Replicas
	if now.At() != v1beta1.ReplicasThree {
		return nil
	}
	seen, err := r.seeReplicas(ctx, p)
	ready := seen.etcd.Status.ReadyReplicas
	switch {
	case err != nil:
		return err
	case now.Replacing != nil || ready == 0:
		_, err = r.members(ctx, p, seen)
		return err
	case ready >= policy.HighlyAvailableMembers:
		return nil
	}
	// What it starts with is rendered for as long as it has not come up.
	_, world, known, err := r.seeMembers(ctx, p, seen)
	if err != nil || !known {
		return err
	}
	return r.followMembers(ctx, p, world)
}
