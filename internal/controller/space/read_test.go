package space

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/backup"
)

// read has a full backup be read from etcd, which does not come to its end by itself within
// any test that goes well.
func (b *bed) read(id string) context.Context {
	b.t.Helper()
	bounded, cancel := context.WithTimeout(b.t.Context(), 5*time.Minute)
	b.t.Cleanup(cancel)
	reading, end, err := b.reads.Begin(bounded, id)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(end)
	snapshot, err := b.etcd.Snapshot(reading)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = snapshot.Close() })
	if _, err := io.ReadFull(snapshot, make([]byte, 1)); err != nil {
		b.t.Fatal(err)
	}
	return reading
}

// givesUp looks until what is being read is given up, and etcd has closed it.
func (b *bed) givesUp(reading context.Context, look func() (time.Duration, error)) {
	b.t.Helper()
	if again, err := look(); err != nil || again != readSoon || reading.Err() == nil {
		b.t.Fatalf("it looks again after %s, and it is read still: %v, %v", again, reading.Err(), err)
	}
	closed := regexp.MustCompile(`(?m)^etcd_disk_backend_snapshot_duration_seconds_count [1-9]`)
	err := wait.PollUntilContextTimeout(b.t.Context(), 10*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.at.at.Endpoints[0]+"/metrics", nil)
		if err != nil {
			return false, err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, err
		}
		defer answer.Body.Close()
		all, err := io.ReadAll(answer.Body)
		return closed.Match(all), err
	})
	if err != nil {
		b.t.Fatalf("etcd has not closed it: %v", err)
	}
}

// waits looks as long as there are steps to be made, and wants none of them to be a
// defragmentation.
func (b *bed) waits(look func() (time.Duration, error), want time.Duration) {
	b.t.Helper()
	for range 10 {
		wait, err := look()
		if err != nil {
			b.t.Fatal(err)
		}
		if len(b.at.defragment) > 0 {
			b.t.Fatalf("defragmented %x", b.at.defragment)
		}
		if wait == atOnce {
			continue
		}
		if wait != want {
			b.t.Errorf("it looks again after %s, want %s", wait, want)
		}
		return
	}
	b.t.Error("it does not wait")
}

func (b *bed) look() (time.Duration, error) {
	result, err := b.r.Reconcile(b.t.Context(), ctrl.Request{NamespacedName: b.key})
	return result.RequeueAfter, err
}

// fill has history fill etcd, which the backups have.
func (b *bed) fill() {
	b.t.Helper()
	for !b.write(5, 5) {
		b.turn()
	}
	b.backedUp()
}

// A full etcd is not defragmented while a full backup is read from it, which it would wait for
// with nobody answered, however long that takes. So it is waited for before, and given up when
// it has had its time.
func TestADefragmentationThatMeetsAFullBackup(t *testing.T) {
	b := newBed(t, 1)
	b.fill()
	reading := b.read("c0ffee")
	b.waits(b.look, readSoon)
	if last := b.cluster().Status.EtcdCleaning; !last.UnderWay() || last.Compacted || last.Defragmenting != "" {
		t.Errorf("%+v", last)
	}
	b.now = b.reads.Since("c0ffee").Add(30 * time.Second)
	b.givesUp(reading, b.look)
	b.check(1, v1beta1.EtcdCleaned, "HasSpace")
	if !b.takesWrites() || len(b.at.defragment) != 1 {
		t.Errorf("defragmented %x", b.at.defragment)
	}
	if _, end, err := b.reads.Begin(t.Context(), "c0ffee"); err != nil {
		t.Errorf("no full backup may be made any more: %v", err)
	} else {
		end()
	}
}

// One that has begun since it was looked is waited for as well.
func TestAFullBackupThatHasJustBegun(t *testing.T) {
	b := newBed(t, 1)
	b.fill()
	late := &begins{Reads: b.reads}
	b.r.Fulls = late
	b.waits(b.look, readSoon)
	late.ended = true
	if _, err := b.look(); err != nil || !b.cluster().Status.EtcdCleaning.Compacted {
		t.Fatalf("history has not gone: %+v, %v", b.cluster().Status.EtcdCleaning, err)
	}
	late.ended = false
	b.waits(b.look, readSoon)
	if last := b.cluster().Status.EtcdCleaning; !last.UnderWay() || last.Defragmenting != "" {
		t.Errorf("%+v", last)
	}
	late.ended = true
	b.check(1, v1beta1.EtcdCleaned, "HasSpace")
}

// begins are full backups one of which always has just begun.
type begins struct {
	*backup.Reads
	ended bool
}

func (b *begins) Hold(id string) (func(), bool) {
	if !b.ended {
		return nil, false
	}
	return b.Reads.Hold(id)
}

// While an upgrade has what etcd holds saved that is waited for, in that phase alone.
func TestWhatAnUpgradeSavesIsWaitedFor(t *testing.T) {
	now := time.Now()
	for phase, want := range map[v1beta1.UpgradePhase]bool{v1beta1.UpgradeSnapshot: true, v1beta1.UpgradeTrial: false, v1beta1.UpgradeFailed: false} {
		cluster := &v1beta1.ManagedCluster{}
		cluster.Status.Upgrade = &v1beta1.ControlPlaneUpgrade{Phase: phase}
		cluster.Status.Upgrade.PhaseSince = metav1.NewTime(now)
		if saving(cluster, now.Add(time.Minute)) != want {
			t.Errorf("%s: it is saved: %t", phase, !want)
		}
		if saving(cluster, now.Add(time.Hour)) {
			t.Errorf("%s: what does not come on is waited for", phase)
		}
	}
	if saving(&v1beta1.ManagedCluster{}, now) {
		t.Error("nothing is upgraded, and it is saved")
	}
}

// The management cluster's etcd keeps out of the way of its own backups in the same way.
func TestTheManagementClustersFullBackup(t *testing.T) {
	b := newBed(t, 1)
	m := b.own()
	for !b.write(5, 5) {
		b.turn()
	}
	b.ownBackedUp()
	id := backup.ManagementID(ownKey)
	reading := b.read(id)
	look := func() (time.Duration, error) { return m.look(t.Context()) }
	b.waits(look, readSoon)
	b.now = b.reads.Since(id).Add(30 * time.Second)
	b.givesUp(reading, look)
	m.ends(b, 1, v1beta1.EtcdCleaned)
	if !b.takesWrites() {
		t.Error("it takes no writes")
	}
}

// A process that does not lead knows nothing of what the leader reads. It leaves an etcd that
// is not full to that one, and waits where it is full until nobody leads any more, and no
// longer; and not at all where room was made meanwhile.
func TestAProcessThatDoesNotLead(t *testing.T) {
	b := newBed(t, 1)
	m := b.own()
	m.elected = nil
	b.write(70, 5)
	b.ownBackedUp()
	if _, err := b.etcd.Compact(t.Context(), b.revision(), clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	look := func() (time.Duration, error) { return m.look(t.Context()) }
	if b.waits(look, lookEvery); m.last != nil {
		t.Errorf("it begins to make room: %+v", m.last)
	}
	for !b.write(5, 5) {
		b.turn()
	}
	b.ownBackedUp()
	b.waits(look, readSoon)
	other := b.leader()
	other.ends(b, 1, v1beta1.EtcdCleaned)
	b.at.defragment = nil
	if b.waits(look, lookEvery); m.last != nil {
		t.Errorf("it goes on: %+v", m.last)
	}
	for !b.write(5, 5) {
		b.turn()
	}
	b.ownBackedUp()
	b.waits(look, readSoon)
	b.now = b.now.Add(29 * time.Second)
	b.waits(look, readSoon)
	b.now = b.now.Add(time.Second)
	m.ends(b, 1, v1beta1.EtcdCleaned)
	if !b.takesWrites() {
		t.Error("it takes no writes")
	}
}
