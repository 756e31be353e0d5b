package node

import (
	"bufio"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// The kubelet learns a node's size from what cadvisor reads: MemTotal in /proc/meminfo, processors and the clock in
// /proc/cpuinfo, processors again below /sys/devices/system/cpu unless …/node has any. These functions write such files
// for a machine that is to be larger or smaller than its host.

// resizeMeminfo is the host's meminfo for a machine with memoryMiB. Figures of the host's total are scaled, so that
// free memory never exceeds the machine's own; what cannot be scaled in any sense is left out.
func resizeMeminfo(host string, memoryMiB int64) string {
	hostKiB := meminfoKiB(host, "MemTotal")
	var out strings.Builder
	for _, key := range []string{"MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapCached", "Active", "Inactive",
		"SwapTotal", "SwapFree", "Dirty", "Writeback", "AnonPages", "Mapped", "Shmem", "Slab"} {
		kib := int64(0)
		switch {
		case key == "MemTotal":
			kib = memoryMiB * 1024
		case strings.HasPrefix(key, "Swap") || hostKiB == 0:
		default:
			kib = int64(float64(meminfoKiB(host, key)) / float64(hostKiB) * float64(memoryMiB*1024))
		}
		fmt.Fprintf(&out, "%-16s%8d kB\n", key+":", kib)
	}
	return out.String()
}

func meminfoKiB(meminfo, key string) int64 {
	match := regexp.MustCompile(`(?m)^` + key + `:\s+(\d+) kB$`).FindStringSubmatch(meminfo)
	if match == nil {
		return 0
	}
	kib, err := strconv.ParseInt(match[1], 10, 64)
	if err != nil {
		return 0
	}
	return kib
}

// resizeCPUInfo is the host's cpuinfo with the first processor repeated, numbered as one socket of single-thread cores.
func resizeCPUInfo(host string, cpus int) string {
	first, _, _ := strings.Cut(strings.TrimSpace(host), "\n\n")
	var out strings.Builder
	for cpu := range cpus {
		replace := map[string]int{"processor": cpu, "core id": cpu, "apicid": cpu, "initial apicid": cpu,
			"physical id": 0, "siblings": cpus, "cpu cores": cpus}
		lines := bufio.NewScanner(strings.NewReader(first))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			label, _, found := strings.Cut(lines.Text(), ":")
			if n, ours := replace[strings.TrimSpace(label)]; found && ours {
				fmt.Fprintf(&out, "%s: %d\n", label, n)
				continue
			}
			fmt.Fprintln(&out, lines.Text())
		}
		fmt.Fprintln(&out)
	}
	return out.String()
}

// sysfsTree is the content of /sys/devices/system/cpu and …/node, by relative path; one that ends in / is an empty
// directory. Processors are counted and nothing is said about what they are and where: a kubelet that knows confines
// its pods to processors of these numbers, which the host need not have, and which would be the same for each machine.
func sysfsTree(cpus int) map[string]string {
	all := "0"
	if cpus > 1 {
		all = fmt.Sprintf("0-%d", cpus-1)
	}
	tree := map[string]string{"cpu/online": all, "cpu/possible": all, "cpu/present": all, "node/": ""}
	for cpu := range cpus {
		tree[fmt.Sprintf("cpu/cpu%d/", cpu)] = ""
	}
	return tree
}
