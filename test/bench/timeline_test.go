package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/test/harness"
)

// lookEvery is how exact a timeline is: the figures of TestBench are taken with
// fewer questions to the management cluster.
const lookEvery = 25 * time.Millisecond

// TestTimeline shows where the time of a create, a stop, a start, a loss and a delete goes: when
// each step was first seen. It is how a wait is told from work.
func TestTimeline(t *testing.T) {
	e := harness.New(t)
	e.Up()
	e.Run("berth", "group", "create", "-n", "bench", "-l", "westus2")
	for i := range count() {
		name := fmt.Sprintf("t%d", i)
		line := timeline{e: e, management: e.ManagementClient(), name: name, key: clusterKey(e, name)}
		line.begin("create " + name)
		e.Run("berth", "cluster", "create", "-g", "bench", "-n", name, "-c", "1", "--no-wait")
		line.note("PUT answered", true)
		line.follow(func(s snapshot) bool { return s.cluster.Status.ProvisioningState == v1beta1.StateSucceeded })
		line.power("stop", v1beta1.PowerStopped)
		line.power("start", v1beta1.PowerRunning)
		line.lose()
		line.begin("delete " + name)
		e.Run("berth", "cluster", "delete", "-g", "bench", "-n", name, "-y", "--no-wait")
		line.note("DELETE answered", true)
		line.follow(func(s snapshot) bool { return s.gone })
	}
}

// power stops or starts the cluster and follows it until it is done.
func (l *timeline) power(verb string, reached v1beta1.PowerCode) {
	l.begin(verb + " " + l.name)
	l.e.Run("berth", "cluster", verb, "-g", "bench", "-n", l.name, "--no-wait")
	l.note(verb+" answered", true)
	l.follow(func(s snapshot) bool {
		return s.cluster.Status.PowerState.Code == reached && s.cluster.Status.ProvisioningState == v1beta1.StateSucceeded
	})
}

// lose removes what etcd stores and follows the cluster until the API server answers.
func (l *timeline) lose() {
	cluster, err := l.e.ManagedCluster(l.name)
	if err != nil {
		l.e.T.Fatal(err)
	}
	l.e.Eventually("a backup", recoveryPatience, func() error {
		return l.e.BackedUpAfter(cluster.Spec.ID, "full", cluster.CreationTimestamp.Time)
	})
	l.begin("lose the etcd of " + l.name)
	l.e.LoseEtcd(cluster.Spec.ID)
	l.note("data removed", true)
	l.follow(func(s snapshot) bool {
		recovery := s.cluster.Status.Recovery
		if recovery != nil && recovery.StartTime.Time.Before(l.started.Truncate(time.Second)) {
			recovery = nil // of an earlier loss
		}
		l.note("recovery begun", recovery != nil)
		l.note("API server found unready", s.cluster.Status.APIServerReady == nil)
		l.note("API server found ready", s.cluster.Status.APIServerReady != nil && l.seen["API server found unready"])
		l.note("recovery ended", recovery != nil && !recovery.UnderWay())
		return recovery != nil && !recovery.UnderWay() && s.cluster.Status.APIServerReady != nil
	})
}

// snapshot is what one look sees.
type snapshot struct {
	cluster v1beta1.ManagedCluster
	machine v1beta1.Machine
	// control and machines are the pods of the two namespaces.
	control, machines []corev1.Pod
	// gone says that the cluster's object is not there.
	gone bool
}

type timeline struct {
	e          *harness.Env
	management client.Client
	name       string
	key        client.ObjectKey
	started    time.Time
	last       time.Time
	seen       map[string]bool
	pods       map[string][]types.UID
	out        *tabwriter.Writer
}

func (l *timeline) begin(what string) {
	l.started, l.seen, l.pods = time.Now(), map[string]bool{}, map[string][]types.UID{}
	l.last = l.started
	l.out = tabwriter.NewWriter(os.Stdout, 2, 8, 2, ' ', 0)
	fmt.Fprintf(l.out, "%s\tAT (s)\tAFTER (s)\n", what)
}

// note writes a line the first time that a step is seen.
func (l *timeline) note(step string, reached bool) {
	if !reached || l.seen[step] {
		return
	}
	l.seen[step] = true
	now := time.Now()
	fmt.Fprintf(l.out, "  %s\t%.2f\t%.2f\n", step, now.Sub(l.started).Seconds(), now.Sub(l.last).Seconds())
	l.last = now
}

// follow notes the steps until the end is seen.
func (l *timeline) follow(end func(snapshot) bool) {
	defer l.out.Flush()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for deadline := l.started.Add(5 * time.Minute); time.Now().Before(deadline); <-ticker.C {
		s, err := l.look()
		if err != nil {
			continue
		}
		l.noteAll(s)
		if end(s) {
			return
		}
	}
	l.e.T.Fatalf("%s: the end was not seen", l.key.Name)
}

func (l *timeline) look() (snapshot, error) {
	ctx := context.Background()
	var s snapshot
	err := l.management.Get(ctx, l.key, &s.cluster)
	if s.gone = apierrors.IsNotFound(err); s.gone {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	var machines v1beta1.MachineList
	if err := l.management.List(ctx, &machines, client.InNamespace(l.key.Namespace), client.MatchingLabels{v1beta1.LabelCluster: l.key.Name}); err != nil {
		return s, err
	}
	if len(machines.Items) > 0 {
		s.machine = machines.Items[0]
	}
	for namespace, pods := range map[string]*[]corev1.Pod{
		v1beta1.ControlPlaneNamespace(s.cluster.Spec.ID): &s.control,
		v1beta1.MachineNamespace(s.cluster.Spec.ID):      &s.machines,
	} {
		var list corev1.PodList
		if err := l.management.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return s, err
		}
		*pods = list.Items
	}
	return s, nil
}

func (l *timeline) noteAll(s snapshot) {
	leaving := s.gone || !s.cluster.DeletionTimestamp.IsZero()
	if leaving {
		l.note("deletion begun", true)
		l.note("Machine object gone", s.machine.Name == "")
		l.note("machine pods gone", len(s.machines) == 0)
		l.note("control plane pods gone", len(s.control) == 0)
		l.note("cluster gone", s.gone)
		return
	}
	l.note("addresses known", s.cluster.Status.ControlPlaneAddress != "")
	l.note("Machine made", s.machine.Name != "")
	for i := range s.control {
		l.notePod(&s.control[i])
	}
	for i := range s.machines {
		l.notePod(&s.machines[i])
	}
	if s.cluster.Spec.PowerState.Wanted() == v1beta1.PowerStopped {
		l.note("Machine object gone", s.machine.Name == "")
		l.note("machine pods gone", len(s.machines) == 0)
		l.note("control plane pods gone", len(s.control) == 0)
	}
	l.note("/readyz", s.cluster.Status.APIServerReady != nil)
	l.note("Machine "+string(s.machine.Status.Phase), s.machine.Name != "")
	l.note("power state "+string(s.cluster.Status.PowerState.Code), true)
	for _, c := range s.cluster.Status.Conditions {
		l.note("condition "+c.Type, c.Status == "True")
	}
	l.note("Succeeded", s.cluster.Status.ProvisioningState == v1beta1.StateSucceeded)
}

func (l *timeline) notePod(pod *corev1.Pod) {
	name := pod.Labels["berth.dev/component"]
	if name == "" {
		name = "machine"
	}
	which := l.which(name, pod.UID)
	name += which
	l.note("pod "+name+" made", true)
	l.note("pod "+name+" scheduled", pod.Spec.NodeName != "")
	l.note("pod "+name+" ends", pod.DeletionTimestamp != nil)
	for _, status := range pod.Status.ContainerStatuses {
		status.Name += which
		l.note("container "+status.Name+" runs", status.State.Running != nil)
		l.note("container "+status.Name+" ended", status.State.Terminated != nil)
		l.note("container "+status.Name+" started", status.Started != nil && *status.Started)
		l.note(fmt.Sprintf("container %s restarted %d", status.Name, status.RestartCount), status.RestartCount > 0)
		l.note("container "+status.Name+" ready", status.Ready)
	}
}

// which tells a pod from the ones before it of the same name.
func (l *timeline) which(name string, uid types.UID) string {
	if !slices.Contains(l.pods[name], uid) {
		l.pods[name] = append(l.pods[name], uid)
	}
	if n := slices.Index(l.pods[name], uid); n > 0 {
		return fmt.Sprintf(" (%d)", n+1)
	}
	return ""
}
