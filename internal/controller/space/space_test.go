package space

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/etcd"
	"berth.dev/berth/internal/testenv"
)

const quota = 4 << 20

// local reaches the bed's etcd whatever the target, and counts what is done there.
type local struct {
	etcd.Client
	at         etcd.Target
	targets    []int
	defragment []uint64
	fails      bool
}

func (l *local) Space(ctx context.Context, target etcd.Target) (etcd.Space, error) {
	l.targets = append(l.targets, len(target.Endpoints))
	return l.Client.Space(ctx, l.at)
}

func (l *local) Compact(ctx context.Context, _ etcd.Target, revision int64) error {
	return l.Client.Compact(ctx, l.at, revision)
}

func (l *local) Defragment(ctx context.Context, _ etcd.Target, id uint64) error {
	l.defragment = append(l.defragment, id)
	if l.fails {
		return errors.New("it was ended")
	}
	return l.Client.Defragment(ctx, l.at, id)
}

func (l *local) DisarmNoSpace(ctx context.Context, _ etcd.Target) error {
	return l.Client.DisarmNoSpace(ctx, l.at)
}

// bed is a cluster whose etcd is real, and small.
type bed struct {
	t    *testing.T
	r    *reconciler
	etcd *clientv3.Client
	at   *local
	now  time.Time
	key  client.ObjectKey
	told *events.FakeRecorder
	// reads are the full backups.
	reads *backup.Reads
	// acknowledged is what was written, and not deleted.
	acknowledged map[string]string
}

func newBed(t *testing.T, members int) *bed {
	t.Helper()
	b := &bed{t: t, now: time.Now(), at: &local{}, told: events.NewFakeRecorder(100), reads: backup.NewReads(), acknowledged: map[string]string{}}
	b.startEtcd(members)
	cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "sub-a", Name: "rg.c1", UID: "1"}}
	cluster.Spec.ID = "c0ffee"
	ready := metav1.NewTime(b.now)
	cluster.Status.APIServerReady = &ready
	namespace := v1beta1.ControlPlaneNamespace(cluster.Spec.ID)
	certificate, key := selfSigned(t)
	object := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }
	objects := []client.Object{
		cluster,
		&v1beta1.ServicePolicy{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.ServicePolicyName}},
		&corev1.Secret{ObjectMeta: object(controlplane.RootsSecret), Data: map[string][]byte{"etcd-ca.crt": certificate}},
		&corev1.Secret{ObjectMeta: object(controlplane.BackupSecret), Data: map[string][]byte{"client.crt": certificate, "client.key": key}},
		&corev1.Service{ObjectMeta: object(controlplane.EtcdService), Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.1"}},
	}
	if members > 1 {
		cluster.Spec.SKU = &v1beta1.SKU{Name: "Base", Tier: v1beta1.TierStandard}
		cluster.Status.Replicas = &v1beta1.ControlPlaneReplicas{Phase: v1beta1.ReplicasThree, Members: int32(members)}
		for ordinal := range int32(members) {
			objects = append(objects, &corev1.Service{ObjectMeta: object(controlplane.MemberName(ordinal)), Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.2"}})
		}
	}
	b.key = client.ObjectKeyFromObject(cluster)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1beta1.AddToScheme, clientgoscheme.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1beta1.ManagedCluster{}).Build()
	now := func() time.Time { return b.now }
	b.r = &reconciler{
		Config: Config{Store: "file:///backups", Etcd: b.at, Fulls: b.reads, Now: now, Metrics: prometheus.NewRegistry()},
		client: c, reader: c, events: activity.With(c, b.told, "berth/space", now), gauges: newGauges(),
	}
	return b
}

// startEtcd starts as many members on loopback.
func (b *bed) startEtcd(members int) {
	b.t.Helper()
	ports, err := testenv.FreePorts(2 * members)
	if err != nil {
		b.t.Fatal(err)
	}
	var initial []string
	for i := range members {
		initial = append(initial, fmt.Sprintf("etcd-%d=http://127.0.0.1:%d", i, ports[members+i]))
	}
	for i := range members {
		own, peer := fmt.Sprintf("http://127.0.0.1:%d", ports[i]), fmt.Sprintf("http://127.0.0.1:%d", ports[members+i])
		process, err := testenv.StartProcess(filepath.Join(b.t.TempDir(), "etcd.log"), nil, testenv.Program(b.t, testenv.Etcd), fmt.Sprintf("--name=etcd-%d", i),
			"--data-dir="+filepath.Join(b.t.TempDir(), "data"), "--listen-client-urls="+own, "--advertise-client-urls="+own, "--listen-peer-urls="+peer,
			"--initial-advertise-peer-urls="+peer, "--initial-cluster="+strings.Join(initial, ","), fmt.Sprintf("--quota-backend-bytes=%d", quota), "--log-level=error")
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(process.Kill)
		b.at.at.Endpoints = append(b.at.at.Endpoints, own)
	}
	if b.etcd, err = clientv3.New(clientv3.Config{Endpoints: b.at.at.Endpoints, Logger: zap.NewNop(), DialTimeout: 20 * time.Second}); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.etcd.Close() })
	b.turn()
}

// turn is one of the API server's turns of compaction, as it leaves its mark.
func (b *bed) turn() {
	b.t.Helper()
	if _, err := b.etcd.Put(b.t.Context(), "compact_rev_key", "0"); err != nil && !errors.Is(err, rpctypes.ErrNoSpace) {
		b.t.Fatal(err)
	}
}

// write writes so often, to that many keys in turn, and stops where etcd is full, which it
// says. What etcd refuses as the first may be there nonetheless.
func (b *bed) write(times, keys int) bool {
	b.t.Helper()
	for i := range times {
		key, value := fmt.Sprintf("/registry/configmaps/%d", i%keys), fmt.Sprint(i, strings.Repeat("x", 50_000))
		_, err := b.etcd.Put(b.t.Context(), key, value)
		if errors.Is(err, rpctypes.ErrNoSpace) {
			delete(b.acknowledged, key)
			return true
		}
		if err != nil {
			b.t.Fatal(err)
		}
		b.acknowledged[key] = value
	}
	return false
}

func (b *bed) cluster() *v1beta1.ManagedCluster {
	b.t.Helper()
	var cluster v1beta1.ManagedCluster
	if err := b.r.client.Get(b.t.Context(), b.key, &cluster); err != nil {
		b.t.Fatal(err)
	}
	return &cluster
}

// revision is what etcd has reached.
func (b *bed) revision() int64 {
	b.t.Helper()
	response, err := b.etcd.Get(b.t.Context(), "a")
	if err != nil {
		b.t.Fatal(err)
	}
	return response.Header.Revision
}

// backedUp says that everything written so far is in the backups.
func (b *bed) backedUp() {
	b.t.Helper()
	cluster, at := b.cluster(), metav1.NewTime(b.now)
	cluster.Status.Backup = &v1beta1.BackupStatus{RecoveryPoint: &at, RecoveryRevision: b.revision()}
	if err := b.r.client.Status().Update(b.t.Context(), cluster); err != nil {
		b.t.Fatal(err)
	}
}

// rest goes on until nothing is left to be done for now.
func (b *bed) rest() *v1beta1.ManagedCluster {
	b.t.Helper()
	for range 50 {
		result, err := b.r.Reconcile(b.t.Context(), ctrl.Request{NamespacedName: b.key})
		if err != nil {
			b.t.Fatal(err)
		}
		if result.RequeueAfter >= lookSoon {
			return b.cluster()
		}
	}
	b.t.Fatalf("it comes to no end: %+v", b.cluster().Status.EtcdCleaning)
	return nil
}

// check looks at the last attempt and at what the condition says.
func (b *bed) check(attempt int32, result v1beta1.EtcdCleaningResult, reason string) {
	b.t.Helper()
	cluster := b.rest()
	last := cluster.Status.EtcdCleaning
	if last == nil || last.Attempt != attempt || last.Result != result || last.EndTime == nil {
		b.t.Errorf("the last attempt is %+v, want number %d: %s", last, attempt, result)
	}
	b.tells(map[v1beta1.EtcdCleaningResult]string{v1beta1.EtcdCleaned: "Etcd", v1beta1.EtcdFull: "EtcdFull", v1beta1.EtcdCleaningFailed: "EtcdNotDefragmented"}[result])
	condition := meta.FindStatusCondition(cluster.Status.Conditions, v1beta1.ConditionEtcdHasSpace)
	if condition == nil || condition.Reason != reason || (condition.Status == metav1.ConditionTrue) != (reason == "HasSpace") {
		b.t.Errorf("the condition is %+v, want %s", condition, reason)
	}
}

// tells looks for the event of an attempt that has ended since the last look.
func (b *bed) tells(reason string) {
	b.t.Helper()
	for len(b.told.Events) > 0 {
		if said := <-b.told.Events; !strings.Contains(said, " "+reason) {
			b.t.Errorf("it tells %q, want %s", said, reason)
		}
	}
}

// takesWrites says whether etcd does, and looks for all that was acknowledged.
func (b *bed) takesWrites() bool {
	b.t.Helper()
	for key, value := range b.acknowledged {
		response, err := b.etcd.Get(b.t.Context(), key)
		if err != nil {
			b.t.Fatal(err)
		}
		if len(response.Kvs) != 1 || string(response.Kvs[0].Value) != value {
			b.t.Errorf("%s is not what was acknowledged", key)
		}
	}
	_, err := b.etcd.Put(b.t.Context(), "/b", "c")
	return err == nil
}

// A full etcd of three members is not compacted beyond what is backed up, and takes writes
// again when its history may go; its members are defragmented one after the other.
func TestHistoryThatFillsEtcdGoesOnceItIsBackedUp(t *testing.T) {
	b := newBed(t, 3)
	b.check0()
	b.write(1000, 10)
	b.check(1, v1beta1.EtcdFull, "BackupsBehind")
	if b.takesWrites() {
		t.Error("it takes writes")
	}
	b.backedUp()
	b.check(1, v1beta1.EtcdFull, "Full")
	b.now, b.at.defragment = b.now.Add(6*time.Minute), nil
	b.check(2, v1beta1.EtcdCleaned, "HasSpace")
	if !b.takesWrites() {
		t.Error("it takes no writes")
	}
	space, err := b.at.Space(t.Context(), etcd.Target{})
	if err != nil {
		t.Fatal(err)
	}
	last := b.cluster().Status.EtcdCleaning
	// A busy machine may have one that does not answer in time, which is left out.
	if n := len(b.at.defragment); n < 2 || len(last.Defragmented) != n || last.Before < quota/10*9 || last.After > quota/2 {
		t.Fatalf("defragmented %x, %+v", b.at.defragment, last)
	}
	for _, m := range space.Members {
		if m.Leader && slices.Index(b.at.defragment, m.ID) < len(b.at.defragment)-1 && slices.Contains(b.at.defragment, m.ID) {
			t.Errorf("the leader %x was not the last of %x", m.ID, b.at.defragment)
		}
	}
	if b.at.targets[0] != 3 {
		t.Errorf("%d members were asked", b.at.targets[0])
	}
	if got := testutil.ToFloat64(b.r.gauges.cleanings.WithLabelValues(b.key.Namespace, b.key.Name, "Cleaned")); got != 1 {
		t.Errorf("%v attempts went well", got)
	}
}

// check0 looks at an etcd that has room.
func (b *bed) check0() {
	b.t.Helper()
	if cluster := b.rest(); cluster.Status.EtcdCleaning != nil || !meta.IsStatusConditionTrue(cluster.Status.Conditions, v1beta1.ConditionEtcdHasSpace) {
		b.t.Errorf("%+v", cluster.Status)
	}
}

// Objects that fill etcd by themselves are the customer's to delete, which a full etcd lets
// happen; room is made of that without more ado.
func TestObjectsThatFillEtcdAreDeletedByTheCustomer(t *testing.T) {
	b := newBed(t, 1)
	b.write(1000, 1000)
	b.backedUp()
	b.check(1, v1beta1.EtcdFull, "Full")
	if condition := meta.FindStatusCondition(b.cluster().Status.Conditions, v1beta1.ConditionEtcdHasSpace); !strings.Contains(condition.Message, "until objects are deleted") {
		t.Errorf("%+v", condition)
	}
	for key := range b.acknowledged {
		if len(b.acknowledged) == 20 {
			break
		}
		if _, err := b.etcd.Delete(t.Context(), key); err != nil {
			t.Fatalf("a full etcd does not let things be deleted: %v", err)
		}
		delete(b.acknowledged, key)
	}
	b.backedUp()
	b.now = b.now.Add(5 * time.Minute)
	b.check(2, v1beta1.EtcdFull, "Full") // the API server may still want the history of it
	b.now = b.now.Add(10 * time.Minute)
	b.check(3, v1beta1.EtcdCleaned, "HasSpace")
	if !b.takesWrites() {
		t.Error("it takes no writes")
	}
}

// An etcd whose history has gone is defragmented before it is full.
func TestAFragmentedEtcdIsDefragmentedInTime(t *testing.T) {
	b := newBed(t, 1)
	b.write(70, 5)
	b.backedUp()
	b.check0()
	if _, err := b.etcd.Compact(t.Context(), b.revision(), clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	b.check(1, v1beta1.EtcdCleaned, "HasSpace")
	if last := b.cluster().Status.EtcdCleaning; last.Reason != v1beta1.EtcdFragmented || last.After > quota/2 || !b.takesWrites() {
		t.Errorf("%+v", last)
	}
}

// A member that does not come to the end of its defragmentation is not sent into it again at
// once.
func TestADefragmentationThatFailsIsNotRepeatedAtOnce(t *testing.T) {
	b := newBed(t, 1)
	b.at.fails = true
	for !b.write(5, 5) {
		b.turn()
	}
	b.backedUp()
	b.check(1, v1beta1.EtcdCleaningFailed, "NoSpace")
	b.now = b.now.Add(4 * time.Minute)
	b.check(1, v1beta1.EtcdCleaningFailed, "NoSpace")
	b.now = b.now.Add(time.Minute)
	b.check(2, v1beta1.EtcdCleaningFailed, "NoSpace")
	b.now = b.now.Add(9 * time.Minute)
	b.check(2, v1beta1.EtcdCleaningFailed, "NoSpace")
	b.at.fails = false
	b.now = b.now.Add(time.Minute)
	b.check(3, v1beta1.EtcdCleaned, "HasSpace")
	if len(b.at.defragment) != 3 || !b.takesWrites() {
		t.Errorf("defragmented %x", b.at.defragment)
	}
}

// An etcd that is put back, or stopped, is left alone.
func TestAnEtcdThatDoesNotServeIsLeftAlone(t *testing.T) {
	b := newBed(t, 1)
	for name, change := range map[string]func(*v1beta1.ManagedCluster){
		"stopped":   func(c *v1beta1.ManagedCluster) { c.Status.APIServerReady = nil },
		"recovered": func(c *v1beta1.ManagedCluster) { c.Status.Recovery = &v1beta1.ControlPlaneRecovery{ID: "1"} },
	} {
		cluster := b.cluster()
		change(cluster)
		if runs(cluster) {
			t.Errorf("%s: it is looked after", name)
		}
	}
	if !runs(b.cluster()) {
		t.Error("one that serves is not looked after")
	}
}

func selfSigned(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "etcd"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}
