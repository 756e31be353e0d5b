package e2e

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"berth.dev/berth/test/harness"
)

// deletedNode deletes a Node with kubectl. The machine is there, so the Node comes
// back with what the service puts on it, and soon enough for its pods to live on.
func deletedNode(e *harness.Env) {
	node := e.ReadyNodes("c1")[0]
	uid := func(kind string) string {
		return e.Cluster("c1", "get", kind, "-o", "jsonpath={range .items[*]}{.metadata.name}={.metadata.uid} {end}", "--field-selector", "metadata.name="+node)
	}
	pods := func() string {
		return e.Cluster("c1", "get", "pods", "-l", "app=web", "--field-selector", "spec.nodeName="+node, "-o", "jsonpath={.items[*].metadata.uid}")
	}
	before, running := uid("nodes"), pods()
	if running == "" {
		e.T.Fatalf("no pod runs on %s: the test would show little", node)
	}
	started := time.Now()
	e.Cluster("c1", "delete", "node", node)
	e.Eventually("the node comes back, labelled and Ready", 90*time.Second, func() error {
		out, err := e.TryCluster("c1", "get", "node", node, "-o",
			`jsonpath={.metadata.uid} {.metadata.labels.kubernetes\.azure\.com/mode} {.spec.providerID} {.status.conditions[?(@.type=="Ready")].status}`)
		if err != nil || strings.Contains(before, strings.Fields(out)[0]) || !strings.Contains(out, " system azure:///") || !strings.HasSuffix(out, " True") {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	e.T.Logf("the node was back after %.1f s", time.Since(started).Seconds())
	if now := pods(); now != running {
		e.T.Errorf("the node's pods were %s and are %s", running, now)
	}
	e.Run("berth", "cluster", "wait", "-g", "rg1", "-n", "c1", "--updated", "--timeout", "120")
}

// The registry of somebody else, in a network that only the test has (RFC 5737).
const outsideNetwork, outsideAddress = "198.51.100.1/24", "198.51.100.7:5000"

// outsideImage runs a pod whose image lies in a registry that is not Berth's.
func outsideImage(e *harness.Env) {
	var asked atomic.Int32
	image := serveOutside(e, &asked)
	for _, node := range e.ReadyNodes("c1") {
		// What a customer's DaemonSet would do for a registry without TLS.
		dir := "/etc/containerd/certs.d/" + outsideAddress
		script := fmt.Sprintf("mkdir -p %s && echo 'server = \"http://%s\"' > %s/hosts.toml", dir, outsideAddress, dir)
		e.InMachines([]string{node}, "sh", "-c", script)
	}
	restrictedEgress(e)
	before := asked.Load()
	e.Cluster("c1", "run", "outsider", "--image="+image, "--image-pull-policy=Always", "--", "serve")
	e.Cluster("c1", "wait", "--for=condition=Ready", "pod/outsider", "--timeout=120s")
	if asked.Load() == before {
		e.T.Error("the pod runs and nobody asked the registry")
	}
	e.Cluster("c1", "delete", "pod", "outsider", "--now")
}

// restrictedEgress dials the registry outside from a machine that has a way out and from
// one of a cluster that has none, and what that one needs (I3).
func restrictedEgress(e *harness.Env) {
	e.T.Helper()
	dial := func(cluster, address string) string {
		host, port, _ := net.SplitHostPort(address)
		script := fmt.Sprintf("timeout 3 bash -c '</dev/tcp/%s/%s' 2>/dev/null && echo open || echo closed", host, port)
		return strings.TrimSpace(e.Management("-n", "mc-"+clusterID(e, "rg1."+cluster), "exec", e.ReadyNodes(cluster)[0], "--", "sh", "-c", script))
	}
	if way := dial("c1", outsideAddress); way != "open" {
		e.T.Errorf("from c1 to outside: %s", way)
	}
	if way := dial("c2", outsideAddress); way != "closed" {
		e.T.Errorf("from c2, which has no way out, to outside: %s", way)
	}
	var needed struct {
		Value []struct {
			Endpoints []struct {
				EndpointDetails []struct {
					IPAddress string
					Port      int
				}
			}
		}
	}
	cluster := strings.TrimSpace(e.Run("az", "aks", "show", "-g", "rg1", "-n", "c2", "--query", "id", "-o", "tsv"))
	e.Decode(e.Run("az", "rest", "--method", "get", "--url", cluster+"/outboundNetworkDependenciesEndpoints?api-version=2025-02-01"), &needed)
	for _, detail := range needed.Value[0].Endpoints[0].EndpointDetails {
		if way := dial("c2", fmt.Sprintf("%s:%d", detail.IPAddress, detail.Port)); way != "open" {
			e.T.Errorf("from c2 to %s:%d, which its nodes need: %s", detail.IPAddress, detail.Port, way)
		}
	}
}

// serveOutside serves a copy of the demo image and counts the requests.
func serveOutside(e *harness.Env, asked *atomic.Int32) (image string) {
	e.T.Helper()
	listener := e.ListenOutside(outsideNetwork, outsideAddress)
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		images.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	e.T.Cleanup(func() { _ = server.Close() })
	return pushDemo(e)
}

// pushDemo copies the demo image from the build to the outside registry.
func pushDemo(e *harness.Env) (image string) {
	e.T.Helper()
	_, tag, _ := strings.Cut(filepath.Base(e.DemoImage()), ":")
	built := e.BuiltImage(filepath.Join(e.Root, "build", "images", "demo_"+tag))
	reference, err := name.ParseReference(outsideAddress+"/somebody/demo:1", name.Insecure)
	if err != nil {
		e.T.Fatal(err)
	}
	if err := remote.Write(reference, built, remote.WithContext(e.T.Context())); err != nil {
		e.T.Fatal(err)
	}
	return reference.Name()
}
