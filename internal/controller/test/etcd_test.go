package test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/etcd"
	"berth.dev/berth/internal/policy"
)

// What a hosted etcd stores, in bytes: history fills it, and data do not.
const (
	hostedQuota = 1000
	hostedData  = 300
)

// storage is what the members of a hosted etcd store, and what is wrong with it.
type storage struct {
	// alarmed are those that the alarm CORRUPT names, and odd those that hold other data, by
	// what they hold.
	alarmed []uint64
	odd     map[uint64]uint32
	// full: the alarm NOSPACE is raised. History says whether it is there still, and sizes
	// are the databases that were defragmented, by members.
	full, history bool
	sizes         map[uint64]int64
	// defragmented are the members that were, in that order, and defragmenting how many are.
	defragmented  []uint64
	defragmenting int
	// compacted is how far history went.
	compacted int64
	// asked is how often it was asked what it stores.
	asked int
}

// Corruption implements cluster.Members.
func (h *hostedEtcd) Corruption(context.Context, etcd.Target) (etcd.Corruption, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := etcd.Corruption{Alarmed: slices.Clone(h.alarmed)}
	for _, m := range h.members {
		if len(h.alarmed) > 0 {
			found.Members = append(found.Members, etcd.Hash{ID: m.ID, Answered: m.Healthy, Hash: h.odd[m.ID], Compacted: 5, Revision: 9})
		}
	}
	return found, nil
}

// Alarms implements cluster.Members.
func (h *hostedEtcd) Alarms(context.Context, etcd.Target) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var names []string
	if h.full {
		names = append(names, "NOSPACE")
	}
	for range h.alarmed {
		names = append(names, "CORRUPT")
	}
	return names, nil
}

// corrupt says whether no member is ready, since the alarm CORRUPT is raised.
func (h *hostedEtcd) corrupt() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.alarmed) > 0
}

// differ has members hold other data, and the alarm raised.
func (h *hostedEtcd) differ(ordinals ...int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.odd = map[uint64]uint32{}
	for i, ordinal := range ordinals {
		for _, m := range h.members {
			if m.Peer == controlplane.MemberPeer(ordinal) {
				h.odd[m.ID], h.alarmed = uint32(i+1), append(h.alarmed, m.ID)
			}
		}
	}
	if len(ordinals) > 1 {
		h.alarmed = []uint64{0}
	}
}

// fill has history fill the database of every member.
func (h *hostedEtcd) fill() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.storage = storage{full: true, history: true, sizes: map[uint64]int64{}}
}

func (h *hostedEtcd) stored() storage {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.storage
}

// Space implements space.Etcd.
func (m members) Space(ctx context.Context, target etcd.Target) (etcd.Space, error) {
	listed, err := m.List(ctx, target)
	if err != nil {
		return etcd.Space{}, err
	}
	h := m.hostedEtcd
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	found := etcd.Space{NoSpace: h.full, Corrupt: len(h.alarmed) > 0, Revision: 90, Marked: 80}
	for _, one := range listed {
		usage := etcd.Usage{ID: one.ID, Size: hostedData, InUse: hostedData, Quota: hostedQuota, Healthy: one.Healthy, Leader: one.Leader}
		if h.full && h.sizes[one.ID] == 0 {
			usage.Size = hostedQuota
		}
		if h.history {
			usage.InUse = hostedQuota
		}
		found.Members = append(found.Members, usage)
	}
	return found, nil
}

// Compact implements space.Etcd.
func (m members) Compact(_ context.Context, _ etcd.Target, revision int64) error {
	return m.store("compact", func(s *storage) { s.history, s.compacted = false, revision })
}

// Defragment implements space.Etcd.
func (m members) Defragment(_ context.Context, _ etcd.Target, id uint64) error {
	if err := m.defragments(1); err != nil {
		return err
	}
	defer func() { _ = m.defragments(-1) }()
	return m.store("defragment", func(s *storage) { s.sizes[id], s.defragmented = hostedData, append(s.defragmented, id) })
}

func (m members) defragments(more int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.defragmenting += more; m.defragmenting > 1 {
		m.w.t.Error("two members are defragmented at once")
		return errors.New("another member is")
	}
	return nil
}

// DisarmNoSpace implements space.Etcd.
func (m members) DisarmNoSpace(context.Context, etcd.Target) error {
	return m.store("disarm", func(s *storage) { s.full = false })
}

func (m members) store(what string, change func(*storage)) error {
	version := func() string { s := m.stored(); return fmt.Sprint(s.full, s.compacted, s.defragmented) }
	return m.guard.do("etcd: "+what, version, func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		change(&m.storage)
		return nil
	})
}

// standard creates a cluster with three of everything.
func (w *world) standard() {
	w.t.Helper()
	op := w.createOperation("op-create")
	op.Spec.Desired.Cluster.SKU = &v1beta1.SKU{Name: "Base", Tier: v1beta1.TierStandard}
	w.request(op)
	w.succeed("op-create")
	w.checkReplicas(3)
}

// tells says whether an event tells of something.
func (w *world) tells(reason, part string) bool {
	w.t.Helper()
	var list eventsv1.EventList
	if err := w.client.List(w.t.Context(), &list); err != nil {
		return false
	}
	return slices.ContainsFunc(list.Items, func(e eventsv1.Event) bool { return e.Reason == reason && strings.Contains(e.Note, part) })
}

// lookAgain has a cluster looked at before its time.
func (w *world) lookAgain() {
	w.t.Helper()
	c := w.cluster()
	before := c.DeepCopy()
	metav1.SetMetaDataAnnotation(&c.ObjectMeta, "berth.dev/test", fmt.Sprint(w.etcd.stored().asked))
	_ = w.client.Patch(w.t.Context(), c, client.MergeFrom(before)) // again in a moment if it failed
}

// healsEtcd is the life of a cluster whose etcd is full.
func healsEtcd(w *world) {
	w.t.Helper()
	w.standard()
	w.backedUp()
	w.eventually("its backups reach a revision", func() bool {
		c := w.cluster()
		c.Status.Backup.RecoveryRevision = 70
		return w.client.Status().Update(w.t.Context(), c) == nil
	})
	asked := w.etcd.stored().asked
	w.eventually("that is known", func() bool {
		w.lookAgain()
		return w.etcd.stored().asked >= asked+2 // the first may have read what was before
	})
	w.etcd.fill()
	w.eventually("there is room in etcd", func() bool {
		c := w.cluster()
		w.lookAgain()
		last := c.Status.EtcdCleaning
		return last != nil && last.Result == v1beta1.EtcdCleaned && meta.IsStatusConditionTrue(c.Status.Conditions, v1beta1.ConditionEtcdHasSpace)
	})
	last, stored := w.cluster().Status.EtcdCleaning, w.etcd.stored()
	if stored.full || stored.compacted != 70 || last.Revision != 70 || last.Attempt != 1 || last.Reason != v1beta1.EtcdNoSpace || len(last.Defragmented) != 3 {
		w.t.Errorf("%+v, %+v", last, stored)
	}
	listed, err := w.etcd.List(w.t.Context(), etcd.Target{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range listed {
		if m.Leader && last.Defragmented[2] != policy.EtcdID(m.ID) {
			w.t.Errorf("the leader %x was not the last of %v", m.ID, last.Defragmented)
		}
	}
	w.delete()
	w.checkGone()
}

// A full etcd takes writes again by itself.
func TestStandardClusterMakesRoomInEtcd(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	healsEtcd(w)
	if got := w.etcd.stored().defragmented; len(got) != 3 {
		t.Errorf("defragmented %v", got)
	}
}

// Killed over and over, the controllers make room all the same.
func TestCrashWhileEtcdIsFull(t *testing.T) {
	crashAlways(t, healsEtcd, 3)
}

// readyPod says whether a pod's status says that it is ready.
func readyPod(status corev1.PodStatus) bool {
	return slices.ContainsFunc(status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
}
