package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// TestMain is etcd itself where a test runs it as that.
func TestMain(m *testing.M) {
	if os.Getenv(asEtcd) != "" {
		main()
	}
	os.Exit(m.Run())
}

const asEtcd = "BERTH_TEST_AS_ETCD"

// bed is a real etcd in this process, whose metrics are therefore this process's.
type bed struct {
	t      *testing.T
	client *clientv3.Client
	live   *liveness
	// database is etcd's own, which has more locks of its own in front of it.
	database backend.Backend

	mu  sync.Mutex
	now time.Time
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{t: t, now: time.Now()}
	config := embed.NewConfig()
	config.Dir, config.LogLevel = t.TempDir(), "fatal"
	client, peer, probed := freeURL(t), freeURL(t), freeURL(t)
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.ListenMetricsUrls = []url.URL{probed}
	config.InitialCluster = config.Name + "=" + peer.String()
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	<-etcd.Server.ReadyNotify()
	b.database = etcd.Server.Backend()
	if b.client, err = clientv3.New(clientv3.Config{Endpoints: []string{client.String()}, Logger: zap.NewNop()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.client.Close() })
	if b.live, err = newLiveness(probed.String() + "/livez"); err != nil {
		t.Fatal(err)
	}
	b.live.now = func() time.Time {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.now
	}
	return b
}

// freeURL has a port below those that Linux gives to outgoing connections.
func freeURL(t *testing.T) url.URL {
	t.Helper()
	for range 100 {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000)))
		if err == nil {
			defer listener.Close()
			return url.URL{Scheme: "http", Host: listener.Addr().String()}
		}
	}
	t.Fatal("no port is free")
	return url.URL{}
}

func (b *bed) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// probe is what a probe gets. Where it is not well it is not waited for.
func (b *bed) probe(patience time.Duration) int {
	b.live.patience = patience
	answer := httptest.NewRecorder()
	b.live.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/livez", nil))
	return answer.Code
}

const (
	long  = time.Minute
	short = 50 * time.Millisecond
)

// hold keeps the lock of etcd's database that readers have, as a reader that does not come to
// its end: whoever changes the database waits, and other readers wait for that.
func (b *bed) hold() (release func()) {
	reader := b.database.ReadTx()
	reader.RLock()
	return sync.OnceFunc(reader.RUnlock)
}

// until waits for something.
func (b *bed) until(what string, holds func() bool) {
	b.t.Helper()
	for !holds() {
		if b.t.Context().Err() != nil {
			b.t.Fatalf("not so: %s", what)
		}
		runtime.Gosched()
	}
}

// blocked waits until etcd's own /livez answers no more.
func (b *bed) blocked() {
	b.t.Helper()
	b.live.patience = short
	b.until("etcd answers nothing", func() bool { return b.live.asked(b.t.Context()) != nil })
}

// defragment has a defragmentation begin that ends when what is held is released.
func (b *bed) defragment() (release func(), ended chan error) {
	b.t.Helper()
	release, ended = b.hold(), make(chan error, 1)
	b.t.Cleanup(release)
	go func() { ended <- b.database.Defrag() }()
	b.until("it is defragmented", b.live.metrics.defragments)
	b.blocked()
	return release, ended
}

func (b *bed) put(n int) {
	b.t.Helper()
	for range n {
		if _, err := b.client.Put(b.t.Context(), "key", strings.Repeat("v", 100<<10)); err != nil {
			b.t.Fatal(err)
		}
	}
	b.database.ForceCommit()
}

func TestADefragmentationIsNoHang(t *testing.T) {
	b := newBed(t)
	b.put(200) // 20 MB
	if got := b.probe(long); got != http.StatusOK {
		t.Fatalf("a member that is well: %d", got)
	}
	for round := range 2 {
		release, ended := b.defragment()
		for _, step := range []struct {
			passes time.Duration
			want   int
			why    string
		}{
			{0, http.StatusOK, "it is defragmented, and answers nothing"},
			{leastTime, http.StatusOK, "a database of 20 MB takes a little longer than none"},
			{allowed(20<<20) - leastTime - time.Second, http.StatusOK, "it may take a second for every 10 MB"},
			{5 * time.Second, http.StatusServiceUnavailable, "it takes too long: it hangs there"},
		} {
			b.pass(step.passes)
			if got := b.probe(short); got != step.want {
				t.Errorf("round %d: %d, want %d: %s", round, got, step.want, step.why)
			}
		}
		release()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if got := b.probe(long); got != http.StatusOK {
			t.Errorf("after its defragmentation: %d", got)
		}
	}
}

func TestAHangIsOne(t *testing.T) {
	b := newBed(t)
	b.put(1)
	release := b.hold()
	committed := make(chan struct{})
	go func() {
		b.database.ForceCommit()
		close(committed)
	}()
	b.blocked()
	if got := b.probe(short); got != http.StatusServiceUnavailable {
		t.Errorf("a member that hangs: %d", got)
	}
	release()
	<-committed
	if got := b.probe(long); got != http.StatusOK {
		t.Errorf("a member that goes on: %d", got)
	}
}

// A defragmentation that follows on another has its own time, also where no probe came between them.
func TestEachDefragmentationHasItsOwnTime(t *testing.T) {
	b := newBed(t)
	for range 2 {
		release, ended := b.defragment()
		if got := b.probe(short); got != http.StatusOK {
			t.Fatalf("it is defragmented: %d", got)
		}
		release()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		b.pass(time.Hour)
	}
}

func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		size int64
		want time.Duration
		why  string
	}{
		{0, 30 * time.Second, "an empty database on a busy machine"},
		{1 << 30, 132 * time.Second, "a large one"},
		{8 << 30, 849 * time.Second, "a full one has a little less than controller/space waits"},
	} {
		if got := allowed(c.size); got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
	}
}

// The program is etcd, and serves the endpoint if it is told where.
func TestTheProgramIsEtcd(t *testing.T) {
	probed, own := freeURL(t), freeURL(t)
	ran, _ := program(t, freeURL(t), []string{"--listen-metrics-urls=" + own.String()}, livezListen+"="+probed.Host, livezAsk+"="+own.String()+"/livez")
	status := 0
	for status != http.StatusOK {
		if ran.Err() != nil {
			t.Fatalf("/livez: %d", status)
		}
		answer, err := http.Get(probed.String() + "/livez")
		if err == nil {
			status = answer.StatusCode
			answer.Body.Close()
		}
	}
	if answer, err := http.Get(probed.String() + "/metrics"); err != nil || answer.StatusCode != http.StatusNotFound {
		t.Errorf("another path: %v %v", answer, err)
	}
}

// program runs as etcd until the test ends, or is told to by stop, and takes its clients at an
// address. What is returned is done when it has ended.
func program(t *testing.T, client url.URL, args []string, env ...string) (ran context.Context, stop func()) {
	t.Helper()
	peer := freeURL(t)
	etcd := exec.Command(os.Args[0], append([]string{"--data-dir=" + t.TempDir(), "--log-level=fatal",
		"--listen-client-urls=" + client.String(), "--advertise-client-urls=" + client.String(),
		"--listen-peer-urls=" + peer.String(), "--initial-advertise-peer-urls=" + peer.String(), "--initial-cluster=default=" + peer.String()}, args...)...)
	etcd.Env = append(append(os.Environ(), asEtcd+"=1"), env...)
	etcd.Stderr = t.Output()
	if err := etcd.Start(); err != nil {
		t.Fatal(err)
	}
	ran, ended := context.WithCancel(t.Context())
	go func() {
		_ = etcd.Wait()
		ended()
	}()
	t.Cleanup(func() {
		_ = etcd.Process.Kill()
		<-ran.Done()
	})
	return ran, func() { _ = etcd.Process.Signal(unix.SIGTERM) }
}
