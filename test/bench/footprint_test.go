package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"berth.dev/berth/test/harness"
)

// clockTicks is USER_HZ, which Linux fixes at 100 for what it reports.
const clockTicks = 100

// usage is what the processes of some pods use.
type usage struct {
	pssMiB float64
	cpu    time.Duration
}

// measureFootprint waits for quiet and reads memory and idle CPU of a cluster's
// control plane, of its machine and of Berth itself.
func measureFootprint(e *harness.Env, results *table, name string) {
	id := strings.TrimSpace(e.Management("get", "managedclusters", "-A", "--field-selector=metadata.name=bench."+name, "-o", "jsonpath={.items[0].spec.id}"))
	subjects := []struct {
		what, namespace, pss, cpu string
	}{
		{"control plane", "cp-" + id, "≤ 300", "≤ 40"},
		{"machine", "mc-" + id, "", ""},
		{"Berth itself", "berth-system", "≤ 100", ""},
	}
	pods := map[string][]string{}
	before := map[string]usage{}
	<-time.After(idleWindow)
	for _, s := range subjects {
		pods[s.namespace] = strings.Fields(e.Management("get", "pods", "-n", s.namespace, "-o", "jsonpath={.items[*].metadata.uid}"))
		before[s.namespace] = read(pods[s.namespace])
	}
	<-time.After(idleWindow)
	for _, s := range subjects {
		after := read(pods[s.namespace])
		results.add("memory of "+s.what+" (PSS)", "MiB", s.pss, after.pssMiB)
		idle := (after.cpu - before[s.namespace].cpu).Seconds() / idleWindow.Seconds() * 1000
		results.add("idle CPU of "+s.what, "mCPU", s.cpu, idle)
	}
}

// read adds up every process whose cgroup lies below one of the pods.
func read(uids []string) usage {
	var sum usage
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		cgroup, err := os.ReadFile(filepath.Join(dir, "cgroup"))
		if err != nil || !containsAny(string(cgroup), uids) {
			continue
		}
		sum.pssMiB += pss(dir)
		sum.cpu += cpu(dir)
	}
	return sum
}

func containsAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

func pss(dir string) float64 {
	rollup, err := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(rollup), "\n") {
		var kib float64
		if n, _ := fmt.Sscanf(line, "Pss: %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	return 0
}

func cpu(dir string) time.Duration {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / clockTicks
}
