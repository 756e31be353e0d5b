package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// taken is what the supervisor has changed on the host and must be put back. It
// is on disk before the first change is made.
type taken struct {
	// BootID is when it was taken: after a restart of the host there is nothing to
	// put back.
	BootID string `json:"bootID"`
	// Sysctls holds the values found, by name.
	Sysctls map[string]string `json:"sysctls"`
	// Delegated holds the v2 controllers that were turned on, by mount.
	Delegated map[string][]string `json:"delegated,omitempty"`
}

// sysctl is a kernel setting that a machine needs or changes.
type sysctl struct {
	Name string
	// Least is what it is raised to; 0 leaves it alone. Settings with 0 are
	// those that a kubelet writes into the whole host when it starts.
	Least int
}

func sysctls() []sysctl {
	return []sysctl{
		{"net/ipv4/ip_forward", 1},
		// Each kubelet and containerd watches files; the kernel's 128 a user would end with the second node.
		{"fs/inotify/max_user_instances", 8192},
		{"fs/inotify/max_user_watches", 1 << 19},
		{"vm/overcommit_memory", 0},
		{"vm/panic_on_oom", 0},
		{"kernel/panic", 0},
		{"kernel/panic_on_oops", 0},
		{"kernel/keys/root_maxkeys", 0},
		{"kernel/keys/root_maxbytes", 0},
	}
}

const sysctlRoot = "/proc/sys"

// take records the host's settings and then changes them. A record of this boot
// that is still there is kept: it holds the values from before.
func take(paths Paths, all []hierarchy) error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	var record taken
	if _, err := readJSON(paths.takenRecord(), &record); err != nil {
		return err
	}
	if record.BootID != boot {
		if record, err = observe(boot, all); err != nil {
			return err
		}
		if err := writeJSON(paths.takenRecord(), record); err != nil {
			return err
		}
	}
	for _, h := range all {
		missing, err := h.undelegated()
		if err != nil {
			return err
		}
		if err := h.delegate("+", missing); err != nil {
			return err
		}
	}
	return raiseSysctls(sysctlRoot, sysctls())
}

func observe(boot string, all []hierarchy) (taken, error) {
	record := taken{BootID: boot, Sysctls: map[string]string{}, Delegated: map[string][]string{}}
	for _, setting := range sysctls() {
		value, err := os.ReadFile(filepath.Join(sysctlRoot, setting.Name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return taken{}, fmt.Errorf("read sysctl %s: %w", setting.Name, err)
		}
		record.Sysctls[setting.Name] = strings.TrimSpace(string(value))
	}
	for _, h := range all {
		missing, err := h.undelegated()
		if err != nil {
			return taken{}, err
		}
		if len(missing) > 0 {
			record.Delegated[h.Mount] = missing
		}
	}
	return record, nil
}

func raiseSysctls(root string, settings []sysctl) error {
	for _, setting := range settings {
		if setting.Least == 0 {
			continue
		}
		path := filepath.Join(root, setting.Name)
		raw, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read sysctl %s: %w", setting.Name, err)
		}
		if now, err := strconv.Atoi(strings.TrimSpace(string(raw))); err == nil && now >= setting.Least {
			continue
		}
		if err := os.WriteFile(path, []byte(strconv.Itoa(setting.Least)), 0o644); err != nil {
			return fmt.Errorf("set sysctl %s: %w", setting.Name, err)
		}
	}
	return nil
}

// putBack undoes take and forgets the record. Without a record of this boot
// there is nothing to do.
func putBack(paths Paths, all []hierarchy) error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	var record taken
	found, err := readJSON(paths.takenRecord(), &record)
	if err != nil || !found {
		return err
	}
	if record.BootID == boot {
		if err := restore(sysctlRoot, record, all); err != nil {
			return err
		}
	}
	return os.Remove(paths.takenRecord())
}

func restore(root string, record taken, all []hierarchy) error {
	var failures []error
	for name, value := range record.Sysctls {
		path := filepath.Join(root, name)
		raw, err := os.ReadFile(path)
		if err == nil && strings.TrimSpace(string(raw)) != value {
			err = os.WriteFile(path, []byte(value), 0o644)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("restore sysctl %s: %w", name, err))
		}
	}
	for _, h := range all {
		failures = append(failures, h.delegate("-", record.Delegated[h.Mount]))
	}
	return errors.Join(failures...)
}
