package controlplane

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"berth.dev/berth/internal/testenv"
)

// hosted runs the rendered command lines of a control plane as plain processes,
// with directories and ports moved to where the test may have them.
type hosted struct {
	dir        string
	move       *strings.Replacer
	etcd, kube *testenv.Process
	config     *rest.Config
	ready      time.Duration
	// argv are the command lines of etcd and kube.
	argv [2][]string
}

func startHosted(t *testing.T) *hosted {
	t.Helper()
	etcdBinary, kubeBinary := testenv.Program(t, testenv.Etcd), testenv.Program(t, testenv.Kube)
	in := testInput()
	in.APIServerAddress, in.EtcdAddress = "127.0.0.1", "127.0.0.1"
	h := &hosted{dir: t.TempDir()}
	h.move = h.moves(t)
	secrets := h.writeFiles(t, in, h.move)
	objects := Workloads(in)
	for i, binary := range []string{etcdBinary, kubeBinary} {
		h.argv[i] = []string{binary}
		for _, arg := range podTemplate(t, objects[2+i]).Spec.Containers[0].Args {
			h.argv[i] = append(h.argv[i], strings.Split(h.move.Replace(arg), argBreak)...)
		}
	}
	kubeconfig := h.move.Replace(string(secrets[ControllerKubeconfig].Data[KubeconfigKey]))
	var err error
	if h.config, err = clientcmd.RESTConfigFromKubeConfig([]byte(kubeconfig)); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	h.startProcesses(t)
	h.ready = time.Since(started)
	return h
}

// startProcesses starts both, and waits until the API server answers.
func (h *hosted) startProcesses(t *testing.T) {
	t.Helper()
	for i, into := range []**testenv.Process{&h.etcd, &h.kube} {
		process, err := testenv.StartProcess(fmt.Sprintf("%s/%s.log", h.dir, []string{"etcd", "kube"}[i]), []string{"GOGC=50"}, h.argv[i]...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(process.Stop)
		*into = process
	}
	h.waitReady(t)
}

// argBreak is where a moved argument becomes two.
const argBreak = "\n"

func (h *hosted) moves(t *testing.T) *strings.Replacer {
	ports, err := testenv.FreePorts(4)
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(
		// An API server refuses to advertise the loopback device.
		"advertise-address=127.0.0.1", "advertise-address=192.0.2.1",
		dirPKI, h.dir+"/pki", dirConfig, h.dir+"/config", dirAudit, h.dir+"/audit", dirEtcdPKI, h.dir+"/etcd-pki",
		dirEtcd, h.dir+"/etcd", dirKonnectivity, h.dir,
		"0.0.0.0:2379", "127.0.0.1:"+strconv.Itoa(ports[0]), "0.0.0.0:2381", "127.0.0.1:"+strconv.Itoa(ports[2]),
		":2379", ":"+strconv.Itoa(ports[0]), ":2380", ":"+strconv.Itoa(ports[1]),
		":6443", ":"+strconv.Itoa(ports[3]), "secure-port=6443", "bind-address=127.0.0.1"+argBreak+"--secure-port="+strconv.Itoa(ports[3]),
	)
}

// writeFiles does what the kubelet does with the volumes.
func (h *hosted) writeFiles(t *testing.T, in Input, move *strings.Replacer) map[string]*corev1.Secret {
	secrets := issueAll(t, in)
	write := func(path string, content []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(move.Replace(string(content))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	objects := Workloads(in)
	for name, content := range objects[0].(*corev1.ConfigMap).Data {
		write(filepath.Join(h.dir, "config", name), []byte(content))
	}
	for dir, volume := range map[string]corev1.Volume{
		"pki":      podTemplate(t, objects[3]).Spec.Volumes[0],
		"etcd-pki": podTemplate(t, objects[2]).Spec.Volumes[0],
	} {
		for _, source := range volume.Projected.Sources {
			data := secrets[source.Secret.Name].Data
			for name, content := range data {
				if len(source.Secret.Items) == 0 {
					write(filepath.Join(h.dir, dir, name), content)
				}
			}
			for _, item := range source.Secret.Items {
				write(filepath.Join(h.dir, dir, item.Path), data[item.Key])
			}
		}
	}
	return secrets
}

func (h *hosted) waitReady(t *testing.T) {
	t.Helper()
	client := kubernetes.NewForConfigOrDie(h.config).Discovery().RESTClient()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		select {
		case <-h.kube.Ended():
			return false, h.kube.Failure()
		case <-h.etcd.Ended():
			return false, h.etcd.Failure()
		default:
			return client.Get().AbsPath("/readyz").Do(ctx).Error() == nil, nil
		}
	})
	if err != nil {
		raw, _ := os.ReadFile(h.dir + "/kube.log")
		t.Fatalf("control plane not ready: %v\n%s", err, raw)
	}
}

func podTemplate(t *testing.T, object any) corev1.PodTemplateSpec {
	t.Helper()
	switch o := object.(type) {
	case *appsv1.Deployment:
		return o.Spec.Template
	case *appsv1.StatefulSet:
		return o.Spec.Template
	default:
		t.Fatalf("%T has no pod template", object)
		return corev1.PodTemplateSpec{}
	}
}

// The rendered command lines must start real programs that work together.
func TestHostedControlPlaneRuns(t *testing.T) {
	h := startHosted(t)
	t.Logf("ready after %s, PSS %d MiB", h.ready, pss(t, h.kube.PID())>>20)
	clients := kubernetes.NewForConfigOrDie(h.config)

	t.Run("controllers act", func(t *testing.T) {
		waitFor(t, func(ctx context.Context) (bool, error) {
			_, err := clients.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
			return err == nil, nil
		})
	})
	t.Run("anonymous may ask for health only", func(t *testing.T) { anonymousAccess(t, h.config.Host) })
	t.Run("secrets are encrypted at rest", func(t *testing.T) { encryptedAtRest(t, h, clients) })
	t.Run("audited", func(t *testing.T) { audited(t, h, clients) })
}

func waitFor(t *testing.T, condition wait.ConditionWithContextFunc) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, condition); err != nil {
		t.Fatal(err)
	}
}

func anonymousAccess(t *testing.T, host string) {
	// The test asks as the kubelet's probe does, which checks no certificate.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec
	for path, want := range map[string]int{
		"/readyz": http.StatusOK, "/livez": http.StatusOK,
		"/version": http.StatusUnauthorized, "/api/v1/namespaces": http.StatusUnauthorized,
	} {
		response, err := client.Get(host + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("GET %s as a stranger: %d, want %d", path, response.StatusCode, want)
		}
	}
}

func encryptedAtRest(t *testing.T, h *hosted, clients kubernetes.Interface) {
	const plain = "a-value-that-must-not-reach-the-disk"
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "probe"}, StringData: map[string]string{"key": plain}}
	if _, err := clients.CoreV1().Secrets("default").Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	err := filepath.WalkDir(h.dir+"/etcd", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, word := range []string{plain, "k8s:enc:secretbox:v1:key1"} {
			found[word] = found[word] || strings.Contains(string(raw), word)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if found[plain] || !found["k8s:enc:secretbox:v1:key1"] {
		t.Errorf("on disk: plain text %v, ciphertext %v", found[plain], found["k8s:enc:secretbox:v1:key1"])
	}
}

func audited(t *testing.T, h *hosted, clients kubernetes.Interface) {
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "audit-probe"}}
	if _, err := clients.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func(context.Context) (bool, error) {
		raw, err := os.ReadFile(h.dir + "/audit/audit.log")
		return strings.Contains(string(raw), "audit-probe") && strings.Contains(string(raw), PlatformUser), err
	})
}

// pss is the process's proportional share of memory, in bytes.
func pss(t *testing.T, pid int) int64 {
	t.Helper()
	raw, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for scanner := bufio.NewScanner(raw); scanner.Scan(); {
		var kib int64
		if _, err := fmt.Sscanf(scanner.Text(), "Pss: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	t.Fatal("no Pss in smaps_rollup")
	return 0
}
