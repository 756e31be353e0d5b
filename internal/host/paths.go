package host

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// DefaultStateDir is where Berth keeps its state unless told otherwise.
const DefaultStateDir = "/var/lib/berth"

// Paths names every file of a state directory; see the package documentation.
type Paths struct {
	// State is the directory itself, absolute and clean.
	State string
}

// NewPaths resolves a state directory given by a user.
func NewPaths(stateDir string) (Paths, error) {
	absolute, err := filepath.Abs(stateDir)
	if err != nil {
		return Paths{}, fmt.Errorf("resolve state directory %s: %w", stateDir, err)
	}
	return Paths{State: absolute}, nil
}

// Hash tells two state directories apart in names that the whole host sees.
func (p Paths) Hash() string {
	sum := sha256.Sum256([]byte(p.State))
	return hex.EncodeToString(sum[:4])
}

// Name is what cgroups and the nftables table of this state directory are called.
func (p Paths) Name() string { return "berth-" + p.Hash() }

func (p Paths) instance() string        { return filepath.Join(p.State, "instance.json") }
func (p Paths) kubernetesPKI() string   { return filepath.Join(p.State, "pki", "kubernetes") }
func (p Paths) berthPKI() string        { return filepath.Join(p.State, "pki", "berth") }
func (p Paths) adminKubeconfig() string { return filepath.Join(p.State, "admin.kubeconfig") }

// recoveryKey opens the backups of Berth's own state.
func (p Paths) recoveryKey() string   { return filepath.Join(p.berthPKI(), "recovery.key") }
func (p Paths) restoreRecord() string { return filepath.Join(p.State, "restore.json") }

// usageRecord is there while Berth is down, if it was asked before that.
func (p Paths) usageRecord() string { return filepath.Join(p.State, "in-use.json") }
func (p Paths) caBundle() string    { return filepath.Join(p.State, "ca-bundle.crt") }
func (p Paths) azureConfig() string { return filepath.Join(p.State, "azure") }
func (p Paths) machine(name string) string {
	return filepath.Join(p.State, "machine", name)
}

// backups is beside what they are backups of, and not inside: a machine made anew keeps them.
func (p Paths) backups() string          { return filepath.Join(p.State, "backups") }
func (p Paths) run(name string) string   { return filepath.Join(p.State, "run", name) }
func (p Paths) log(name string) string   { return filepath.Join(p.State, "logs", name) }
func (p Paths) supervisorRecord() string { return p.run("supervisor.json") }
func (p Paths) takenRecord() string      { return p.run("taken.json") }
func (p Paths) commandLock() string      { return p.run("command.lock") }
func (p Paths) supervisorLock() string   { return p.run("supervisor.lock") }

// machineDirs are the directories under machine/ and where the machine sees
// them. The order is that of mounting.
func (p Paths) machineDirs() []bind {
	return []bind{
		{Source: p.machine("kubernetes"), Target: "/etc/kubernetes"},
		{Source: p.kubernetesPKI(), Target: "/etc/kubernetes/pki"},
		{Source: p.machine("config"), Target: "/etc/berth/machine"},
		{Source: p.machine("cni"), Target: "/etc/cni/net.d"},
		{Source: p.machine("containerd"), Target: "/var/lib/containerd"},
		{Source: p.machine("kubelet"), Target: "/var/lib/kubelet"},
		{Source: p.machine("etcd"), Target: "/var/lib/etcd"},
		{Source: p.machine("volumes"), Target: "/var/lib/berth/volumes"},
		{Source: p.machine("registry"), Target: registryInMachine},
		{Source: p.backups(), Target: backupsInMachine},
		{Source: p.machine("log"), Target: "/var/log"},
	}
}

// create makes every directory of the state directory that is missing.
func (p Paths) create() error {
	dirs := []string{p.kubernetesPKI(), p.berthPKI(), p.azureConfig(), p.run("root"), p.log("")}
	for _, dir := range p.machineDirs() {
		dirs = append(dirs, dir.Source)
	}
	if err := os.MkdirAll(p.State, 0o700); err != nil {
		return fmt.Errorf("create state directory: %w", err)
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("create state directory: %w", err)
		}
	}
	// etcd and pods that are not root look up paths below these two.
	for _, dir := range []string{p.machine("log"), p.machine("volumes")} {
		if err := os.Chmod(dir, 0o755); err != nil {
			return fmt.Errorf("open state directory: %w", err)
		}
	}
	return nil
}
