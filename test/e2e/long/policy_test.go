package long

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/test/harness"
)

const (
	// longEnough is how long a finding may take on a slow machine, or what ends it.
	longEnough = 3 * time.Minute
	// supportMetrics is where Berth's metrics are, in the test's own network namespace.
	supportMetrics = "18081"
	// rounds is how often the policy looks at ordinary use before it counts as free of alarms.
	rounds = 40
)

// TestSupportPolicy does to a cluster what a customer may do, and nothing of it is found;
// then what a customer may not do, and each is found with its clause, its evidence and its
// way back (X1, X4; A7, B3, B4, D4, G2-G6, I1).
func TestSupportPolicy(t *testing.T) {
	e := harness.New(t)
	e.Up()
	c := newCustomer(e, "shop")
	e.Journey(t, []harness.Step{
		{Name: "a customer has a cluster", Run: c.creates},
		{Name: "what a customer may do is no finding, and no ticket blames it", Run: c.with(ordinaryUse)},
		{Name: "what a customer may not do is found, told, counted against tickets, and has a way back", Run: c.with(tampering)},
		{Name: "extensions of nodes are refused", Run: c.with(extensions)},
		{Name: "a login is told, and what it does is the customer's", Run: c.with(login)},
		{Name: "a webhook that holds the system up is told", Run: c.with(webhookOnSystem)},
		{Name: "a component that is changed again and again is contested", Run: c.with(contested)},
		{Name: "a node that a DaemonSet made ill is the customer's", Run: c.with(tunedIll)},
	})
}

// customer has a cluster in the group rg1, and changes it in every way.
type customer struct {
	*harness.Env
	name string
	// id is the cluster's in ARM, group that of its nodes, and set their scale set.
	id, group, set string
	key            sshKey
}

func newCustomer(e *harness.Env, cluster string) *customer {
	return &customer{Env: e, name: cluster, key: newSSHKey(e.T)}
}

// with has a step be done with the cluster.
func (c *customer) with(step func(*customer)) func(*harness.Env) {
	return func(e *harness.Env) {
		c.Env = e
		step(c)
	}
}

// creates makes the cluster, and a service that looks at it every second. Nothing that is
// found ends by itself.
func (c *customer) creates(e *harness.Env) {
	c.Env = e
	c.figures(`"interval":"1s","settle":"1s","changedMetadata":"24h"`)
	c.Run("berth", "login", "az", "--state-dir", c.State)
	c.Run("berth", "group", "create", "-n", "rg1", "-l", "westus2")
	c.Run("berth", "cluster", "create", "-g", "rg1", "-n", c.name, "-c", "2", "--network-policy", "azure", "--ssh-key-value", c.key.public)
	// Of vmss, Debian's az has working commands in this profile alone.
	c.Run("az", "cloud", "update", "-n", "Berth", "--profile", "2020-09-01-hybrid")
	c.knows()
	c.supported("a new cluster is supported")
}

// knows reads how the cluster is reached, and what it is in the view of its nodes' group.
func (c *customer) knows() {
	c.T.Helper()
	c.Run("berth", "cluster", "get-credentials", "-g", "rg1", "-n", c.name)
	var shown struct{ ID, NodeResourceGroup string }
	c.Decode(c.Run("berth", "cluster", "show", "-g", "rg1", "-n", c.name, "-o", "json"), &shown)
	c.id, c.group = shown.ID, shown.NodeResourceGroup
	var sets []harness.ScaleSet
	c.Decode(c.Run("az", "vmss", "list", "-g", c.group, "-o", "json"), &sets)
	if len(sets) != 1 {
		c.T.Fatalf("scale sets in %s: %+v", c.group, sets)
	}
	c.set = sets[0].Name
}

// figures sets the support policy's times; what is left out is as it was.
func (c *customer) figures(times string) {
	c.Management("patch", "servicepolicy", "default", "--type=merge", "-p", `{"spec":{"support":{`+times+`}}}`)
}

// supported waits until the cluster is supported and nothing is found about it.
func (c *customer) supported(what string) {
	c.T.Helper()
	c.Eventually(what, longEnough, func() error {
		if found := c.Support("rg1", c.name); found.State != "Supported" || len(found.Findings) > 0 || len(found.Clocks) > 0 {
			return fmt.Errorf("%+v", found)
		}
		return nil
	})
}

// vmss is a command of az on the scale set.
func (c *customer) vmss(verb string, more ...string) string {
	c.T.Helper()
	return c.Run("az", append(append(strings.Fields("vmss "+verb), "-g", c.group, "-n", c.set), more...)...)
}

// instance is the first of the scale set that runs, with its node.
func (c *customer) instance() (id, node string) {
	c.T.Helper()
	var instances []harness.ScaleSetInstance
	c.Decode(c.vmss("list-instances", "-o", "json"), &instances)
	if len(instances) == 0 {
		c.T.Fatal("the scale set has no instances")
	}
	return instances[0].InstanceID, instances[0].OSProfile.ComputerName
}

// apply brings objects to the cluster.
func (c *customer) apply(manifest string) {
	c.T.Helper()
	applyTo(c.Env, c.name, manifest)
}

// applyTo brings objects to a cluster; IMAGE stands for the demo's, PROGRAM-MOUNTS and
// PROGRAM-VOLUMES for what gives a container the programs of its node.
func applyTo(e *harness.Env, cluster, manifest string) {
	e.T.Helper()
	path := filepath.Join(e.State, "applied.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(withNodePrograms(manifest), "IMAGE", e.DemoImage())), 0o600); err != nil {
		e.T.Fatal(err)
	}
	e.Cluster(cluster, "apply", "-f", path)
}

func (c *customer) kubectl(args ...string) string {
	c.T.Helper()
	return c.Cluster(c.name, args...)
}

// ready waits until so many nodes serve.
func (c *customer) ready(count int) {
	c.T.Helper()
	c.Eventually(fmt.Sprintf("%d nodes are ready", count), 5*time.Minute, func() error {
		if ready := c.ReadyNodes(c.name); len(ready) != count {
			return fmt.Errorf("ready: %v", ready)
		}
		return nil
	})
}

// reimages gives a machine the disk of its image anew. az 2.45 asks for all machines of the
// scale set besides.
func (c *customer) reimages(id, node string) {
	c.T.Helper()
	boot := func() string {
		return c.kubectl("get", "node", node, "-o", `jsonpath={.status.nodeInfo.bootID} {.status.conditions[?(@.type=="Ready")].status}`)
	}
	before, _, _ := strings.Cut(boot(), " ")
	c.Run("az", "rest", "--method", "post", "--url", "/subscriptions/"+c.Variable("AZURE_SUBSCRIPTION_ID")+"/resourceGroups/"+c.group+
		"/providers/Microsoft.Compute/virtualMachineScaleSets/"+c.set+"/virtualMachines/"+id+"/reimage?api-version=2024-07-01")
	c.Eventually("the machine of "+node+" is made anew", 5*time.Minute, func() error {
		if now := boot(); strings.HasPrefix(now, before+" ") || !strings.HasSuffix(now, " True") {
			return fmt.Errorf("boot %s, before %s", now, before)
		}
		return nil
	})
}

// metrics opens a way to Berth's metrics until the step ends.
func (c *customer) metrics() {
	c.T.Helper()
	c.Start("kubectl", "--kubeconfig", filepath.Join(c.State, "admin.kubeconfig"), "-n", "berth-system", "port-forward", "deploy/berth", supportMetrics+":8081")
	c.Eventually("Berth's metrics are reached", longEnough, func() error {
		_, err := c.metric(`controller_runtime_active_workers\{controller="support"\}`)
		return err
	})
}

// metric reads a number of Berth's, by its name and labels as a regular expression.
func (c *customer) metric(pattern string) (float64, error) {
	response, err := http.Get("http://127.0.0.1:" + supportMetrics + "/metrics")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`(?m)^` + pattern + ` (\S+)$`).FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("no metric %s", pattern)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

// looked waits until the policy has looked so many times more.
func (c *customer) looked(times float64) {
	c.T.Helper()
	const looks = `controller_runtime_reconcile_total\{controller="support",result="requeue_after"\}`
	before, err := c.metric(looks)
	if err != nil {
		c.T.Fatal(err)
	}
	c.Eventually(fmt.Sprintf("%.0f more looks at the cluster", times), 10*time.Minute, func() error {
		now, err := c.metric(looks)
		if err == nil && now < before+times {
			err = fmt.Errorf("%.0f so far", now-before)
		}
		return err
	})
}
