// Package harness gives tests a Berth of their own: in a network namespace that
// it makes itself, from a state directory of its own, driven by the same
// programs that users have.
package harness

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"berth.dev/berth/api/v1beta1"
)

// inside marks the process that already runs in the test's own namespaces.
const inside = "BERTH_TEST_NAMESPACE"

// Main runs a package's tests in a new network namespace with loopback alone, so
// that they neither need a free port on the host nor can reach anything else.
// Call it from TestMain.
func Main(m *testing.M) {
	if os.Getenv(inside) != "" {
		link, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(link)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "harness: bring up loopback:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "harness: tests of real clusters need root; run them with sudo")
		os.Exit(1)
	}
	self := exec.Command("/proc/self/exe", os.Args[1:]...)
	self.Env = append(os.Environ(), inside+"=1")
	self.Stdin, self.Stdout, self.Stderr = os.Stdin, os.Stdout, os.Stderr
	self.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := self.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Root is the repository's directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		raw, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(raw, []byte("module berth.dev/berth\n")) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no go.mod of berth.dev/berth above the working directory")
}

// Env is one Berth and the environment that its clients run in.
type Env struct {
	T testing.TB
	// Root is the repository and State the state directory of this Berth.
	Root, State string
	vars        []string
	// own is the copy that OwnRepository made.
	own string
	// life ends with the test, whatever subtest something was started in, and
	// running are those who have to end then.
	life    context.Context
	running *sync.WaitGroup
}

// New prepares a Berth that is not up yet. What it leaves is removed at the end
// of the test.
func New(t testing.TB) *Env {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	// Sockets below the state directory need short paths.
	state, err := os.MkdirTemp("/var/tmp", "berth-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	e := &Env{T: t, Root: root, State: state, running: new(sync.WaitGroup)}
	var end context.CancelFunc
	e.life, end = context.WithCancel(context.Background())
	t.Cleanup(func() {
		end()
		e.running.Wait()
		if t.Failed() {
			e.collect()
		}
		if out, err := e.try(3*time.Minute, e.Bin("berth"), "down", "--purge", "--state-dir", state); err != nil {
			t.Errorf("berth down: %v\n%s", err, out)
		}
		os.RemoveAll(state)
		if e.own != "" {
			os.RemoveAll(e.own)
		}
	})
	return e
}

// Bin is a program under build/bin.
func (e *Env) Bin(name string) string { return filepath.Join(e.Root, "build", "bin", name) }

// Up runs `berth up` without the demo and reads the clients' environment.
func (e *Env) Up() {
	e.T.Helper()
	started := time.Now()
	e.Run("berth", "up", "--no-demo", "--state-dir", e.State)
	e.T.Logf("berth up took %.1f s", time.Since(started).Seconds())
	e.vars = nil
	for _, line := range strings.Split(e.Run("berth", "env", "--state-dir", e.State), "\n") {
		if assignment, ok := strings.CutPrefix(line, "export "); ok {
			name, value, _ := strings.Cut(assignment, "=")
			e.vars = append(e.vars, name+"="+strings.Trim(value, `'"`))
		}
	}
	e.vars = append(e.vars, "KUBECONFIG="+filepath.Join(e.State, "kubeconfig"), "HOME="+e.State)
}

// Run runs a program to its end and returns what it printed; the test ends if it
// fails. Programs of ours are taken from build/bin.
func (e *Env) Run(name string, args ...string) string {
	e.T.Helper()
	out, err := e.Try(name, args...)
	if err != nil {
		e.T.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// Try is Run for a program that may fail.
func (e *Env) Try(name string, args ...string) (string, error) {
	if name == "berth" || name == "kubectl" {
		name = e.Bin(name)
	}
	return e.try(10*time.Minute, name, args...)
}

func (e *Env) try(limit time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Env, command.Dir = append(os.Environ(), e.vars...), e.Root
	out, err := command.CombinedOutput()
	return string(out), err
}

// Build runs a berth command that builds, with the caches of Go that the tests were
// started with. What it prints is logged as it comes.
func (e *Env) Build(args ...string) {
	e.T.Helper()
	const limit = 40 * time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, e.Bin("berth"), args...)
	command.Dir, command.Stdout, command.Stderr = e.Root, e.T.Output(), e.T.Output()
	if err := command.Run(); err != nil {
		e.T.Fatalf("berth %s: %v", strings.Join(args, " "), err)
	}
}

// Start runs a program until the test ends or stop is called.
func (e *Env) Start(name string, args ...string) (stop func()) {
	e.T.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, e.Bin(name), args...)
	command.Env = append(os.Environ(), e.vars...)
	if err := command.Start(); err != nil {
		cancel()
		e.T.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		_ = command.Wait() // it was killed, which is what it says
	})
	e.T.Cleanup(stop)
	return stop
}

// Variable is the value of one of the clients' environment variables.
func (e *Env) Variable(name string) string {
	for _, v := range e.vars {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// Management runs kubectl against the management cluster.
func (e *Env) Management(args ...string) string {
	e.T.Helper()
	return e.Run("kubectl", append([]string{"--kubeconfig", filepath.Join(e.State, "admin.kubeconfig")}, args...)...)
}

// ManagementClient is a client of the management cluster that knows Berth's kinds.
func (e *Env) ManagementClient() client.WithWatch {
	e.T.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(e.State, "admin.kubeconfig"))
	if err != nil {
		e.T.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		e.T.Fatal(err)
	}
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		e.T.Fatal(err)
	}
	log.SetLogger(logr.Discard()) // the client library asks for one
	config.QPS, config.Burst = 1000, 1000
	made, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		e.T.Fatal(err)
	}
	return made
}

// Eventually polls until the condition gives no error, and fails the test with
// the last error after the limit.
func (e *Env) Eventually(what string, limit time.Duration, condition func() error) {
	e.T.Helper()
	deadline := time.Now().Add(limit)
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			e.T.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		<-ticker.C
	}
}

// collect prints what helps to understand a failure.
func (e *Env) collect() {
	kubeconfig := filepath.Join(e.State, "admin.kubeconfig")
	for _, args := range [][]string{
		{"get", "pods", "-A", "-o", "wide"},
		{"get", "managedclusters,agentpools,machines,operations", "-A"},
		{"get", "events", "-A", "--sort-by=.lastTimestamp"},
		{"-n", "berth-system", "logs", "deploy/berth", "--tail=80"},
	} {
		out, _ := e.try(20*time.Second, e.Bin("kubectl"), append([]string{"--kubeconfig", kubeconfig}, args...)...)
		e.T.Logf("kubectl %s\n%s", strings.Join(args, " "), out)
	}
}

// On is the same Berth for a subtest.
func (e *Env) On(t testing.TB) *Env {
	clone := *e
	clone.T = t
	return &clone
}

// Cluster runs kubectl against a managed cluster whose credentials were merged
// into the environment's kubeconfig.
func (e *Env) Cluster(context string, args ...string) string {
	e.T.Helper()
	return e.Run("kubectl", append([]string{"--context", context}, args...)...)
}

// TryCluster is Cluster for a command that may fail.
func (e *Env) TryCluster(context string, args ...string) (string, error) {
	return e.Try("kubectl", append([]string{"--context", context}, args...)...)
}
