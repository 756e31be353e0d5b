package test

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
)

func (w *world) powerOff() {
	w.t.Helper()
	w.request(w.powerOperation("op-stop", v1beta1.PowerStopped, v1beta1.StateStopping))
	w.succeed("op-stop")
}

func (w *world) powerOn() {
	w.t.Helper()
	w.request(w.powerOperation("op-start", v1beta1.PowerRunning, v1beta1.StateStarting))
	w.succeed("op-start")
}

// powerOperation is what an ARM handler makes of a POST to stop or start.
func (w *world) powerOperation(name string, code v1beta1.PowerCode, state v1beta1.ProvisioningState) *v1beta1.Operation {
	cluster, pool := w.cluster(), w.pool()
	cluster.Spec.PowerState = &v1beta1.PowerState{Code: code}
	return &v1beta1.Operation{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1beta1.OperationSpec{
			Type: v1beta1.OperationPut, State: state,
			Target:  v1beta1.OperationTarget{Kind: v1beta1.TargetManagedCluster, Name: w.clusterName(), ResourceID: "/demo"},
			Desired: &v1beta1.DesiredState{Cluster: &cluster.Spec, AgentPools: []v1beta1.AgentPoolSpec{pool.Spec}},
		},
	}
}

func (w *world) cluster() *v1beta1.ManagedCluster {
	w.t.Helper()
	var cluster v1beta1.ManagedCluster
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: w.clusterName()}, &cluster); err != nil {
		w.t.Fatal(err)
	}
	return &cluster
}

func (w *world) pool() *v1beta1.AgentPool {
	w.t.Helper()
	var pool v1beta1.AgentPool
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: w.poolName()}, &pool); err != nil {
		w.t.Fatal(err)
	}
	return &pool
}

// checkStopped looks at a stopped cluster: nothing runs, and everything that a
// start needs is there.
func (w *world) checkStopped() {
	w.t.Helper()
	cluster, pool := w.cluster(), w.pool()
	if s := cluster.Status; s.ProvisioningState != v1beta1.StateSucceeded || s.PowerState.Code != v1beta1.PowerStopped || s.APIServerReady != nil ||
		!meta.IsStatusConditionTrue(s.Conditions, v1beta1.ConditionStopped) {
		w.t.Errorf("status of the stopped cluster: %+v", s)
	}
	if s := pool.Status; s.ProvisioningState != v1beta1.StateSucceeded || s.PowerState.Code != v1beta1.PowerStopped || *pool.Spec.Count != 2 {
		w.t.Errorf("the pool of a stopped cluster wants %d nodes, status %+v", *pool.Spec.Count, s)
	}
	namespace := v1beta1.ControlPlaneNamespace(clusterID)
	for what, c := range map[string]struct {
		list      client.ObjectList
		namespace string
		want      int
	}{
		"machines": {&v1beta1.MachineList{}, w.namespace, 0}, "nodes": {&corev1.NodeList{}, "", 0}, "pods": {&corev1.PodList{}, namespace, 0},
		"secrets": {&corev1.SecretList{}, namespace, 9}, "services": {&corev1.ServiceList{}, namespace, 2}, "claims": {&corev1.PersistentVolumeClaimList{}, namespace, 1},
	} {
		if got := w.count(c.list, c.namespace); got != c.want {
			w.t.Errorf("a stopped cluster has %d %s, want %d", got, what, c.want)
		}
	}
	if left := len(w.machines.Machines()); left > 0 {
		w.t.Errorf("the provider has %d machines of a stopped cluster", left)
	}
}

// evicted is the reason of a pod that its kubelet has given up.
const evicted = "Evicted"

// A stop ends etcd after the API server that still writes to it, and a pod that ended
// by itself, which no ReplicaSet removes, holds nothing up.
func TestStopEndsEtcdLast(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.create()
	w.scale(2)
	kube := w.kubePod()
	labels := maps.Clone(kube.Labels)
	delete(labels, appsv1.DefaultDeploymentUniqueLabelKey) // the ReplicaSet would take it for its own while it is not Failed
	ended := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: kube.Namespace, Name: "kube-evicted", Labels: labels}, Spec: *kube.Spec.DeepCopy()}
	if err := w.client.Create(t.Context(), ended); err != nil {
		t.Fatal(err)
	}
	created := ended.DeepCopy()
	ended.Status.Phase, ended.Status.Reason = corev1.PodFailed, evicted
	if err := w.client.Status().Patch(t.Context(), ended, client.MergeFrom(created)); err != nil {
		t.Fatal(err)
	}
	w.hold(kube, "berth.dev/test")
	w.request(w.powerOperation("op-stop", v1beta1.PowerStopped, v1beta1.StateStopping))
	w.eventually("the API server is told to end", func() bool { return !w.kubePod().DeletionTimestamp.IsZero() })
	for range 20 {
		if got := w.etcdReplicas(); got != 1 {
			t.Fatalf("etcd has %d replicas while an API server ends", got)
		}
		<-time.After(pollEvery)
	}
	w.hold(w.kubePod())
	w.succeed("op-stop")
	w.checkStopped()
	if got := w.etcdReplicas(); got != 0 {
		t.Errorf("etcd of a stopped cluster has %d replicas", got)
	}
	w.delete()
	w.checkGone()
}

// kubePod is the pod of the API server that runs or ends.
func (w *world) kubePod() *corev1.Pod {
	w.t.Helper()
	var pods corev1.PodList
	if err := w.client.List(w.t.Context(), &pods, client.InNamespace(v1beta1.ControlPlaneNamespace(clusterID)),
		client.MatchingLabels{controlplane.LabelComponent: controlplane.ComponentKube}); err != nil {
		w.t.Fatal(err)
	}
	for i := range pods.Items {
		if pods.Items[i].Status.Phase != corev1.PodFailed {
			return &pods.Items[i]
		}
	}
	w.t.Fatalf("no pod of an API server among %d", len(pods.Items))
	return nil
}

// hold gives a pod these finalizers and no other.
func (w *world) hold(pod *corev1.Pod, finalizers ...string) {
	w.t.Helper()
	before := pod.DeepCopy()
	pod.Finalizers = finalizers
	if err := w.client.Patch(w.t.Context(), pod, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) etcdReplicas() int32 {
	w.t.Helper()
	var etcd appsv1.StatefulSet
	key := client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(clusterID), Name: controlplane.EtcdStatefulSet}
	if err := w.client.Get(w.t.Context(), key, &etcd); err != nil {
		w.t.Fatal(err)
	}
	return *etcd.Spec.Replicas
}

func (w *world) eventually(what string, condition func() bool) {
	w.t.Helper()
	err := wait.PollUntilContextTimeout(w.t.Context(), pollEvery, patience, true, func(context.Context) (bool, error) {
		w.live()
		return condition(), nil
	})
	if err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
}

// A start brings the same names back, and what was bound to a node ended with it.
func TestStopAndStart(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.create()
	w.scale(2)
	before := w.nodeNames()
	w.bind("standalone", before[0])
	w.powerOff()
	w.checkStopped()
	key := client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: "standalone"}
	if err := w.client.Get(t.Context(), key, &corev1.Pod{}); !apierrors.IsNotFound(err) {
		t.Errorf("a standalone pod outlives its node: %v", err)
	}
	w.powerOn()
	w.checkCreated(2)
	if after := w.nodeNames(); !slices.Equal(before, after) {
		t.Errorf("nodes were %v and are %v after a start", before, after)
	}
	w.delete()
	w.checkGone()
}

// A pool stops and starts by itself, and keeps its count; its cluster is none the
// wiser.
func TestPoolStopsAndStarts(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.create()
	w.scale(2)
	before := w.nodeNames()
	for _, c := range []struct {
		name     string
		code     v1beta1.PowerCode
		machines int
	}{{"op-pool-stop", v1beta1.PowerStopped, 0}, {"op-pool-start", v1beta1.PowerRunning, 2}} {
		op := w.scaleOperation(c.name, 2)
		op.Spec.Desired.AgentPools[0].PowerState = &v1beta1.PowerState{Code: c.code}
		w.request(op)
		w.succeed(c.name)
		w.checkCreated(c.machines)
		if s := w.pool().Status; s.PowerState.Code != c.code || s.ProvisioningState != v1beta1.StateSucceeded {
			t.Errorf("pool status after %s: %+v", c.name, s)
		}
		if state := w.cluster().Status.PowerState.Code; state != v1beta1.PowerRunning {
			t.Errorf("the cluster is %s after %s", state, c.name)
		}
	}
	if after := w.nodeNames(); !slices.Equal(before, after) {
		t.Errorf("nodes were %v and are %v after a start", before, after)
	}
	w.delete()
	w.checkGone()
}

// A rotation replaces every root of trust but what is needed to read what is stored,
// and everything below the roots; nodes are made anew under the same names.
func TestRotateCertificates(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.create()
	w.scale(2)
	nodes, before := w.machineUIDs(), w.secrets()
	w.rotate()
	w.checkCreated(2)
	w.checkRotated(before)
	for name, uid := range w.machineUIDs() {
		if nodes[name] == "" || nodes[name] == uid {
			t.Errorf("machine %s had uid %s and has %s", name, nodes[name], uid)
		}
	}
	w.delete()
	w.checkGone()
}

// New signing keys reach the control plane and leave the nodes alone.
func TestRotateSigningKeys(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.create()
	machines, before := w.machineUIDs(), w.secrets()["ca"]
	revision := w.revision()
	op := w.powerOperation("op-keys", v1beta1.PowerRunning, v1beta1.StateUpdating)
	op.Spec.Desired.Cluster.Rotations = &v1beta1.Rotations{ServiceAccountKeys: 1}
	w.request(op)
	w.succeed("op-keys")
	w.checkCreated(1)
	after := w.secrets()["ca"]
	if bytes.Equal(before.Data["sa.key"], after.Data["sa.key"]) || !bytes.HasSuffix(after.Data["sa.pub"], before.Data["sa.pub"]) {
		t.Error("the key was not replaced, or tokens of the old one are not taken any more")
	}
	if !bytes.Equal(before.Data["tls.crt"], after.Data["tls.crt"]) || !maps.Equal(machines, w.machineUIDs()) {
		t.Error("authorities or nodes were replaced too")
	}
	if w.revision() == revision {
		t.Error("the control plane was not told of the new key")
	}
	w.delete()
	w.checkGone()
}

func (w *world) rotate() {
	w.t.Helper()
	op := w.powerOperation("op-rotate", v1beta1.PowerRunning, v1beta1.StateRotatingCertificates)
	op.Spec.Desired.Cluster.Rotations = &v1beta1.Rotations{Certificates: 1}
	w.request(op)
	w.succeed("op-rotate")
}

func (w *world) checkRotated(before map[string]corev1.Secret) {
	w.t.Helper()
	after := w.secrets()
	if len(after) != len(before) {
		w.t.Errorf("%d Secrets after a rotation, %d before", len(after), len(before))
	}
	for name, secret := range after {
		for key, value := range secret.Data {
			kept := name == "ca" && (key == "sa.key" || key == "sa.pub" || key == "encryption.yaml")
			if bytes.Equal(value, before[name].Data[key]) != kept {
				w.t.Errorf("%s of Secret %s: kept should be %v", key, name, kept)
			}
		}
	}
	if s := w.cluster().Status; s.Rotations.Certificates != 1 || s.PowerState.Code != v1beta1.PowerRunning {
		w.t.Errorf("status after a rotation: %+v", s)
	}
}

func (w *world) secrets() map[string]corev1.Secret {
	w.t.Helper()
	var list corev1.SecretList
	if err := w.client.List(w.t.Context(), &list, client.InNamespace(v1beta1.ControlPlaneNamespace(clusterID))); err != nil {
		w.t.Fatal(err)
	}
	secrets := map[string]corev1.Secret{}
	for _, secret := range list.Items {
		secrets[secret.Name] = secret
	}
	return secrets
}

func (w *world) machineUIDs() map[string]string {
	w.t.Helper()
	uids := map[string]string{}
	for _, m := range w.machineObjects() {
		uids[m.Name] = string(m.UID)
	}
	return uids
}

// revision is that of the Secrets that the control plane's pods run with.
func (w *world) revision() string {
	w.t.Helper()
	var deployment appsv1.Deployment
	key := client.ObjectKey{Namespace: v1beta1.ControlPlaneNamespace(clusterID), Name: "kube"}
	if err := w.client.Get(w.t.Context(), key, &deployment); err != nil {
		w.t.Fatal(err)
	}
	return deployment.Spec.Template.Annotations["berth.dev/secret-revision"]
}

// A cluster that is stopped can be deleted: there is no API server to ask. One that is backed up
// gets its final backup before (X3).
func TestDeleteWhileStopped(t *testing.T) {
	for why, recorded := range map[string]bool{"never recorded": false, "recorded": true} {
		t.Run(why, func(t *testing.T) {
			w := newWorld(t)
			w.start(w.nextGuard())
			w.create()
			if recorded {
				w.backedUp()
			}
			w.powerOff()
			w.delete()
			w.checkGone()
		})
	}
}

// A stop that a customer turns round at once, as kubectl can, ends with a cluster
// that runs.
func TestStopTurnedRound(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.create()
	for _, code := range []v1beta1.PowerCode{v1beta1.PowerStopped, v1beta1.PowerRunning} {
		cluster := w.cluster()
		patch := client.MergeFrom(cluster.DeepCopy())
		cluster.Spec.PowerState = &v1beta1.PowerState{Code: code}
		if err := w.client.Patch(t.Context(), cluster, patch); err != nil {
			t.Fatal(err)
		}
	}
	err := wait.PollUntilContextTimeout(t.Context(), pollEvery, patience, true, func(context.Context) (bool, error) {
		cluster := w.cluster()
		return cluster.Status.ObservedGeneration == cluster.Generation && cluster.Status.ProvisioningState == v1beta1.StateSucceeded &&
			w.pool().Status.ReadyCount == 1 && w.pool().Status.Count == 1, nil
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, w.dump())
	}
	w.checkCreated(1)
	w.delete()
	w.checkGone()
}

// bind makes a pod that no controller owns and that no kubelet lets go.
func (w *world) bind(name, node string) {
	w.t.Helper()
	w.ensure(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "default"}})
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name},
		Spec: corev1.PodSpec{
			NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "x"}},
			AutomountServiceAccountToken: ptr(false), TerminationGracePeriodSeconds: ptr(int64(1)),
		},
	}
	if err := w.client.Create(w.t.Context(), pod); err != nil {
		w.t.Fatal(err)
	}
	pod.Status.Phase = corev1.PodSucceeded
	if err := w.client.Status().Update(w.t.Context(), pod); err != nil {
		w.t.Fatal(err)
	}
}
