package backup_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"berth.dev/berth/internal/backup"
)

// An etcd that is defragmented while a snapshot is read from it answers nobody until that has
// come to its end, which it would not here. It is given up; none begins before the
// defragmentation has ended; and what is written meanwhile is recorded as ever.
func TestDefragmentationThatMeetsASnapshot(t *testing.T) {
	b := newBed(t, 1)
	b.reads = backup.NewReads()
	b.schedule.Full, b.schedule.Delta = time.Second, time.Hour // nothing else finds out that the wire sticks
	w := newWire(t, strings.TrimPrefix(b.client, "http://"))
	b.connect = func(context.Context) (clientv3.Config, error) {
		return clientv3.Config{Endpoints: []string{"http://" + w.Addr().String()}, Logger: zap.NewNop(), DialTimeout: time.Minute}, nil
	}
	for i := range 24 { // more than the buffers of connections take
		value := make([]byte, 1<<20)
		_, _ = rand.Read(value)
		b.put(fmt.Sprintf("/registry/large/%d", i), string(value))
	}
	b.record()
	b.eventually("the first snapshot", func() error {
		if b.recorder.State().Full == nil {
			return errors.New("there is none")
		}
		return nil
	})
	w.stick(1 << 20)
	b.eventually("the next one does not get on", func() error {
		if b.put("/registry/a", "before"); !w.sticks() {
			return errors.New("not yet")
		}
		return nil
	})
	made := b.objects(0, "full")
	if _, held := b.reads.Hold(clusterID); held {
		t.Fatal("it is not known that it is read")
	}
	b.reads.GiveUp(clusterID)
	release, held := b.reads.Hold(clusterID)
	if !held {
		t.Fatal("it is not given up")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := b.etcd.Defragment(ctx, b.client); err != nil {
		t.Fatalf("it waits for the snapshot: %v", err)
	}
	w.mend()
	b.recorder.Hurry()
	for began := time.Now(); time.Since(began) < 2*b.schedule.Full; {
		b.stored(b.put("/registry/a", "meanwhile"))
	}
	if now := b.objects(0, "full"); len(now) != len(made) || !b.reads.Since(clusterID).IsZero() {
		t.Errorf("another one was begun: %v", now)
	}
	if state := b.recorder.State(); state.Snapshot != "" || state.Stores[0].Error != "" {
		t.Errorf("it counts as a failure: %+v", state)
	}
	release()
	last := int64(0)
	b.eventually("the next one", func() error {
		last = b.put("/registry/a", "after")
		if now := b.objects(0, "full"); len(now) == len(made) {
			return fmt.Errorf("there are %v", now)
		}
		return nil
	})
	b.stored(last)
	b.comesBackFrom(made, last)
}

// comesBackFrom has etcd's data lost, and looks that all of them come back from some of the
// snapshots and from the deltas.
func (b *bed) comesBackFrom(fulls []string, last int64) {
	b.t.Helper()
	b.stopRecording()
	large := b.value("/registry/large/7")
	b.stopEtcd()
	for _, path := range b.objects(0, "full")[len(fulls):] {
		if err := os.Remove(path); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := os.RemoveAll(b.data); err != nil {
		b.t.Fatal(err)
	}
	if said := b.recover("lost"); !said.Restored || said.Revision != last || said.Deltas == 0 {
		b.t.Errorf("report %+v, etcd was at %d", said, last)
	}
	b.startEtcd()
	if b.value("/registry/a") != "after" || !bytes.Equal([]byte(b.value("/registry/large/7")), []byte(large)) {
		b.t.Error("not all of it is there")
	}
}
