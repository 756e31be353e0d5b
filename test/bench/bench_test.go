// Package bench measures every flow on a real Berth and prints a table with the
// spread over several runs. It fails only if a flow fails, never for being slow.
package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

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

type table struct{ rows []*figure }

func (t *table) add(name, unit, aim string, value float64) {
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
	fmt.Fprintln(out, "FLOW\tMEDIAN\tMIN\tMAX\tRUNS\tUNIT\tAIM")
	for _, row := range t.rows {
		slices.Sort(row.samples)
		n := len(row.samples)
		fmt.Fprintf(out, "%s\t%.1f\t%.1f\t%.1f\t%d\t%s\t%s\n", row.name, row.samples[n/2], row.samples[0], row.samples[n-1], n, row.unit, row.aim)
	}
	out.Flush()
}

func TestBench(t *testing.T) {
	e := harness.New(t)
	var results table
	defer results.print()
	e.Up()
	e.Run("berth", "group", "create", "-n", "bench", "-l", "westus2")
	for i := range count() {
		name := fmt.Sprintf("b%d", i)
		measureCreate(e, &results, name)
		measureFootprint(e, &results, name)
		measure(&results, "delete a cluster of one node", "s", "", func() {
			e.Run("berth", "cluster", "delete", "-g", "bench", "-n", name, "-y")
		})
	}
	for range count() {
		e.Run("berth", "down", "--state-dir", e.State)
		measure(&results, "berth up, warm", "s", "", e.Up)
	}
}

func count() int {
	if n, err := strconv.Atoi(os.Getenv("BERTH_BENCH_RUNS")); err == nil && n > 0 {
		return n
	}
	return runs
}

func measure(results *table, name, unit, aim string, flow func()) {
	started := time.Now()
	flow()
	results.add(name, unit, aim, time.Since(started).Seconds())
}

// measureCreate reads the moments from the cluster's own status and objects, so
// that it measures the service and not the poll interval of a client.
func measureCreate(e *harness.Env, results *table, name string) {
	started := time.Now()
	e.Run("berth", "cluster", "create", "-g", "bench", "-n", name, "-c", "1", "--no-wait")
	put := time.Since(started).Seconds()
	results.add("PUT answered", "s", "", put)
	created := started
	var ready, node bool
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); <-ticker.C {
		var cluster struct {
			Status struct {
				APIServerReady    *time.Time `json:"apiServerReady"`
				ProvisioningState string     `json:"provisioningState"`
			}
		}
		raw := e.Management("get", "managedclusters", "-A", "--field-selector=metadata.name=bench."+name, "-o", "jsonpath={.items[0]}")
		if json.Unmarshal([]byte(raw), &cluster) != nil {
			continue
		}
		if cluster.Status.APIServerReady != nil && !ready {
			ready = true
			results.add("PUT to /readyz", "s", "≤ 6", time.Since(created).Seconds())
		}
		if !node && strings.TrimSpace(e.Management("get", "machines", "-A", "-l", "berth.dev/cluster=bench."+name, "-o", "jsonpath={.items[*].status.phase}")) == "Ready" {
			node = true
			results.add("PUT to node Ready", "s", "≤ 15", time.Since(created).Seconds())
		}
		if cluster.Status.ProvisioningState == "Succeeded" {
			results.add("PUT to Succeeded", "s", "≤ 15", time.Since(created).Seconds())
			return
		}
	}
	e.T.Fatalf("%s did not succeed", name)
}
