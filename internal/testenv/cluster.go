package testenv

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
	"os"
	"path/filepath"
	"strings"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/crd"
	"berth.dev/berth/api/v1beta1"
)

const (
	adminToken   = "testenv-admin"
	startTimeout = 2 * time.Minute
)

// DefaultControllers are what makes Deployments and StatefulSets have pods, and
// deleted namespaces and claims go away.
const DefaultControllers = "namespace-controller,garbage-collector-controller,deployment-controller,replicaset-controller," +
	"statefulset-controller,persistentvolumeclaim-protection-controller"

// Options of a management cluster.
type Options struct {
	// Controllers are the controller-manager's that run; none if empty.
	Controllers string
	// ControllerGates are feature gates of theirs, such as "A=false,B=true"; their defaults if empty.
	ControllerGates string
	// Scheduler runs too, beside controllers.
	Scheduler bool
	// EtcdQuota is how many bytes etcd may store; etcd's own default if zero.
	EtcdQuota int64
}

// Env is a management cluster: an API server with Berth's CRDs, empty otherwise.
type Env struct {
	// Config is the administrator's.
	Config *rest.Config
	// Scheme knows Kubernetes' kinds and Berth's.
	Scheme *runtime.Scheme
	// ClientCA and ClientCAKey are an authority, PEM, whose certificates the API server takes
	// from its clients.
	ClientCA, ClientCAKey []byte
	// EtcdURL is where its etcd answers, in the clear.
	EtcdURL string
	// ReadyAfter is the time from the start of etcd to the API server's /readyz.
	ReadyAfter time.Duration

	dir       string
	processes []*Process
}

// Start starts a management cluster. Stop must be called.
func Start(options Options) (*Env, error) {
	dir, err := os.MkdirTemp("", "berth-testenv-")
	if err != nil {
		return nil, fmt.Errorf("make test directory: %w", err)
	}
	e := &Env{dir: dir}
	if err := e.start(options); err != nil {
		e.Stop()
		return nil, err
	}
	return e, nil
}

// Stop ends everything and removes its files.
func (e *Env) Stop() {
	for i := len(e.processes) - 1; i >= 0; i-- {
		e.processes[i].Kill()
	}
	_ = os.RemoveAll(e.dir)
}

// PIDs are those of the servers.
func (e *Env) PIDs() []int {
	var all []int
	for _, p := range e.processes {
		all = append(all, p.PID())
	}
	return all
}

// Client returns a client without a cache.
func (e *Env) Client() (client.WithWatch, error) {
	return client.NewWithWatch(e.Config, client.Options{Scheme: e.Scheme})
}

func (e *Env) start(options Options) error {
	var err error
	if e.Scheme, err = Scheme(); err != nil {
		return err
	}
	if err := e.startServers(options); err != nil {
		return err
	}
	if err := e.installCRDs(); err != nil {
		return err
	}
	if options.Controllers == "" {
		return nil
	}
	return e.startControllers(options)
}

func (e *Env) startServers(options Options) error {
	etcd, err := Binary(Etcd)
	if err != nil {
		return err
	}
	kube, err := Binary(Kube)
	if err != nil {
		return err
	}
	ports, err := FreePorts(3)
	if err != nil {
		return err
	}
	if err := e.writeKeys(); err != nil {
		return err
	}
	started := time.Now()
	defer func() { e.ReadyAfter = time.Since(started) }()
	etcdURL, peerURL := fmt.Sprintf("http://127.0.0.1:%d", ports[0]), fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	e.EtcdURL = etcdURL
	err = e.run("etcd", etcd, "--name=default", "--data-dir="+filepath.Join(e.dir, "etcd"), "--unsafe-no-fsync", "--log-level=error", fmt.Sprintf("--quota-backend-bytes=%d", options.EtcdQuota),
		"--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL,
		"--listen-peer-urls="+peerURL, "--initial-advertise-peer-urls="+peerURL, "--initial-cluster=default="+peerURL)
	if err != nil {
		return err
	}
	err = e.run("apiserver", kube, "kube-apiserver", "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", ports[2]),
		"--advertise-address=192.0.2.1", "--cert-dir="+e.dir, "--etcd-servers="+etcdURL, "--service-cluster-ip-range=100.65.0.0/16",
		"--authorization-mode=RBAC", "--allow-privileged=true", "--token-auth-file="+filepath.Join(e.dir, "tokens"), "--profiling=false",
		"--client-ca-file="+filepath.Join(e.dir, "client-ca.crt"), "--audit-policy-file="+filepath.Join(e.dir, "audit-policy.yaml"),
		"--audit-log-path="+e.AuditLog(), "--audit-log-mode=blocking",
		"--disable-admission-plugins=ServiceAccount", "--enable-priority-and-fairness=false",
		"--service-account-issuer=https://testenv", "--service-account-key-file="+filepath.Join(e.dir, "sa.key"),
		"--service-account-signing-key-file="+filepath.Join(e.dir, "sa.key"))
	if err != nil {
		return err
	}
	e.Config = &rest.Config{
		Host: fmt.Sprintf("https://127.0.0.1:%d", ports[2]), BearerToken: adminToken, QPS: 500, Burst: 1000,
		TLSClientConfig: rest.TLSClientConfig{Insecure: true},
	}
	return e.waitReady()
}

func (e *Env) run(name string, argv ...string) error {
	p, err := StartProcess(filepath.Join(e.dir, name+".log"), []string{"GOGC=50"}, argv...)
	if err != nil {
		return err
	}
	e.processes = append(e.processes, p)
	return nil
}

func (e *Env) writeKeys() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("generate key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	if err := e.makeClientCA(); err != nil {
		return err
	}
	files := map[string][]byte{
		"client-ca.crt": e.ClientCA, "audit-policy.yaml": []byte(auditPolicy),
		"sa.key": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}),
		"tokens": []byte(adminToken + ",admin,admin,system:masters\n"),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(e.dir, name), content, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// auditPolicy leaves out what the test's own administrator does, which is nearly all.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["admin", "system:apiserver", "system:anonymous", "aksService"]
- level: Metadata
`

// AuditLog is the file that the API server's audit log goes to, without the administrator.
func (e *Env) AuditLog() string { return filepath.Join(e.dir, "audit.log") }

func (e *Env) makeClientCA() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("generate key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "testenv"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("sign authority: %w", err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	e.ClientCA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	e.ClientCAKey = pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
	return nil
}

// waitReady also waits for what the API server makes by itself after its start.
func (e *Env) waitReady() error {
	config := rest.CopyConfig(e.Config)
	config.NegotiatedSerializer, config.GroupVersion = clientgoscheme.Codecs.WithoutConversion(), &v1beta1.GroupVersion
	asker, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	err = wait.PollUntilContextTimeout(context.Background(), 20*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		for _, p := range e.processes {
			select {
			case <-p.Ended():
				return false, p.Failure()
			default:
			}
		}
		return asker.Get().AbsPath("/readyz").Do(ctx).Error() == nil, nil
	})
	if err != nil {
		return fmt.Errorf("API server is not ready: %w", err)
	}
	return nil
}

func (e *Env) installCRDs() error {
	manifests, err := crd.Manifests()
	if err != nil {
		return err
	}
	c, err := e.Client()
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for _, manifest := range manifests {
		if err := c.Create(ctx, manifest); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("install CRD %s: %w", manifest.Name, err)
		}
	}
	return wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		for _, manifest := range manifests {
			var seen apiextensionsv1.CustomResourceDefinition
			if err := c.Get(ctx, client.ObjectKeyFromObject(manifest), &seen); err != nil {
				return false, fmt.Errorf("read CRD %s: %w", manifest.Name, err)
			}
			if !established(&seen) {
				return false, nil
			}
		}
		return true, nil
	})
}

func established(definition *apiextensionsv1.CustomResourceDefinition) bool {
	for _, condition := range definition.Status.Conditions {
		if condition.Type == apiextensionsv1.Established {
			return condition.Status == apiextensionsv1.ConditionTrue
		}
	}
	return false
}

func (e *Env) startControllers(options Options) error {
	kube, err := Binary(Kube)
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["testenv"] = &clientcmdapi.Cluster{Server: e.Config.Host, InsecureSkipTLSVerify: true}
	config.AuthInfos["admin"] = &clientcmdapi.AuthInfo{Token: adminToken}
	config.Contexts["testenv"] = &clientcmdapi.Context{Cluster: "testenv", AuthInfo: "admin"}
	config.CurrentContext = "testenv"
	path := filepath.Join(e.dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	err = e.run("controllers", kube, "kube-controller-manager", "--kubeconfig="+path, "--leader-elect=false", "--secure-port=0",
		"--controllers="+options.Controllers, "--feature-gates="+options.ControllerGates, "--profiling=false", "--kube-api-qps=500", "--kube-api-burst=1000")
	if err != nil || !options.Scheduler {
		return err
	}
	return e.run("scheduler", kube, "kube-scheduler", "--kubeconfig="+path, "--authentication-kubeconfig="+path, "--authorization-kubeconfig="+path,
		"--leader-elect=false", "--secure-port=0", "--profiling=false")
}

// Log returns the end of what a process (etcd, apiserver, controllers, scheduler) wrote, for
// a test that fails.
func (e *Env) Log(name string) string {
	raw, err := os.ReadFile(filepath.Join(e.dir, name+".log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(raw), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// Scheme knows Kubernetes' kinds, CustomResourceDefinitions and Berth's kinds.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	err := errors.Join(clientgoscheme.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme), v1beta1.AddToScheme(scheme))
	if err != nil {
		return nil, fmt.Errorf("build scheme: %w", err)
	}
	return scheme, nil
}
