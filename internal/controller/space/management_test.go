package space

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/etcd"
	"berth.dev/berth/internal/testenv"
)

// own has the bed's etcd be the management cluster's, and what is written in that refused.
func (b *bed) own() *management {
	b.t.Helper()
	var roots, pair corev1.Secret
	namespace := v1beta1.ControlPlaneNamespace("c0ffee")
	for name, into := range map[string]*corev1.Secret{controlplane.RootsSecret: &roots, controlplane.BackupSecret: &pair} {
		if err := b.r.client.Get(b.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, into); err != nil {
			b.t.Fatal(err)
		}
	}
	for _, object := range []client.Object{
		&v1beta1.ManagementCluster{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.ManagementClusterName}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.SystemNamespace, Name: v1beta1.ManagementBackupSecret}, Data: map[string][]byte{
			corev1.TLSCertKey: pair.Data["client.crt"], corev1.TLSPrivateKeyKey: pair.Data["client.key"],
			corev1.ServiceAccountRootCAKey: roots.Data["etcd-ca.crt"], v1beta1.ManagementEndpointKey: []byte("https://192.0.2.1:2379"), v1beta1.ManagementPublicKeyKey: []byte(ownKey),
		}},
	} {
		if err := b.r.client.Create(b.t.Context(), object); err != nil {
			b.t.Fatal(err)
		}
	}
	full := errors.New("etcdserver: mvcc: database space exceeded")
	b.r.client = interceptor.NewClient(b.r.client.(client.WithWatch), interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return full },
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return full
		},
		SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
			return full
		},
	})
	return b.leader()
}

// ownKey is the public key that the management cluster's backups are sealed for.
const ownKey = "age1own"

// leader is a process that leads, and has just begun.
func (b *bed) leader() *management {
	elected := make(chan struct{})
	close(elected)
	return &management{reconciler: b.r, elected: elected}
}

// ownBackedUp says that everything written so far is in the backups of the management cluster.
func (b *bed) ownBackedUp() {
	b.t.Helper()
	var own v1beta1.ManagementCluster
	if err := b.r.reader.Get(b.t.Context(), managementKey, &own); err != nil {
		b.t.Fatal(err)
	}
	at := metav1.NewTime(b.now)
	own.Status.Backup = &v1beta1.BackupStatus{RecoveryPoint: &at, RecoveryRevision: b.revision()}
	if err := b.r.client.Update(b.t.Context(), &own); err != nil {
		b.t.Fatal(err)
	}
}

// ends goes on until nothing is left to be done for now, and looks how the last attempt ended.
func (m *management) ends(b *bed, attempt int32, result v1beta1.EtcdCleaningResult) {
	b.t.Helper()
	for range 50 {
		wait, err := m.look(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if wait < lookSoon {
			continue
		}
		if m.last == nil || m.last.Attempt != attempt || m.last.Result != result {
			b.t.Errorf("the last attempt is %+v, want number %d: %s", m.last, attempt, result)
		}
		return
	}
	b.t.Fatalf("it comes to no end: %+v", m.last)
}

// The management cluster's etcd is given room as any, but for what is written down meanwhile: nothing.
func TestTheManagementClustersEtcdIsGivenRoom(t *testing.T) {
	b := newBed(t, 1)
	m := b.own()
	if wait, err := m.look(t.Context()); err != nil || wait != lookEvery || m.last != nil {
		t.Fatalf("an etcd that has room: %v %v %+v", wait, err, m.last)
	}
	for !b.write(5, 5) {
		b.turn()
	}
	b.ownBackedUp()
	m.ends(b, 1, v1beta1.EtcdCleaned)
	if !b.takesWrites() {
		t.Error("it takes no writes")
	}
	if len(b.at.defragment) != 1 || m.last.After > quota/2 {
		t.Errorf("defragmented %x, %+v", b.at.defragment, m.last)
	}
	b.tells("EtcdHasSpace")
	if got := testutil.ToFloat64(b.r.gauges.cleanings.WithLabelValues("", v1beta1.ManagementClusterName, "Cleaned")); got != 1 {
		t.Errorf("%v attempts went well", got)
	}
}

// History that the backups do not have goes in the second attempt: without a leader there is
// nobody who makes more of them.
func TestNobodyWaitsForBackupsThatNoLeaderMakes(t *testing.T) {
	b := newBed(t, 1)
	m := b.own()
	b.ownBackedUp()
	for !b.write(5, 5) {
		b.turn()
	}
	m.ends(b, 1, v1beta1.EtcdFull)
	if _, err := b.etcd.Put(t.Context(), "/b", "c"); !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Fatalf("it takes writes: %v", err)
	}
	b.now = b.now.Add(6 * time.Minute)
	m.ends(b, 2, v1beta1.EtcdCleaned)
	if !b.takesWrites() {
		t.Error("it takes no writes")
	}
}

// Of two processes that found it full one makes room. To the other the next time is the first:
// it does not let go at once what the backups do not have.
func TestRoomThatAnotherProcessMade(t *testing.T) {
	b := newBed(t, 1)
	m := b.own()
	b.ownBackedUp()
	for !b.write(5, 5) {
		b.turn()
	}
	m.ends(b, 1, v1beta1.EtcdFull)
	b.ownBackedUp()
	b.leader().ends(b, 1, v1beta1.EtcdCleaned)
	if wait, err := m.look(t.Context()); err != nil || wait != lookEvery {
		t.Fatalf("%v %v", wait, err)
	}
	for !b.write(5, 5) {
		b.turn()
	}
	b.now = b.now.Add(6 * time.Minute)
	m.ends(b, 1, v1beta1.EtcdFull)
}

// A process that comes new to it, as who lost its lease, goes on; and nothing of somebody
// else's management cluster is touched.
func TestManagementEtcdAfterARestart(t *testing.T) {
	b := newBed(t, 1)
	before := b.leader()
	if wait, err := before.look(t.Context()); err != nil || wait != lookEvery || len(b.at.targets) > 0 {
		t.Fatalf("%v %v", wait, err)
	}
	if before.NeedLeaderElection() {
		t.Error("it waits to be the leader, which it cannot become")
	}
	m := b.own()
	for !b.write(5, 5) {
		b.turn()
	}
	b.ownBackedUp()
	for m.last == nil || m.last.Defragmenting == "" && len(m.last.Defragmented) == 0 {
		if _, err := m.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b.leader().ends(b, 1, v1beta1.EtcdCleaned)
	if !b.takesWrites() {
		t.Error("it takes no writes")
	}
}

// A Berth that starts beside a full management cluster cannot become the leader, since that
// is a write. It makes room all the same, and then becomes it.
func TestABerthThatCannotLeadMakesRoom(t *testing.T) {
	env := testenv.New(t, testenv.Options{EtcdQuota: 32 << 20})
	c, err := env.Client()
	if err != nil {
		t.Fatal(err)
	}
	certificate, key := selfSigned(t)
	big := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.SystemNamespace, Name: "big"}}
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.SystemNamespace}},
		&v1beta1.ManagementCluster{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.ManagementClusterName}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.SystemNamespace, Name: v1beta1.ManagementBackupSecret}, Data: map[string][]byte{
			corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: key, corev1.ServiceAccountRootCAKey: certificate, v1beta1.ManagementEndpointKey: []byte(env.EtcdURL),
		}},
		big,
	} {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	direct, err := clientv3.New(clientv3.Config{Endpoints: []string{env.EtcdURL}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { direct.Close() })
	// It is read before: what etcd refuses as the first may be there nonetheless.
	write := func(n int) error {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(big), big); err != nil {
			return err
		}
		big.Data = map[string]string{"a": fmt.Sprint(n, strings.Repeat("x", 500_000))}
		return c.Update(t.Context(), big)
	}
	for n := range 1000 {
		if err = write(n); err != nil {
			break
		}
		if _, err := direct.Put(t.Context(), "compact_rev_key", "0"); err != nil && !errors.Is(err, rpctypes.ErrNoSpace) {
			t.Fatal(err)
		}
	}
	if err == nil || !strings.Contains(err.Error(), "database space exceeded") {
		t.Fatalf("it is not full: %v", err)
	}
	manager, err := ctrl.NewManager(env.Config, ctrl.Options{
		Scheme: env.Scheme, LeaderElection: true, LeaderElectionID: "berth", LeaderElectionNamespace: v1beta1.SystemNamespace,
		Metrics: metricsserver.Options{BindAddress: "0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	reached := &local{at: etcd.Target{Endpoints: []string{env.EtcdURL}}}
	began := time.Now()
	fast := func() time.Time { return began.Add(10 * time.Since(began)) } // it waits until whoever might lead does no more
	if err := Setup(manager, Config{Etcd: reached, Metrics: prometheus.NewRegistry(), Now: fast}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	if err := wait.PollUntilContextCancel(t.Context(), 100*time.Millisecond, true, func(context.Context) (bool, error) { return write(-1) == nil, nil }); err != nil {
		t.Fatal(err)
	}
	<-manager.Elected()
}
