package node

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// identify gives the machine its name, its own machine id and, since it has just booted, a new boot id.
func (m *machine) identify() error {
	if err := unix.Sethostname([]byte(m.config.NodeName)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	if err := os.WriteFile("/etc/hostname", []byte(m.config.NodeName+"\n"), 0o644); err != nil {
		return fmt.Errorf("write the host name: %w", err)
	}
	m.facts.NodeIP = ownAddress()
	if err := completeHosts("/etc/hosts", m.config.NodeName, m.facts.NodeIP); err != nil {
		return err
	}
	if err := completeResolvConf("/etc/resolv.conf"); err != nil {
		return err
	}
	id := machineID(m.config)
	// The management machine's starter has given it an id already.
	if m.config.Role == RoleAgent {
		if err := os.WriteFile("/etc/machine-id", []byte(hex.EncodeToString(id[:])+"\n"), 0o444); err != nil {
			return fmt.Errorf("write the machine id: %w", err)
		}
	}
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return fmt.Errorf("draw a boot id: %w", err)
	}
	m.replaceKernelFile("/proc/sys/kernel/random/boot_id", uuid(random))
	m.replaceKernelFile("/sys/devices/virtual/dmi/id/product_uuid", uuid(id))
	return nil
}

// machineID is the same for a machine however often it boots, and differs between any two.
func machineID(c Config) [16]byte {
	sum := sha256.Sum256([]byte(c.ProviderID + "\n" + c.NodeName))
	return [16]byte(sum[:16])
}

func uuid(b [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// ownAddress is the address that the machine's default route sends from; nothing is sent to find it.
func ownAddress() string {
	conn, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		return ""
	}
	defer conn.Close()
	if local, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		return local.IP.String()
	}
	return ""
}

// completeHosts makes localhost and the machine's own name resolve without a name server.
func completeHosts(path, name, ip string) error {
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the hosts file: %w", err)
	}
	known := map[string]bool{}
	for _, line := range strings.Split(string(content), "\n") {
		fields := strings.Fields(strings.SplitN(line, "#", 2)[0])
		for _, host := range fields[min(1, len(fields)):] {
			known[host] = true
		}
	}
	var missing bytes.Buffer
	if !known["localhost"] {
		missing.WriteString("127.0.0.1\tlocalhost\n")
	}
	if ip != "" && !known[name] {
		fmt.Fprintf(&missing, "%s\t%s\n", ip, name)
	}
	if missing.Len() == 0 {
		return nil
	}
	if len(content) > 0 && !bytes.HasSuffix(content, []byte("\n")) {
		content = append(content, '\n')
	}
	// The file is a mount of its own in a pod, so it is written in place and never replaced.
	if err := writeFile(path, append(content, missing.Bytes()...), 0o644); err != nil {
		return fmt.Errorf("write the hosts file: %w", err)
	}
	return nil
}

// completeResolvConf makes sure that the kubelet finds a resolver configuration, if only an empty one.
func completeResolvConf(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// A link that leads nowhere is what a minimal root file system may come with.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the dangling resolver configuration: %w", err)
	}
	return writeFile(path, nil, 0o644)
}

// replaceKernelFile shows other content in the place of a file of the kernel's, as far as that can be done: the node
// works without.
func (m *machine) replaceKernelFile(path, content string) {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return
	}
	view := filepath.Join(views, "kernel", strings.ReplaceAll(strings.Trim(path, "/"), "/", "-"))
	if err := writeFile(view, []byte(content+"\n"), 0o444); err != nil {
		m.lines.Printf("init", "write %s: %v", view, err)
		return
	}
	if err := bindFile(view, target); err != nil {
		m.lines.Printf("init", "%v", err)
	}
}
