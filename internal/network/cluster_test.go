package network

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

// agentArguments tells the test binary to be the agent, with these arguments.
const agentArguments = "BERTH_TEST_AGENT_ARGUMENTS"

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(agentArguments); ok {
		command := NewCommand()
		command.SetArgs(strings.Split(text, " "))
		if err := command.Execute(); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// cluster is an outside world (10.9.0.254, with the API server) and nodes linked to it, each a network namespace with a
// real agent in it.
type cluster struct {
	outside *namespace
	api     *apiServer
	url     string
	nodes   []*testNode
}

type testNode struct {
	*namespace
	name     string
	addr     netip.Addr
	podCIDR  netip.Prefix
	cni      string // directory of the CNI configuration
	results  string // directory of CNI results
	process  *exec.Cmd
	podCount int
}

// testPod is a pod's network namespace, linked to its node as the ptp plugin does it.
type testPod struct {
	*namespace
	key  string
	addr netip.Addr
	host string // the node's end of its link
}

func newCluster(t *testing.T, nodes int, arguments ...string) *cluster {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs the nft command")
	}
	c := &cluster{outside: newNamespace(t)}
	var listener net.Listener
	c.outside.must(t, func() (err error) {
		if err := addAddress("lo", "10.9.0.254/32"); err != nil {
			return err
		}
		// Nodes reach each other through the outside.
		if err := sysctl("net/ipv4/ip_forward", "1"); err != nil {
			return err
		}
		listener, err = net.Listen("tcp", "10.9.0.254:0")
		return err
	})
	c.url = "http://" + listener.Addr().String()
	c.api = newAPIServer(t, listener)
	for i := range nodes {
		c.addNode(t, i+1, arguments)
	}
	return c
}

func (c *cluster) addNode(t *testing.T, i int, arguments []string) *testNode {
	t.Helper()
	n := &testNode{
		namespace: newNamespace(t), name: fmt.Sprintf("node-%d", i),
		addr:    netip.AddrFrom4([4]byte{10, 9, 0, byte(i)}),
		podCIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(i), 0}), 24),
		cni:     filepath.Join(t.TempDir(), "net.d"), results: filepath.Join(t.TempDir(), "results"),
	}
	uplink := fmt.Sprintf("up%d", i)
	if err := c.outside.connect(uplink, n.namespace, "eth0"); err != nil {
		t.Fatal(err)
	}
	outside := netip.MustParseAddr("10.9.0.254")
	c.outside.must(t, func() error { return route(netip.PrefixFrom(n.addr, 32), uplink, netip.Addr{}) })
	n.must(t, func() error {
		if err := addAddress("eth0", n.addr.String()+"/32"); err != nil {
			return err
		}
		if err := route(netip.PrefixFrom(outside, 32), "eth0", netip.Addr{}); err != nil {
			return err
		}
		return route(netip.MustParsePrefix("0.0.0.0/0"), "eth0", outside)
	})
	node := &corev1.Node{}
	node.Name = n.name
	node.Spec.PodCIDR = n.podCIDR.String()
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.addr.String()}}
	c.api.put("nodes", "Node", "v1", node)
	c.startAgent(t, n, arguments)
	c.nodes = append(c.nodes, n)
	return n
}

// startAgent runs this binary as the agent and waits for the CNI configuration, which comes last.
func (c *cluster) startAgent(t *testing.T, n *testNode, arguments []string) {
	t.Helper()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],"+
		" clusters: [{name: c, cluster: {server: '%s'}}], users: [{name: u, user: {}}]}", c.url)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	all := append([]string{
		"--node-name=" + n.name, "--kubeconfig=" + kubeconfig, "--cni-dir=" + n.cni, "--cni-results=" + n.results, "--verbose",
	}, arguments...)
	// One that an earlier agent wrote says nothing about this one.
	if err := os.RemoveAll(filepath.Join(n.cni, "10-berth.conflist")); err != nil {
		t.Fatal(err)
	}
	n.process = exec.Command(os.Args[0])
	n.process.Env = append(os.Environ(), agentArguments+"="+strings.Join(all, " "))
	output := &logWriter{t: t, prefix: n.name}
	n.process.Stdout, n.process.Stderr = output, output
	n.must(t, n.process.Start)
	t.Cleanup(func() { n.stopAgent(); output.close() })
	eventually(t, n.name+" has its CNI configuration", func() error {
		_, err := os.Stat(filepath.Join(n.cni, "10-berth.conflist"))
		return err
	})
}

func (n *testNode) stopAgent() {
	if n.process == nil {
		return
	}
	_ = n.process.Process.Signal(os.Interrupt)
	_ = n.process.Wait()
	n.process = nil
}

// addPod starts a pod with servers on TCP and UDP 80 and 81 that answer with the address they see. The CNI result is
// written as libcni does; status is what the API server would hear later.
func (c *cluster) addPod(t *testing.T, n *testNode, key string, result, status bool) *testPod {
	t.Helper()
	n.podCount++
	base := n.podCIDR.Addr().As4()
	base[3] = byte(n.podCount + 1)
	p := &testPod{namespace: newNamespace(t), key: key, addr: netip.AddrFrom4(base), host: fmt.Sprintf("veth%d", n.podCount)}
	base[3] = 1
	gateway := netip.AddrFrom4(base)
	if err := n.connect(p.host, p.namespace, "eth0"); err != nil {
		t.Fatal(err)
	}
	n.must(t, func() error {
		if err := addAddress(p.host, gateway.String()+"/32"); err != nil {
			return err
		}
		return route(netip.PrefixFrom(p.addr, 32), p.host, netip.Addr{})
	})
	p.must(t, func() error {
		if err := addAddress("eth0", p.addr.String()+"/32"); err != nil {
			return err
		}
		if err := route(netip.PrefixFrom(gateway, 32), "eth0", netip.Addr{}); err != nil {
			return err
		}
		return route(netip.MustParsePrefix("0.0.0.0/0"), "eth0", gateway)
	})
	p.serve(t, 80)
	p.serve(t, 81)
	c.announce(n, p, status)
	if result {
		n.writeResult(t, p)
	}
	return p
}

func (c *cluster) announce(n *testNode, p *testPod, status bool) {
	object := &corev1.Pod{}
	object.Namespace, object.Name, _ = strings.Cut(p.key, "/")
	object.Labels = map[string]string{"pod": object.Name}
	object.Spec.NodeName = n.name
	object.Spec.Containers = []corev1.Container{{Name: "c", Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 80}}}}
	if status {
		object.Status.PodIP = p.addr.String()
	}
	c.api.put("pods", "Pod", "v1", object)
}

func (n *testNode) writeResult(t *testing.T, p *testPod) {
	t.Helper()
	namespace, name, _ := strings.Cut(p.key, "/")
	data, err := json.Marshal(map[string]any{
		"kind":    "cniCacheV1",
		"cniArgs": [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", namespace}, {"K8S_POD_NAME", name}},
		"result":  map[string]any{"ips": []map[string]string{{"address": p.addr.String() + "/24"}}},
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(n.results, "berth-"+p.host+"-eth0"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// serve answers each connection and datagram on a port with the address that it comes from.
func (n *namespace) serve(t *testing.T, port int) {
	t.Helper()
	var listener net.Listener
	var packets net.PacketConn
	n.must(t, func() (err error) {
		if listener, err = net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port)); err != nil {
			return err
		}
		packets, err = net.ListenPacket("udp4", fmt.Sprintf("0.0.0.0:%d", port))
		return err
	})
	t.Cleanup(func() { _ = listener.Close(); _ = packets.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(connection, connection.RemoteAddr().String())
			_ = connection.Close()
		}
	}()
	go func() {
		buffer := make([]byte, 2000)
		for {
			_, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo([]byte(from.String()), from)
		}
	}()
}

// ask connects to addr and returns the address that the server saw. Without an answer in half a second it gives up.
func (n *namespace) ask(network, addr string) (netip.Addr, error) {
	var seen netip.Addr
	err := n.do(func() error {
		connection, err := net.DialTimeout(network, addr, 500*time.Millisecond)
		if err != nil {
			return err
		}
		defer connection.Close()
		_ = connection.SetDeadline(time.Now().Add(500 * time.Millisecond))
		if strings.HasPrefix(network, "udp") {
			if _, err := connection.Write([]byte("?")); err != nil {
				return err
			}
		}
		buffer := make([]byte, 100)
		count, err := connection.Read(buffer)
		if err != nil {
			return err
		}
		from, err := netip.ParseAddrPort(string(buffer[:count]))
		seen = from.Addr()
		return err
	})
	return seen, err
}

// policy creates or replaces a NetworkPolicy from its spec in YAML.
func (c *cluster) policy(t *testing.T, namespace, name, spec string) {
	t.Helper()
	np := &networkingv1.NetworkPolicy{}
	np.Namespace, np.Name = namespace, name
	if err := yaml.UnmarshalStrict([]byte(spec), &np.Spec); err != nil {
		t.Fatal(err)
	}
	c.api.put("networkpolicies", "NetworkPolicy", "networking.k8s.io/v1", np)
}

func (c *cluster) namespace(name string) {
	object := &corev1.Namespace{}
	object.Name = name
	object.Labels = map[string]string{"kubernetes.io/metadata.name": name}
	c.api.put("namespaces", "Namespace", "v1", object)
}

// eventually waits for f to succeed.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not so: %s: %v", what, err)
		case <-tick.C:
		}
	}
}

// logWriter passes an agent's output to the test's log until the test ends.
type logWriter struct {
	mu     sync.Mutex
	t      *testing.T
	prefix string
}

func (w *logWriter) Write(data []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t != nil {
		w.t.Logf("%s: %s", w.prefix, strings.TrimSpace(string(data)))
	}
	return len(data), nil
}

func (w *logWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t = nil
}
