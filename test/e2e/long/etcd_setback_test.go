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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
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

// keepsCopy makes a copy of what a lone etcd stores, of one moment.
func (h *hosted) keepsCopy() {
	h.T.Helper()
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
	for n := 0; err == nil && n < 500; n++ {
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
