package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/install"
	"berth.dev/berth/test/chaos/ledger"
	"berth.dev/berth/test/chaos/objects"
	"berth.dev/berth/test/chaos/schedule"
)

// fault is something that is done to a Berth.
type fault struct {
	name string
	// short says that it is done in the short run, too.
	short bool
	do    func(*chaos, schedule.Event) error
}

// faults is all that is done: to each part, what can befall it.
var faults = []fault{
	{"kill etcd", true, kill(anEtcd, "etcd --name")},
	{"freeze etcd", false, freeze(anEtcd, "etcd --name")},
	{"hang etcd for good", false, hang(anEtcd, "etcd --name")},
	{"cut etcd off", false, cutOff(anEtcd)},
	{"lose etcd's data", true, loseEtcd},
	{"kill the API server", false, kill(aKube, "kube control-plane")},
	{"hang the API server for good", true, hang(aKube, "kube control-plane")},
	{"cut the API server off", false, cutOff(aKube)},
	{"kill konnectivity's server", false, kill(aKube, "proxy-server")},
	{"freeze konnectivity's server", false, freeze(aKube, "proxy-server")},
	{"kill a kubelet", false, kill(aMachine, "kubelet --config")},
	{"freeze a kubelet", false, freeze(aMachine, "kubelet --config")},
	{"kill containerd", false, kill(aMachine, "containerd --config")},
	{"freeze containerd", false, freeze(aMachine, "containerd --config")},
	{"kill a machine", true, kill(aMachine, "berth-node init")},
	{"cut a machine off", false, cutOff(aMachine)},
	{"kill Berth", false, kill(aServe, "berth serve")},
	{"freeze Berth", false, freeze(aServe, "berth serve")},
	{"kill the management cluster's etcd", false, kill(nothing, "etcd --name=management")},
	{"kill the management cluster's API server", false, kill(nothing, "kube control-plane --advertise-address=100.66.0.2")},
	{"freeze the management cluster's etcd", false, freeze(nothing, "etcd --name=management")},
	{"freeze the management cluster's API server", false, freeze(nothing, "kube control-plane --advertise-address=100.66.0.2")},
	{"kill the management node", false, killManagement},
	{"fill up the disk", true, fillDisk},
	{"freeze a store of backups", true, freezeStore},
}

// names are the faults' names; those of the short run alone where it is asked for.
func names(short bool) []string {
	var all []string
	for _, f := range faults {
		if f.short || !short {
			all = append(all, f.name)
		}
	}
	return all
}

func (c *chaos) inject(event schedule.Event) error {
	at := slices.IndexFunc(faults, func(f fault) bool { return f.name == event.Fault })
	return faults[at].do(c, event)
}

// victim finds the pod that a fault is done to; its UID is empty for what is in none.
type victim func(*chaos, schedule.Event) (corev1.Pod, error)

func nothing(*chaos, schedule.Event) (corev1.Pod, error) { return corev1.Pod{}, nil }

func anEtcd(c *chaos, e schedule.Event) (corev1.Pod, error) {
	return c.pod(e, v1beta1.ControlPlaneNamespace(c.target(e).id), "etcd-")
}

func aKube(c *chaos, e schedule.Event) (corev1.Pod, error) {
	return c.pod(e, v1beta1.ControlPlaneNamespace(c.target(e).id), "kube-")
}

func aMachine(c *chaos, e schedule.Event) (corev1.Pod, error) {
	return c.pod(e, v1beta1.MachineNamespace(c.target(e).id), "aks-")
}

func aServe(c *chaos, e schedule.Event) (corev1.Pod, error) {
	return c.pod(e, v1beta1.SystemNamespace, "berth-")
}

// pod is one of a namespace's that run and whose names begin in a way.
func (c *chaos) pod(e schedule.Event, namespace, prefix string) (corev1.Pod, error) {
	var pods corev1.PodList
	if err := c.management.List(c.env.T.Context(), &pods, client.InNamespace(namespace)); err != nil {
		return corev1.Pod{}, err
	}
	running := slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool {
		return !strings.HasPrefix(p.Name, prefix) || p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil
	})
	if len(running) == 0 {
		return corev1.Pod{}, fmt.Errorf("no pod %s* runs in %s", prefix, namespace)
	}
	return running[e.Target%len(running)], nil
}

func (c *chaos) target(e schedule.Event) *cluster { return c.clusters[e.Target%len(c.clusters)] }

func kill(of victim, command string) func(*chaos, schedule.Event) error {
	return func(c *chaos, e schedule.Event) error {
		pod, err := of(c, e)
		if err != nil {
			return err
		}
		return c.env.Signal(string(pod.UID), command, unix.SIGKILL)
	}
}

// hang stops a process that nobody continues: who watches it has to notice.
func hang(of victim, command string) func(*chaos, schedule.Event) error {
	return func(c *chaos, e schedule.Event) error {
		pod, err := of(c, e)
		if err != nil {
			return err
		}
		return c.env.Signal(string(pod.UID), command, unix.SIGSTOP)
	}
}

func freeze(of victim, command string) func(*chaos, schedule.Event) error {
	return func(c *chaos, e schedule.Event) error {
		pod, err := of(c, e)
		if err != nil {
			return err
		}
		frozen, err := c.env.Processes(string(pod.UID), command)
		if err != nil || len(frozen) == 0 {
			return errors.Join(err, fmt.Errorf("%d processes %q", len(frozen), command))
		}
		for _, p := range frozen {
			if err := unix.Kill(p.PID, unix.SIGSTOP); err != nil {
				return err
			}
		}
		time.Sleep(e.Hold)
		for _, p := range frozen {
			_ = unix.Kill(p.PID, unix.SIGCONT) // it may have been replaced meanwhile
		}
		return nil
	}
}

const (
	cutTable = `table inet berth_chaos {
	chain in { type filter hook input priority -400; policy accept; iif != "lo" drop; }
	chain out { type filter hook output priority -400; policy accept; oif != "lo" drop; }
	chain through { type filter hook forward priority -400; policy drop; }
}`
	mendTable = "delete table inet berth_chaos"
)

// cutOff lets no packet into or out of a pod, and mends that.
func cutOff(of victim) func(*chaos, schedule.Event) error {
	return func(c *chaos, e schedule.Event) error {
		pod, err := of(c, e)
		if err != nil {
			return err
		}
		pauses, err := c.env.Processes(string(pod.UID), "/pause")
		if err != nil || len(pauses) == 0 {
			return errors.Join(err, fmt.Errorf("pod %s has no network", pod.Name))
		}
		// A machine's pods have pauses of their own; the machine's came first.
		pid := slices.MinFunc(pauses, func(a, b process) int { return a.PID - b.PID }).PID
		if err := firewall(pid, cutTable); err != nil {
			return err
		}
		time.Sleep(e.Hold)
		if err := firewall(pid, mendTable); err != nil && unix.Kill(pid, 0) == nil {
			return err
		}
		return nil
	}
}

func firewall(pid int, rules string) error {
	command := exec.Command("nsenter", "--net=/proc/"+strconv.Itoa(pid)+"/ns/net", "nft", "-f", "-")
	command.Stdin = strings.NewReader(rules)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// stored is how long ago what was acknowledged has to be in a store: deltas are made every
// two seconds, and the machine may be busy.
const stored = 15 * time.Second

// healsWithin is how long after a member lost its data no other one of its cluster does.
const healsWithin = 3 * time.Minute

// keepsUpWithin is how long the recovery point may take to be there once all is well: X2 gives
// backups a minute, and the point is written every ten deltas.
const keepsUpWithin = 2 * time.Minute

// loseEtcd takes the data of an etcd away. What was acknowledged in the last moments may
// be lost, or since the recovery point that was told where another fault kept backups from
// being made, and nothing else; where there are other members nothing may be at all.
func loseEtcd(c *chaos, e schedule.Event) error {
	target := c.target(e)
	if target.members > 1 {
		if last := target.wiped.Swap(time.Now().UnixNano()); time.Since(time.Unix(0, last)) < healsWithin {
			return errors.New("a member of it has lost its data just now")
		}
		if err := c.membersReady(c.env.T.Context(), target); err != nil {
			return err
		}
	}
	point, err := c.recoveryPoint(target, e.Gap == 0 && target.members == 1)
	if err != nil {
		return err
	}
	pod, err := anEtcd(c, e)
	if err != nil {
		return err
	}
	var claim corev1.PersistentVolumeClaim
	if err := c.management.Get(c.env.T.Context(), client.ObjectKey{Namespace: pod.Namespace, Name: "data-" + pod.Name}, &claim); err != nil {
		return err
	}
	data := filepath.Join(c.volumes, claim.Spec.VolumeName, "data")
	gone, before := data+".gone", time.Now()
	if err := os.Rename(data, gone); err != nil {
		return err
	}
	err = c.env.Signal(string(pod.UID), "etcd --name", unix.SIGKILL)
	if target.members == 1 {
		loss := ledger.Loss{Point: before.Add(-stored), From: before, To: time.Now().Add(time.Second)}
		if point.Before(loss.Point) {
			loss.Point = point
		}
		target.load.Excuse(loss)
	}
	c.env.Eventually("what etcd stored is gone", time.Minute, func() error { return os.RemoveAll(gone) }) // it may be writing still
	return err
}

// recoveryPoint is up to when everything is stored of a cluster, as Berth says. Where all is
// well it has to be a recent one: else backups that are not made would be their own excuse.
func (c *chaos) recoveryPoint(of *cluster, recent bool) (point time.Time, err error) {
	began := time.Now()
	told := func() error {
		found, err := c.env.ManagedCluster(of.name)
		if err != nil {
			return err
		}
		if found.Status.Backup == nil || found.Status.Backup.RecoveryPoint == nil || found.Status.Recovery.UnderWay() {
			return errors.New("it has no backup at the moment")
		}
		point = found.Status.Backup.RecoveryPoint.Time
		return nil
	}
	if !recent {
		err := told()
		return point, err
	}
	c.env.Eventually("the backups of "+of.name+" keep up", keepsUpWithin, func() error {
		if err := told(); err != nil {
			return err
		}
		if point.Before(began.Add(-stored)) {
			return fmt.Errorf("its recovery point was %s ago when all was well", began.Sub(point))
		}
		return nil
	})
	return point, nil
}

// killManagement ends the supervisor of the management node, and with it everything;
// Berth is brought up as after a restart of the host.
func killManagement(c *chaos, _ schedule.Event) error {
	if !c.restarting.TryLock() {
		return errors.New("it is being brought up")
	}
	defer c.restarting.Unlock()
	raw, err := os.ReadFile(filepath.Join(c.env.State, "run", "supervisor.json"))
	if err != nil {
		return err
	}
	var record struct{ Process struct{ PID int } }
	if err := json.Unmarshal(raw, &record); err != nil {
		return err
	}
	pid := record.Process.PID
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err != nil || !strings.Contains(string(line), c.env.State) {
		return fmt.Errorf("process %d is not this Berth's supervisor: %q (%v)", pid, line, err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		return err
	}
	if out, err := c.env.Try("berth", "up", "--no-demo", "--state-dir", c.env.State); err != nil {
		return fmt.Errorf("berth up: %w: %s", err, out)
	}
	return nil
}

// fillDisk leaves no byte on the disk that all etcds write to, for a while.
func fillDisk(c *chaos, e schedule.Event) error {
	path := filepath.Join(c.volumes, "filler")
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer file.Close()
	chunk := make([]byte, 1<<20)
	for err == nil {
		_, err = file.Write(chunk)
	}
	if !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("fill %s: %w", path, err)
	}
	time.Sleep(e.Hold)
	return nil
}

// freezeStore has one of the two stores of backups take requests and answer none. The other
// has to go on as if it were alone: a fault that comes to nothing unless backups come to both.
func freezeStore(c *chaos, e schedule.Event) error {
	id, began := c.target(e).id, time.Now()
	release := c.store.Hang()
	defer release()
	time.Sleep(e.Hold)
	goesOn := func() error {
		if c.store.Held() == 0 {
			return errors.New("nothing was sent to the store that hangs")
		}
		return c.env.BackedUpAfter(id, "delta", began.Add(e.Hold/2))
	}
	for waited := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		err := goesOn()
		if err == nil {
			break
		}
		if time.Since(waited) > stored {
			return fmt.Errorf("while a store hangs: %w", err)
		}
	}
	return nil
}

// backUpOften keeps what a lost disk may cost small, and has two stores: the directory of the
// machine, and one beyond it.
func (c *chaos) backUpOften() error {
	c.store = objects.New()
	listener := c.env.ListenOutside("192.0.2.1/24", storeAddress)
	server := &http.Server{Handler: c.store, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	c.env.T.Cleanup(func() { _ = server.Close() })
	policy := v1beta1.ServicePolicy{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.ServicePolicyName}}
	change := fmt.Sprintf(`{"spec":{"backupDeltaInterval":"2s","backupStores":[%q,%q]}}`,
		install.BackupStore, "s3://backups?"+objects.Query+"&endpoint=http://"+storeAddress)
	return c.management.Patch(c.env.T.Context(), &policy, client.RawPatch("application/merge-patch+json", []byte(change)))
}

// storeAddress is where the second store listens, outside the machine.
const storeAddress = "192.0.2.2:9000"
