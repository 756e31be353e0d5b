package long

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

// setBack gives an etcd what it stored some time before. Nobody writes to it since but
// Kubernetes itself: everything that was acknowledged comes back, and what runs runs on.
func setBack(h *hosted) {
	h.makes("changed", "1")
	h.makes("removed", "1")
	h.keepsCopy()
	h.makes("made", "1")
	h.kubectl("patch", "configmap", "changed", "-p", `{"data":{"v":"2"}}`)
	h.kubectl("delete", "configmap", "removed")
	h.writesOften()
	applyTo(h.Env, h.name, runsOnManifest)
	h.kubectl("rollout", "status", "deployment/runs-on", "--timeout=180s")
	running := func() string {
		return h.kubectl("get", "pods", "-l", "app=runs-on", "-o", `jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[*].restartCount} {.status.containerStatuses[*].ready} {end}`)
	}
	pods := running()
	h.backedUp()
	last := h.found().Status.Recovery
	h.setsBack()
	now := h.recovered(last)
	if !now.Running || !strings.Contains(now.Reason, "etcd came back as it was at revision") {
		h.T.Errorf("the recovery is not one of an etcd that ran: %+v", now)
	}
	h.has("made", "1")
	h.has("changed", "2")
	h.has("removed", "")
	if after := running(); after != pods {
		h.T.Errorf("pods %s, before %s", after, pods)
	}
}

// setBackAndWritten gives an etcd what it stored some time before, and somebody writes to it
// before Berth looks: nothing is replaced, until the operator does what the guide says.
func setBackAndWritten(h *hosted) {
	h.makes("before", "1")
	h.keepsCopy()
	h.makes("acknowledged", "1")
	h.writesOften()
	h.backedUp()
	last := h.found().Status.Recovery
	h.setsBackUnseen("written-since")
	rollback := h.rolledBack()
	if rollback.Shared == 0 || rollback.Shared >= rollback.Recorded {
		h.T.Errorf("what both have is not known: %+v", rollback)
	}
	h.event(policy.ReasonEtcdRolledBack, "the operator chooses")
	h.logged("berth/backup", policy.ReasonEtcdRolledBack, "etcd came back with less than was recorded of it")
	uid, restarts := h.pod("etcd-0")
	for range 2 {
		at := rollback.Time
		h.Eventually("it is looked at again", healedWithin, func() error {
			if rollback = h.rolledBack(); !rollback.Time.After(at.Time) {
				return fmt.Errorf("still %+v", rollback)
			}
			return nil
		})
	}
	if now := h.found().Status.Recovery; now == nil || last == nil || now.ID != last.ID {
		h.T.Errorf("recovery %+v, before %+v", now, last)
	}
	if u, r := h.pod("etcd-0"); u != uid || r != restarts {
		h.T.Errorf("etcd-0 is %s with %s restarts, and was %s with %s", u, r, uid, restarts)
	}
	h.has("written-since", "1")
	h.has("acknowledged", "")
	h.makes("written-later", "1")

	namespace := v1beta1.ControlPlaneNamespace(h.id)
	h.Management("-n", namespace, "delete", "pvc", controlplane.MemberClaim(0), "--wait=false")
	h.Management("-n", namespace, "delete", "pod", "etcd-0")
	h.recovered(last)
	h.has("acknowledged", "1")
	h.has("written-since", "")
	h.has("written-later", "")
}

// rolledBack waits until Berth says that etcd has less than was stored and that somebody has
// written to it since, and returns what it knows.
func (h *hosted) rolledBack() *v1beta1.EtcdRollback {
	h.T.Helper()
	var rollback *v1beta1.EtcdRollback
	h.Eventually("what somebody has written since is told", healedWithin, func() error {
		status := h.found().Status
		backedUp := meta.FindStatusCondition(status.Conditions, v1beta1.ConditionBackedUp)
		if status.Backup != nil {
			rollback = status.Backup.Rollback
		}
		if backedUp == nil || backedUp.Reason != policy.ReasonEtcdRolledBack || rollback == nil || rollback.Written == 0 {
			return fmt.Errorf("condition %+v, rollback %+v", backedUp, rollback)
		}
		return nil
	})
	return rollback
}

// setsBackUnseen is setsBack with a write after it, while Berth stands still. Clusters are
// reached through Berth: the write goes to the API server from the network of Berth's pod.
func (h *hosted) setsBackUnseen(name string) {
	h.T.Helper()
	address := h.Management("-n", v1beta1.ControlPlaneNamespace(h.id), "get", "service", controlplane.APIServerService, "-o", "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}")
	var shown struct{ Fqdn string }
	h.Decode(h.Run("berth", "cluster", "show", "-g", "rg1", "-n", h.name, "-o", "json"), &shown)
	network := h.networkOfBerth()
	h.Halt("", berthCommand)
	defer func() { _ = h.Signal("", berthCommand, unix.SIGCONT) }() // it may have been replaced meanwhile
	h.setsBack()
	h.Eventually("the API server takes a write", healedWithin, func() error {
		out, err := h.Try("nsenter", "--net="+network, h.Bin("kubectl"), "--context", h.name, "--server=https://"+address,
			"--tls-server-name="+shown.Fqdn, "--request-timeout=5s", "create", "configmap", name, "--from-literal=v=1")
		if err != nil && !strings.Contains(out, "already exists") {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

const berthCommand = "berth serve"

// networkOfBerth is the network namespace of Berth's pod, which outlives its containers.
func (h *hosted) networkOfBerth() string {
	h.T.Helper()
	uid := h.Management("-n", v1beta1.SystemNamespace, "get", "pods", "-l", "app.kubernetes.io/name=berth", "-o", "jsonpath={.items[0].metadata.uid}")
	pauses, err := h.Processes(uid, "/pause")
	if err != nil || uid == "" || len(pauses) != 1 {
		h.T.Fatalf("pod %q of Berth has pauses %v: %v", uid, pauses, err)
	}
	return fmt.Sprintf("/proc/%d/ns/net", pauses[0].PID)
}

// keepsCopy makes a copy of what a lone etcd stores, of one moment. Its last writes are in deltas:
// nobody can tell else whether it has them as they were.
func (h *hosted) keepsCopy() {
	h.T.Helper()
	h.backedUp()
	uid, _ := h.pod("etcd-0")
	data := h.EtcdData(h.id, "etcd-0")
	h.kept = data + ".kept"
	h.Halt(uid, etcdCommand)
	h.Run("cp", "-a", data, h.kept)
	if err := h.Signal(uid, etcdCommand, unix.SIGCONT); err != nil {
		h.T.Fatal(err)
	}
}

// writesOften changes an object more often than Kubernetes writes by itself while nobody looks:
// an etcd that has got beyond what was recorded of it looks like one that has lost nothing.
func (h *hosted) writesOften() {
	h.T.Helper()
	maps := h.Clientset(h.name).CoreV1().ConfigMaps(metav1.NamespaceDefault)
	often, err := maps.Create(h.T.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "often-"}}, metav1.CreateOptions{})
	for n := 0; err == nil && n < 1000; n++ {
		often.Data = map[string]string{"v": strconv.Itoa(n)}
		often, err = maps.Update(h.T.Context(), often, metav1.UpdateOptions{})
	}
	if err != nil {
		h.T.Fatal(err)
	}
}

// setsBack has the etcd come up on the copy that was kept, which nobody tells Berth.
func (h *hosted) setsBack() {
	h.T.Helper()
	uid, _ := h.pod("etcd-0")
	data := h.EtcdData(h.id, "etcd-0")
	h.Halt(uid, etcdCommand)
	err := errors.Join(os.Rename(data, data+".gone"), os.Rename(h.kept, data), h.Signal(uid, etcdCommand, unix.SIGKILL), os.RemoveAll(data+".gone"))
	if err != nil {
		h.T.Fatal(err)
	}
}

// recovered waits until a recovery has ended that is another one than the last, and the
// cluster is as it was: its nodes with it, which run on.
func (h *hosted) recovered(last *v1beta1.ControlPlaneRecovery) *v1beta1.ControlPlaneRecovery {
	h.T.Helper()
	began := time.Now()
	var now *v1beta1.ControlPlaneRecovery
	h.Eventually("the backups are put back", healedWithin, func() error {
		status := h.found().Status
		now = status.Recovery
		if now == nil || now.UnderWay() || last != nil && now.ID == last.ID {
			return fmt.Errorf("recovery %+v, backup %+v, conditions %+v", now, status.Backup, status.Conditions)
		}
		return nil
	})
	if !now.Restored || !strings.Contains(now.Message, "is back") {
		h.T.Fatalf("the recovery is %+v", now)
	}
	h.T.Logf("put back %.1f s after the loss: %s: %s", time.Since(began).Seconds(), now.Reason, now.Message)
	h.told("berth/cluster", "EtcdRecovered", now.Message)
	h.serves()
	return now
}

const runsOnManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: runs-on, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: runs-on}}
  template:
    metadata: {labels: {app: runs-on}}
    spec:
      containers:
      - name: runs-on
        image: IMAGE
        args: [serve]
`
