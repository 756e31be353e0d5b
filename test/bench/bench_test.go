// Package bench measures every flow on a real Berth and prints a table with the
// spread over several runs. It fails only if a flow fails, never for being slow.
package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/testenv"
	"berth.dev/berth/test/harness"
)

// runs is how often each flow is measured; BERTH_BENCH_RUNS overrides it.
const runs = 5

// idleWindow is over how long idle CPU is measured.
const idleWindow = 20 * time.Second

func TestMain(m *testing.M) { harness.Main(m) }

// figure is one row of the table.
type figure struct {
	name, unit, aim string
	samples         []float64
}

// What other figures are compared with: Kubernetes' own API server and an etcd,
// started by hand on this machine in the same run.
const (
	baseReady  = "baseline: bare etcd and API server to /readyz"
	baseMemory = "baseline: memory of bare etcd and API server (PSS)"
)

type table struct{ rows []*figure }

func (t *table) add(name, unit, aim string, value float64) {
	fmt.Printf("    %s: %.1f %s\n", strings.TrimSpace(name), value, unit) // what takes long shows how far it is
	for _, row := range t.rows {
		if row.name == name {
			row.samples = append(row.samples, value)
			return
		}
	}
	t.rows = append(t.rows, &figure{name: name, unit: unit, aim: aim, samples: []float64{value}})
}

func (t *table) print() {
	out := tabwriter.NewWriter(os.Stdout, 2, 8, 2, ' ', 0)
	fmt.Fprintln(out, "FLOW\tMEDIAN\tMIN\tMAX\tRUNS\tUNIT\tAIM\t× BASELINE")
	base := map[string]float64{}
	for _, row := range t.rows {
		slices.Sort(row.samples)
		if row.name == baseReady || row.name == baseMemory {
			base[row.unit] = row.median()
		}
	}
	for _, row := range t.rows {
		ratio := ""
		if base[row.unit] > 0 {
			ratio = fmt.Sprintf("%.1f", row.median()/base[row.unit])
		}
		n := len(row.samples)
		fmt.Fprintf(out, "%s\t%.1f\t%.1f\t%.1f\t%d\t%s\t%s\t%s\n", row.name, row.median(), row.samples[0], row.samples[n-1], n, row.unit, row.aim, ratio)
	}
	out.Flush()
}

// median is the middle one of the sorted samples.
func (f *figure) median() float64 { return f.samples[len(f.samples)/2] }

func TestBench(t *testing.T) {
	e := harness.New(t)
	var results table
	defer results.print()
	for range count() {
		measureBase(t, &results)
	}
	e.Up()
	e.Run("berth", "group", "create", "-n", "bench", "-l", "westus2")
	for i := range count() {
		name := fmt.Sprintf("b%d", i)
		measureCreate(e, &results, name)
		measureFootprint(e, &results, name)
		measurePutBack(e, &results, name)
		measurePower(e, &results, name)
		recoverCluster(e, &results, "etcd's data lost to /readyz", lossOf{name: name, lose: e.LoseEtcd, aim: "≤ 10"})
		measureKilled(e, &results, name)
		measureRepair(e, &results, name)
		measure(&results, "delete a cluster of one node", "s", "", func() {
			e.Run("berth", "cluster", "delete", "-g", "bench", "-n", name, "-y")
		})
	}
	for range count() {
		measure(&results, "berth down", "s", "", func() { e.Run("berth", "down", "--state-dir", e.State) })
		measure(&results, "berth up, warm", "s", "", e.Up)
	}
}

func TestBenchUpgrades(t *testing.T) {
	e := harness.New(t)
	var results table
	defer results.print()
	e.Up()
	e.Run("berth", "group", "create", "-n", "bench", "-l", "westus2")
	measureNodeUpgrade(e, &results)
	for _, s := range upgrades(e) {
		for i := range count() {
			name := fmt.Sprintf("%s%d", s.kind, i)
			measureUpgrade(e, &results, name, s)
			e.Run("berth", "cluster", "delete", "-g", "bench", "-n", name, "-y")
		}
	}
}

func count() int {
	if n, err := strconv.Atoi(os.Getenv("BERTH_BENCH_RUNS")); err == nil && n > 0 {
		return n
	}
	return runs
}

// measureBase starts what every control plane starts at least.
func measureBase(t *testing.T, results *table) {
	t.Helper()
	bare, err := testenv.Start(testenv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Stop()
	results.add(baseReady, "s", "", bare.ReadyAfter.Seconds())
	<-time.After(idleWindow / 2)
	memory := 0.0
	for _, pid := range bare.PIDs() {
		memory += pss(fmt.Sprintf("/proc/%d", pid))
	}
	results.add(baseMemory, "MiB", "", memory)
}

func measure(results *table, name, unit, aim string, flow func()) {
	started := time.Now()
	flow()
	results.add(name, unit, aim, time.Since(started).Seconds())
}

// measureCreate watches the cluster's own objects, so that it measures the
// service and not the poll interval of a command.
func measureCreate(e *harness.Env, results *table, name string) {
	management := e.ManagementClient()
	started := time.Now()
	e.Run("berth", "cluster", "create", "-g", "bench", "-n", name, "-c", "1", "--no-wait")
	results.add("PUT answered, by the berth command", "s", "", time.Since(started).Seconds())
	key := clusterKey(e, name)
	seen := map[string]bool{}
	once := func(what, aim string, reached bool) {
		if reached && !seen[what] {
			seen[what] = true
			results.add(what, "s", aim, time.Since(started).Seconds())
		}
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := started.Add(5 * time.Minute); time.Now().Before(deadline); <-ticker.C {
		var cluster v1beta1.ManagedCluster
		if err := management.Get(context.Background(), key, &cluster); err != nil {
			continue
		}
		var machines v1beta1.MachineList
		if err := management.List(context.Background(), &machines, client.InNamespace(key.Namespace), client.MatchingLabels{v1beta1.LabelCluster: key.Name}); err != nil {
			continue
		}
		once("PUT to /readyz", "≤ 6", cluster.Status.APIServerReady != nil)
		once("PUT to node Ready", "≤ 15", len(machines.Items) > 0 && machines.Items[0].Status.Phase == v1beta1.MachineReady)
		once("PUT to Succeeded", "≤ 15", cluster.Status.ProvisioningState == v1beta1.StateSucceeded)
		if seen["PUT to Succeeded"] {
			return
		}
	}
	e.T.Fatalf("%s did not succeed", name)
}

func clusterKey(e *harness.Env, name string) client.ObjectKey {
	return client.ObjectKey{Namespace: v1beta1.SubscriptionNamespace(e.Variable("AZURE_SUBSCRIPTION_ID")), Name: v1beta1.ObjectName("bench", name)}
}

// measurePower stops a cluster and starts it again. It watches the cluster's own
// object from when the request was accepted, as measureCreate does.
func measurePower(e *harness.Env, results *table, name string) {
	e.Run("berth", "cluster", "stop", "-g", "bench", "-n", name, "--no-wait")
	watchPower(e, results, name, map[string]milestone{
		"stop": {"≤ 5", func(s v1beta1.ManagedClusterStatus) bool { return s.PowerState.Code == v1beta1.PowerStopped }},
	})
	e.Run("berth", "cluster", "start", "-g", "bench", "-n", name, "--no-wait")
	watchPower(e, results, name, map[string]milestone{
		"start to /readyz":         {"≤ 6", func(s v1beta1.ManagedClusterStatus) bool { return s.APIServerReady != nil }},
		"start to all nodes Ready": {"≤ 12", func(s v1beta1.ManagedClusterStatus) bool { return s.PowerState.Code == v1beta1.PowerRunning }},
	})
}

type milestone struct {
	aim     string
	reached func(v1beta1.ManagedClusterStatus) bool
}

// watchPower notes when each milestone is reached, from now on.
func watchPower(e *harness.Env, results *table, name string, milestones map[string]milestone) {
	management, key := e.ManagementClient(), clusterKey(e, name)
	started := time.Now()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := started.Add(3 * time.Minute); time.Now().Before(deadline); <-ticker.C {
		var cluster v1beta1.ManagedCluster
		if err := management.Get(context.Background(), key, &cluster); err != nil {
			continue
		}
		for what, m := range milestones {
			if m.reached(cluster.Status) {
				results.add(what, "s", m.aim, time.Since(started).Seconds())
				delete(milestones, what)
			}
		}
		if len(milestones) == 0 && cluster.Status.ProvisioningState == v1beta1.StateSucceeded {
			return
		}
	}
	e.T.Fatalf("%s: not reached: %v", name, milestones)
}
