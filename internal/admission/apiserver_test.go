package admission

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/cert"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/install"
	"berth.dev/berth/internal/operation"
	"berth.dev/berth/internal/release"
	"berth.dev/berth/internal/testenv"
)

// TestAPIServerKeepsWhatIsLocked deletes over a real API server, with the webhooks as they
// are installed: it must ask at all, and about the object as it was. A lock goes with its
// cluster, by Kubernetes' own garbage collector.
func TestAPIServerKeepsWhatIsLocked(t *testing.T) {
	env := testenv.New(t, testenv.Options{Controllers: testenv.DefaultControllers})
	c, err := env.Client()
	if err != nil {
		t.Fatal(err)
	}
	world, ctx := newLockWorld(), t.Context()
	objects := []client.Object{world.group, world.nodes, world.cluster, world.system, world.user, world.snapshot}
	create(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "sub-1"}})
	world.cluster.Annotations = map[string]string{v1beta1.AnnotationOperation: world.operation.Name}
	for _, object := range objects {
		object.SetFinalizers(nil)
		create(t, c, object)
	}
	held := lockOf("keep", "/subscriptions/1")
	with := lockOf("with", operation.ClusterID(world.cluster))
	with.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1beta1.GroupVersion.String(), Kind: "ManagedCluster", Name: world.cluster.Name, UID: world.cluster.UID}}
	create(t, c, held)
	create(t, c, with)
	for _, object := range serveWebhooks(t, env) {
		create(t, c, object)
	}
	refused := func(object client.Object) bool {
		err := c.Delete(ctx, object, client.DryRunAll)
		return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "ScopeLocked")
	}
	poll(t, "the webhooks are asked", func() bool { return refused(world.cluster) })
	for _, object := range objects {
		if !refused(object) {
			t.Errorf("%T %s can be deleted", object, object.GetName())
		}
	}
	if err := c.DeleteAllOf(ctx, &v1beta1.ManagedCluster{}, client.InNamespace("sub-1")); !apierrors.IsForbidden(err) {
		t.Errorf("all clusters at once can be deleted: %v", err)
	}
	world.operation.Spec = v1beta1.OperationSpec{
		Type: v1beta1.OperationDelete, State: v1beta1.StateDeleting,
		Target: v1beta1.OperationTarget{Kind: v1beta1.TargetManagedCluster, Name: world.cluster.Name, ResourceID: operation.ClusterID(world.cluster)},
	}
	create(t, c, world.operation)
	if err := c.Delete(ctx, world.cluster); err != nil {
		t.Errorf("an operation deletes it: %v", err)
	}
	poll(t, "a lock goes with its cluster", func() bool { return apierrors.IsNotFound(c.Get(ctx, client.ObjectKeyFromObject(with), with)) })
	if err := c.Delete(ctx, held); err != nil {
		t.Errorf("a lock cannot be removed: %v", err)
	}
	if refused(world.snapshot) {
		t.Error("a snapshot cannot be deleted when its lock is gone")
	}
}

func lockOf(name, scope string) *v1beta1.ManagementLock {
	return &v1beta1.ManagementLock{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: v1beta1.LockObjectName(scope, name)},
		Spec:       v1beta1.ManagementLockSpec{Name: name, Scope: scope, Level: v1beta1.LockCanNotDelete},
	}
}

func create(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatalf("create %T %s: %v", object, object.GetName(), err)
	}
}

func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) { return done(), nil })
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// serveWebhooks answers on a port of this host, and returns the configurations that send
// the API server there.
func serveWebhooks(t *testing.T, env *testenv.Env) []client.Object {
	t.Helper()
	dir := t.TempDir()
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"tls.crt": certificate, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ports, err := testenv.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	manager, err := ctrl.NewManager(env.Config, ctrl.Options{
		Scheme: env.Scheme, Metrics: server.Options{BindAddress: "0"},
		WebhookServer: webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: ports[0], CertDir: dir}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := Setup(manager, Rules{Reader: manager.GetAPIReader(), Catalogue: &release.Catalogue{}}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- manager.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve webhooks: %v", err)
		}
	})
	var kept []client.Object
	for _, object := range install.Webhooks(install.Config{CA: certificate}) {
		if configuration, ok := object.(*admissionv1.ValidatingWebhookConfiguration); ok {
			for i := range configuration.Webhooks {
				url := fmt.Sprintf("https://127.0.0.1:%d%s", ports[0], *configuration.Webhooks[i].ClientConfig.Service.Path)
				configuration.Webhooks[i].ClientConfig.Service, configuration.Webhooks[i].ClientConfig.URL = nil, &url
			}
			kept = append(kept, configuration)
		}
	}
	return kept
}
