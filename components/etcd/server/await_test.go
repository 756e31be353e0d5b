package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/storage/datadir"
)

// lossBed is a data directory and a pod whose etcd is to start on it.
type lossBed struct {
	t *testing.T
	awaiting
	// looks gets one whenever etcd has looked and found nothing.
	looks chan struct{}
}

func newLossBed(t *testing.T) *lossBed {
	t.Helper()
	b := &lossBed{t: t, looks: make(chan struct{})}
	b.awaiting = awaiting{dir: filepath.Join(t.TempDir(), "data"), pod: "pod-1", sleep: func(time.Duration) { b.looks <- struct{}{} }}
	return b
}

// comes puts data into a directory as etcd has them.
func (b *lossBed) comes() {
	b.t.Helper()
	logs := datadir.ToWALDir(b.dir)
	if err := os.MkdirAll(logs, 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(logs, "0000000000000000-0000000000000000.wal"), nil, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// starts has etcd's next process begin; what is returned gets the end of its wait.
func (b *lossBed) starts() <-chan error {
	held := make(chan error, 1)
	go func() {
		lock, err := b.hold(true)
		if lock != nil {
			b.t.Cleanup(func() { _ = lock.Close() })
		}
		held <- err
	}()
	return held
}

func (b *lossBed) lost() {
	b.t.Helper()
	if err := <-b.starts(); !errors.Is(err, errNoData) {
		b.t.Fatalf("an etcd without data: %v", err)
	}
}

// An etcd that finds no data says so by its end, once for each pod, and then waits for them.
func TestLostDataAreWaitedFor(t *testing.T) {
	b := newLossBed(t)
	b.lost()
	b.pod = "pod-2"
	b.lost()
	held := b.starts()
	for range 3 {
		<-b.looks
	}
	b.comes()
	for ended := false; !ended; {
		select {
		case <-b.looks: // the look before they came
		case err := <-held:
			if err != nil {
				t.Fatal(err)
			}
			ended = true
		}
	}
	if _, err := os.Stat(b.note()); !os.IsNotExist(err) {
		t.Errorf("the note that there are no data stays: %v", err)
	}
}

// One that waited and was killed shows the kubelet another end: the next process tells again.
func TestKilledWaiterIsFollowedByOneThatTells(t *testing.T) {
	for range 3 {
		b := newLossBed(t)
		b.lost()
		b.starts()
		<-b.looks // it waits, and never goes on
		b.lost()
	}
}

// A database without a log is not what etcd held: it would begin anew.
func TestDatabaseAloneIsNoData(t *testing.T) {
	b := newLossBed(t)
	if err := os.MkdirAll(datadir.ToSnapDir(b.dir), 0o700); err != nil {
		t.Fatal(err)
	}
	b.lost()
}

// What a recovery works on etcd does not start on before that has ended, and none works on what
// an etcd runs on.
func TestOneWorksOnTheData(t *testing.T) {
	b := newLossBed(t)
	recovery, err := fileutil.TryLockFile(b.dir+".lock", os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	b.comes()
	held := b.starts()
	select {
	case err := <-held:
		t.Fatalf("etcd starts beside a recovery: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := recovery.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-held; err != nil {
		t.Fatal(err)
	}
	if _, err := fileutil.TryLockFile(b.dir+".lock", os.O_WRONLY|os.O_CREATE, 0o600); !errors.Is(err, fileutil.ErrLocked) {
		t.Errorf("a recovery beside an etcd that runs: %v", err)
	}
}

// An etcd that has never run begins without data.
func TestNewEtcdWaitsForNothing(t *testing.T) {
	b := newLossBed(t)
	lock, err := b.hold(false)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
}

// The kubelet is told by the exit code.
func TestExitCodeOfLostData(t *testing.T) {
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), asEtcd+"=1", awaitDir+"="+filepath.Join(t.TempDir(), "data"), awaitPod+"=pod-1", clusterState+"=existing")
	said, err := command.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitNoData {
		t.Errorf("%v: %s", err, said)
	}
}
