package machine

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// FilesDir is where a machine finds the files of Machine.Files.
const FilesDir = "/etc/berth/machine"

// Ref names a machine: Name is unique within the cluster.
type Ref struct {
	// ClusterID is ManagedCluster.spec.id.
	ClusterID string
	// Name is a DNS label: the machine's host name and the name of its node.
	Name string
}

// Machine is everything a provider needs to know about a machine.
type Machine struct {
	Ref
	// Owner is the Machine object that the machine is made for.
	Owner types.NamespacedName
	// Pool is the pool's own name. Machines of a pool are spread over failure
	// domains as far as there are any.
	Pool string
	// Image is the reference of the node image.
	Image string
	// CPUs and MemoryMiB bound what the machine may use. They are not set aside.
	CPUs      int
	MemoryMiB int64
	// DiskGiB bounds what the machine may store.
	DiskGiB int32
	// Near and Avoid name hosts, as Observation does: one that the machine shall rather
	// be on, and one that it shall rather not be on. Empty is any.
	Near, Avoid string
	// Files by name are what the machine finds in FilesDir. They may hold secrets.
	Files map[string][]byte
}

// State is what a provider sees of a machine.
type State string

// The states of a machine.
const (
	// Absent: there is no machine. Files of one that was not wholly made may be left.
	Absent State = "Absent"
	// Starting: it is asked for and does not run yet.
	Starting State = "Starting"
	// Running: its PID 1 runs.
	Running State = "Running"
	// Failed: it ended and does not come back by itself.
	Failed State = "Failed"
	// Stopping: it is being removed.
	Stopping State = "Stopping"
)

// States lists every State.
func States() []State { return []State{Absent, Starting, Running, Failed, Stopping} }

// Observation is what a provider sees of a machine at one moment.
type Observation struct {
	State State
	// Address is the machine's IP address; empty while it has none.
	Address string
	// Incarnation is a new string each time the machine is made anew; empty when Absent.
	Incarnation string
	// Boots counts the starts of this incarnation's PID 1.
	Boots int32
	// Host is what carries the machine; empty while nothing does.
	Host string
	// Message says why a machine does not run, for people; empty when it does.
	Message string
}

// Provider makes machines. Its methods return as soon as the request is stored
// durably; Observe tells what came of it. All methods may be called at any time,
// again, and from several goroutines.
type Provider interface {
	// Ensure makes a machine that is Absent and brings the Files of one that is
	// there up to date. It never makes anew a machine that is there: other
	// differences are left alone.
	Ensure(ctx context.Context, m Machine) error
	// Observe tells the state of a machine as it is now, not as a cache has it.
	// A machine that nobody made is Absent and no error.
	Observe(ctx context.Context, ref Ref) (Observation, error)
	// Delete removes a machine and everything made for it, its files and disks
	// included. It gives the machine up to grace to end by itself. Deleting what is
	// Absent is no error.
	Delete(ctx context.Context, ref Ref, grace time.Duration) error
	// Reboot starts a machine again with its disks, whether it can be spoken to or not,
	// and raises Boots. It does nothing unless the machine is still as it was seen: of
	// that Incarnation and with that many Boots.
	Reboot(ctx context.Context, ref Ref, seen Observation) error
	// Logs are the last lines, at most limit bytes of them, that the machine's PID 1
	// and its services wrote, those from before its last start among them.
	Logs(ctx context.Context, ref Ref, limit int) ([]byte, error)
	// Run runs a script in a machine that runs and waits for its end. Unlike the other
	// methods it does so again each time that it is called. An error says that the script
	// did not run, or that nobody knows what came of it.
	Run(ctx context.Context, ref Ref, command Command) (Result, error)
}

// Command is a script that runs in a machine as root.
type Command struct {
	Script string `json:"script"`
	// Arguments are the script's, in order, and Environment its variables, NAME=value.
	Arguments   []string `json:"arguments,omitempty"`
	Environment []string `json:"environment,omitempty"`
	// Timeout bounds its time, after which it is killed with what it started, and Limit the
	// bytes that are kept of each of its outputs, the last ones.
	Timeout time.Duration `json:"timeout"`
	Limit   int           `json:"limit"`
	// Name has the machine keep how its files were before the script until the next script,
	// or until it starts again; empty keeps nothing. A name runs once; a script of another name
	// that still runs ends.
	Name string `json:"name,omitempty"`
	// Settle runs no script: it waits, at most for Timeout, for the end of the one with that
	// Name, ends what that left, and tells what it changed and nothing else; nothing at all
	// where the machine knows of none, which does not run it later.
	Settle bool `json:"settle,omitempty"`
}

// Result is what came of a Command.
type Result struct {
	ExitCode int    `json:"exitCode"`
	Stdout   string `json:"stdout,omitempty"`
	Stderr   string `json:"stderr,omitempty"`
	// Changed are the first of the files of the machine's image that were changed, made or
	// removed while it ran, in order, and ChangedCount is how many there are.
	Changed      []string `json:"changed,omitempty"`
	ChangedCount int32    `json:"changedCount,omitempty"`
	// NotRun says why the script was not run, as can be tried later; empty if it was.
	NotRun string `json:"notRun,omitempty"`
}
