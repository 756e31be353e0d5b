package long

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/test/harness"
)

// healedWithin is how long an etcd may take to be healed on a slow machine.
const healedWithin = 5 * time.Minute

const etcdCommand = "etcd --name"

// TestEtcd has the etcds of clusters befallen by what their customers can neither see nor
// mend, and Berth heals each (A3, C3, X2).
func TestEtcd(t *testing.T) {
	e := harness.New(t)
	e.Up()
	free, three := &hosted{name: "free", tier: "Free"}, &hosted{name: "three", tier: "Standard"}
	e.Journey(t, []harness.Step{
		{Name: "there is a cluster with one etcd, and one with three members", Run: func(e *harness.Env) { hostedClusters(e, free, three) }},
		{Name: "the disk of a member of three lies", Run: three.with(diskLies)},
		{Name: "an etcd whose volume was set back is put back from its backups", Run: free.with(setBack)},
		{Name: "one that somebody has written to since is left to the operator, who has the backups back", Run: free.with(setBackAndWritten)},
		{Name: "the member that holds other data is made anew, and what it held is kept", Run: three.with(oddMadeAnew)},
		{Name: "an etcd that is full is given room", Run: free.with(full)},
		{Name: "so is the management cluster's, which nobody leads meanwhile", Run: func(e *harness.Env) { managementFull(e, free, three) }},
		{Name: "what was kept goes with its cluster", Run: three.with(keptGoesToo)},
	})
}

// hosted is a cluster in the group rg1 to whose etcd something happens.
type hosted struct {
	*harness.Env
	name, tier, id string
	// nodes are its nodes and their starts, and kept is a copy of what its etcd stored.
	nodes, kept string
}

// with has a step be done to the cluster.
func (h *hosted) with(step func(*hosted)) func(*harness.Env) {
	return func(e *harness.Env) {
		h.Env = e
		step(h)
	}
}

// hostedClusters makes clusters of one node each, which are backed up often.
func hostedClusters(e *harness.Env, clusters ...*hosted) {
	e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", `{"spec":{"backupDeltaInterval":"2s"}}`)
	e.Run("berth", "group", "create", "-n", "rg1", "-l", "westus2")
	for _, h := range clusters {
		e.Run("berth", "cluster", "create", "-g", "rg1", "-n", h.name, "-c", "1", "--tier", h.tier, "--no-wait")
	}
	for _, h := range clusters {
		h.Env = e
		e.Run("berth", "cluster", "wait", "-g", "rg1", "-n", h.name, "--created", "--timeout", "600")
		e.Run("berth", "cluster", "get-credentials", "-g", "rg1", "-n", h.name)
		h.id = h.found().Spec.ID
		h.nodes = h.nodesNow()
	}
}

func (h *hosted) kubectl(args ...string) string {
	h.T.Helper()
	return h.Cluster(h.name, args...)
}

// found is the cluster as the management cluster has it.
func (h *hosted) found() *v1beta1.ManagedCluster {
	h.T.Helper()
	c, err := h.ManagedCluster(h.name)
	if err != nil {
		h.T.Fatal(err)
	}
	return c
}

// nodesNow are its nodes, with the id of the start of each one's machine.
func (h *hosted) nodesNow() string {
	h.T.Helper()
	return h.kubectl("get", "nodes", "-o", `jsonpath={range .items[*]}{.metadata.uid} {.status.nodeInfo.bootID} {end}`)
}

// pod is the UID of a pod of its control plane, and how often its containers have started again.
func (h *hosted) pod(name string) (uid, restarts string) {
	h.T.Helper()
	out := h.Management("-n", v1beta1.ControlPlaneNamespace(h.id), "get", "pod", name, "-o", "jsonpath={.metadata.uid} {.status.containerStatuses[*].restartCount}")
	uid, restarts, _ = strings.Cut(out, " ")
	return uid, restarts
}

// backedUp waits until everything that was written so far is in the store.
func (h *hosted) backedUp() {
	h.T.Helper()
	written := time.Now()
	h.Eventually("what was written is backed up", healedWithin, func() error {
		if c := h.found(); !meta.IsStatusConditionTrue(c.Status.Conditions, v1beta1.ConditionBackedUp) {
			return fmt.Errorf("conditions %+v", c.Status.Conditions)
		}
		return h.BackedUpAfter(h.id, "delta", written.Add(2*time.Second))
	})
}

// serves waits until the cluster answers and is backed up, with the nodes that it had.
func (h *hosted) serves() {
	h.T.Helper()
	h.Eventually("the cluster is well, with the nodes that it had", healedWithin, func() error {
		status := h.found().Status
		if status.APIServerReady == nil || !meta.IsStatusConditionTrue(status.Conditions, v1beta1.ConditionBackedUp) {
			return fmt.Errorf("API server ready since %v, conditions %+v", status.APIServerReady, status.Conditions)
		}
		if out, err := h.TryCluster(h.name, "get", "--raw", "/readyz"); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if now := h.nodesNow(); now != h.nodes {
			return fmt.Errorf("nodes %s, before %s", now, h.nodes)
		}
		if ready := h.ReadyNodes(h.name); len(ready) != strings.Count(h.nodes, " ")/2 {
			return fmt.Errorf("ready: %v", ready)
		}
		return nil
	})
}

// told waits until an event and the activity log tell the same of a reason.
func (h *hosted) told(caller, reason, message string) {
	h.T.Helper()
	h.event(reason, message)
	h.logged(caller, reason, message)
}

// event waits until one with a reason tells the operator something.
func (h *hosted) event(reason, message string) {
	h.T.Helper()
	h.Eventually("an event tells of "+reason, longEnough, func() error {
		events := h.Management("get", "events", "-A", "--field-selector=reason="+reason, "-o", `jsonpath={range .items[*]}{.involvedObject.name} {.message}{"\n"}{end}`)
		if !strings.Contains(events, message) {
			return fmt.Errorf("events %q", events)
		}
		return nil
	})
}

// logged waits until the activity log tells the cluster's owner something.
func (h *hosted) logged(caller, reason, message string) {
	h.T.Helper()
	h.Eventually("the activity log tells of "+reason, longEnough, func() error {
		for _, entry := range h.ActivityLog("rg1", caller) {
			if strings.HasSuffix(entry.Operation, "/events/"+reason+"/action") && entry.Resource == h.name && strings.Contains(entry.Message, message) {
				return nil
			}
		}
		return errors.New("it does not")
	})
}

// has complains where a ConfigMap does not hold a value; none is to be there where that is empty.
func (h *hosted) has(name, value string) {
	h.T.Helper()
	if now := h.kubectl("get", "configmap", name, "--ignore-not-found", "-o", "jsonpath={.data.v}"); now != value {
		h.T.Errorf("ConfigMap %s holds %q, want %q", name, now, value)
	}
}

func (h *hosted) makes(name, value string) {
	h.T.Helper()
	h.kubectl("create", "configmap", name, "--from-literal=v="+value)
}
