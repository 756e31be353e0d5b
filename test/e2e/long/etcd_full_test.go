package long

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/test/harness"
)

const (
	// smallQuota is how much an etcd may store in this test, so that it is full soon, in bytes.
	smallQuota = 128 << 20
	quotaFlag  = "--quota-backend-bytes="
	// roomWithin is how long it may take until there is room again: history may go that was
	// there five minutes before.
	roomWithin = 20 * time.Minute
)

// full fills the etcd of a cluster with history, and waits until it has room.
func full(h *hosted) {
	h.Management("apply", "-f", h.writes("small-etcd.yaml", strings.NewReplacer("NAMESPACE", v1beta1.ControlPlaneNamespace(h.id), "QUOTA", fmt.Sprint(smallQuota)).Replace(smallManifest)))
	smaller := fmt.Sprintf("%s%d", quotaFlag, smallQuota)
	h.startsEtcdAnew(smaller)
	objects := h.ObjectsOf(h.name)
	maps := h.Clientset(h.name).CoreV1().ConfigMaps(metav1.NamespaceDefault)
	fills(h.Env, func(big *corev1.ConfigMap) error {
		_, err := maps.Update(h.T.Context(), big, metav1.UpdateOptions{})
		if apierrors.IsNotFound(err) {
			_, err = maps.Create(h.T.Context(), big, metav1.CreateOptions{})
		}
		return err
	})
	began := time.Now()
	h.Eventually("there is room in etcd", roomWithin, func() error {
		status := h.found().Status
		has := meta.FindStatusCondition(status.Conditions, v1beta1.ConditionEtcdHasSpace)
		if last := status.EtcdCleaning; last == nil || last.Reason != v1beta1.EtcdNoSpace || last.Result != v1beta1.EtcdCleaned || has == nil || has.Status != metav1.ConditionTrue {
			return fmt.Errorf("cleaning %+v, condition %+v", status.EtcdCleaning, has)
		}
		return nil
	})
	h.T.Logf("room was made %.0f s after it was full: %+v", time.Since(began).Seconds(), h.found().Status.EtcdCleaning)
	h.told("berth/space", "EtcdHasSpace", "etcd was full and takes writes again")
	h.makes("room", "1")
	h.Lost(h.name, objects)
	h.serves()
	h.backedUp()
	h.Management("delete", "mutatingadmissionpolicybinding,mutatingadmissionpolicy", "small-etcd")
	h.startsEtcdAnew(quotaFlag)
	h.serves()
}

// writes has a file in the state directory hold a text.
func (h *hosted) writes(name, text string) string {
	h.T.Helper()
	path := filepath.Join(h.State, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.T.Fatal(err)
	}
	return path
}

// startsEtcdAnew replaces the pod of a lone etcd, until it runs with a flag.
func (h *hosted) startsEtcdAnew(flag string) {
	h.T.Helper()
	namespace := v1beta1.ControlPlaneNamespace(h.id)
	h.Eventually("etcd runs with "+flag, healedWithin, func() error {
		h.Management("-n", namespace, "delete", "pod", "etcd-0", "--ignore-not-found")
		if out, err := h.Try("kubectl", "--kubeconfig", filepath.Join(h.State, "admin.kubeconfig"), "-n", namespace, "wait", "pod/etcd-0", "--for=condition=Ready", "--timeout=120s"); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		uid, _ := h.pod("etcd-0")
		found, err := h.Processes(uid, flag)
		if err != nil || len(found) == 0 {
			return fmt.Errorf("no process of pod %s has it: %w", uid, err)
		}
		return nil
	})
}

// fills writes one object again and again, until etcd is full of its history.
func fills(e *harness.Env, write func(*corev1.ConfigMap) error) {
	e.T.Helper()
	const size, mostWrites = 700_000, 1000
	random, noise := rand.NewChaCha8([32]byte{}), make([]byte, size)
	for n := range mostWrites {
		_, _ = random.Read(noise)
		err := write(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "big"}, Data: map[string]string{"v": base64.StdEncoding.EncodeToString(noise)}})
		switch {
		case err == nil:
		case strings.Contains(err.Error(), "database space exceeded"):
			e.T.Logf("etcd is full after %d writes", n)
			return
		default:
			e.T.Logf("write %d: %v", n, err) // etcd may have just started
		}
	}
	e.T.Fatal("etcd is not full")
}

// managementFull fills the management cluster's own etcd while Berth stands still, until its
// time as the leader is over: nobody can lead then, and there is room again all the same.
// Operations go on, and nothing of the clusters has changed.
func managementFull(e *harness.Env, clusters ...*hosted) {
	smallerManagement(e)
	e.Halt("", berthCommand)
	defer func() { _ = e.Signal("", berthCommand, unix.SIGCONT) }() // it may have been replaced meanwhile
	management := e.ManagementClient()
	write := func(big *corev1.ConfigMap) error {
		err := management.Update(e.T.Context(), big)
		if apierrors.IsNotFound(err) {
			err = management.Create(e.T.Context(), big)
		}
		return err
	}
	fills(e, write)
	e.Eventually("nobody leads Berth", healedWithin, func() error {
		if until := leads(e); time.Now().Before(until) {
			return fmt.Errorf("somebody does until %s", until)
		}
		return nil
	})
	_ = e.Signal("", berthCommand, unix.SIGCONT)
	began := time.Now()
	e.Eventually("the management cluster takes writes", roomWithin, func() error {
		return write(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "big"}, Data: map[string]string{"v": "small"}})
	})
	e.T.Logf("it takes writes %.0f s after it was full", time.Since(began).Seconds())
	e.Eventually("Berth leads again, and it is said what was done", healedWithin, func() error {
		until := leads(e)
		events := e.Management("get", "events", "-A", "--field-selector=reason=EtcdHasSpace", "-o", "jsonpath={.items[*].message}")
		if time.Now().After(until) || !strings.Contains(events, "the management cluster's etcd took") {
			return fmt.Errorf("events %q, somebody leads until %s", events, until)
		}
		return nil
	})
	for _, h := range clusters {
		h.Env = e
		h.serves()
		h.makes("after-the-management", "1")
	}
	grows := clusters[0]
	e.Run("berth", "nodepool", "scale", "-g", "rg1", "--cluster-name", grows.name, "-n", "nodepool1", "-c", "2")
	e.Eventually("a new node is ready", healedWithin, func() error {
		if ready := e.ReadyNodes(grows.name); len(ready) != 2 {
			return fmt.Errorf("ready: %v", ready)
		}
		return nil
	})
}

// smallerManagement has the management cluster's etcd start with a small quota.
func smallerManagement(e *harness.Env) {
	path := filepath.Join(e.State, "machine", "kubernetes", "manifests", "etcd.yaml")
	raw, err := os.ReadFile(path)
	if err != nil {
		e.T.Fatal(err)
	}
	head, tail, found := strings.Cut(string(raw), quotaFlag)
	_, tail, _ = strings.Cut(tail, "\n")
	smaller := fmt.Sprintf("%s%d", quotaFlag, smallQuota)
	if !found {
		e.T.Fatalf("no %s in %s", quotaFlag, path)
	}
	// The kubelet reads any file that does not begin with a dot.
	hidden := filepath.Join(filepath.Dir(path), ".etcd.yaml")
	if err := errors.Join(os.WriteFile(hidden, []byte(head+smaller+"\n"+tail), 0o600), os.Rename(hidden, path)); err != nil {
		e.T.Fatal(err)
	}
	e.Eventually("the management cluster's etcd has it", healedWithin, func() error {
		running, err := e.Processes("", smaller)
		if err == nil && len(running) == 0 {
			err = errors.New("it does not run")
		}
		if err != nil {
			return err
		}
		return e.ManagementClient().List(e.T.Context(), &corev1.NodeList{}, client.Limit(1))
	})
}

// leads says until when a process leads Berth if it says no more.
func leads(e *harness.Env) (until time.Time) {
	e.T.Helper()
	var lease coordinationv1.Lease
	if err := e.ManagementClient().Get(e.T.Context(), client.ObjectKey{Namespace: v1beta1.SystemNamespace, Name: "berth"}, &lease); err != nil {
		e.T.Fatal(err)
	}
	if of := lease.Spec; of.HolderIdentity != nil && of.RenewTime != nil && of.LeaseDurationSeconds != nil {
		return of.RenewTime.Add(time.Duration(*of.LeaseDurationSeconds) * time.Second)
	}
	return time.Time{}
}

// smallManifest has pods of etcd start with a small quota. Their StatefulSet stays as Berth
// renders it.
const smallManifest = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: small-etcd}
spec:
  reinvocationPolicy: Never
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}
  matchConditions:
  - {name: etcd, expression: object.metadata.name == 'etcd-0'}
  mutations:
  - patchType: JSONPatch
    jsonPatch:
      expression: >
        [JSONPatch{op: "replace", path: "/spec/containers/0/args",
          value: object.spec.containers[0].args.map(a, a.startsWith("--quota-backend-bytes=") ? "--quota-backend-bytes=QUOTA" : a)}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: small-etcd}
spec: {policyName: small-etcd}
`
