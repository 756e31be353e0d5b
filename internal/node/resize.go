package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// views is where files that stand in for the kernel's are kept.
const views = "/run/berth/view"

// resize makes the machine report the capacity that its Config asks for, and notes what that is.
func (m *machine) resize() error {
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return fmt.Errorf("read the host's memory: %w", err)
	}
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return fmt.Errorf("read the host's processors: %w", err)
	}
	m.facts.CPUs, m.facts.MemoryMiB = m.config.CPUs, m.config.MemoryMiB
	if m.facts.CPUs == 0 {
		m.facts.CPUs = max(strings.Count("\n"+string(cpuinfo), "\nprocessor"), 1)
	}
	if m.facts.MemoryMiB == 0 {
		m.facts.MemoryMiB = meminfoKiB(string(meminfo), "MemTotal") / 1024
	}
	if m.config.CPUs == 0 && m.config.MemoryMiB == 0 {
		return nil
	}
	files := sysfsTree(m.facts.CPUs)
	files["meminfo"] = strings.TrimSuffix(resizeMeminfo(string(meminfo), m.facts.MemoryMiB), "\n")
	files["cpuinfo"] = strings.TrimSuffix(resizeCPUInfo(string(cpuinfo), m.facts.CPUs), "\n")
	if err := writeTree(views, files); err != nil {
		return err
	}
	for view, target := range map[string]string{"meminfo": "/proc/meminfo", "cpuinfo": "/proc/cpuinfo",
		"cpu": "/sys/devices/system/cpu", "node": "/sys/devices/system/node"} {
		// A kernel without NUMA has no node directory, and cadvisor does without it.
		if _, err := os.Stat(target); err != nil {
			continue
		}
		if err := bindReadOnly(filepath.Join(views, view), target); err != nil {
			return err
		}
	}
	return nil
}

func writeTree(root string, files map[string]string) error {
	for name, content := range files {
		path := filepath.Join(root, name)
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				return err
			}
			continue
		}
		if err := writeFile(path, []byte(content+"\n"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes a file and makes the directories above it.
func writeFile(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, mode)
}
