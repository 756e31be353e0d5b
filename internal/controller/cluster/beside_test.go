package cluster

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
)

// waitsForData is a container of etcd that has found no data and waits for them.
func waitsForData() corev1.ContainerStatus {
	return corev1.ContainerStatus{
		RestartCount: 1, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, Started: new(false),
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: controlplane.EtcdExitNoData}},
	}
}

func podOf(component string, status ...corev1.ContainerStatus) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: component, Labels: map[string]string{controlplane.LabelComponent: component}}}
	pod.Status.ContainerStatuses = status
	return pod
}

// A recovery runs beside an etcd's pod only where that waits for data and stays.
func TestAwaitsData(t *testing.T) {
	leaving, started, killed := podOf("etcd", waitsForData()), waitsForData(), waitsForData()
	leaving.DeletionTimestamp = new(metav1.Now())
	started.Started = new(true)
	killed.LastTerminationState.Terminated.ExitCode = 137
	for why, c := range map[string]struct {
		pod  *corev1.Pod
		want bool
	}{
		"it waits":            {podOf("etcd", waitsForData()), true},
		"it has started":      {podOf("etcd", started), false},
		"it ended otherwise":  {podOf("etcd", killed), false},
		"its pod is leaving":  {leaving, false},
		"it is an API server": {podOf("kube", waitsForData()), false},
	} {
		if got := awaitsData([]*corev1.Pod{c.pod}); got != c.want {
			t.Errorf("%s: %v", why, got)
		}
	}
}

// besideBed is a cluster whose etcd waits for data, and what its recovery needs.
func besideBed(t *testing.T, stored *corev1.Pod, set *appsv1.StatefulSet) (*reconciler, *pass, upgradePods) {
	t.Helper()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "s", Name: "c", UID: "1"}, Spec: v1beta1.ManagedClusterSpec{ID: "a"}}
	cluster.Status.Recovery = &v1beta1.ControlPlaneRecovery{ID: "r1", StartTime: metav1.NewTime(now)}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.SystemNamespace, Name: controlplane.BackupService}, Spec: corev1.ServiceSpec{ClusterIP: "192.0.2.1"}}
	objects := []client.Object{cluster, service}
	if set != nil {
		objects = append(objects, set)
	}
	pods := upgradePods{pods: map[string]*corev1.Pod{}, own: []*corev1.Pod{podOf("etcd", waitsForData())}}
	if stored != nil {
		stored.Namespace = namespaceOf(cluster)
		pods.pods[controlplane.RecoverPod], objects = stored, append(objects, stored)
	}
	r := reconcilerOf(t, now, objects...)
	p := &pass{cluster: cluster.DeepCopy(), now: now}
	p.input.ID = "a"
	return r, p, pods
}

func etcdSet(replicas int32) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: v1beta1.ControlPlaneNamespace("a"), Name: controlplane.EtcdStatefulSet}, Spec: appsv1.StatefulSetSpec{Replicas: &replicas}}
}

// besidePod is a pod that recovers beside etcd.
func besidePod(phase corev1.PodPhase) *corev1.Pod {
	pod := podOf(controlplane.RecoverPod)
	pod.Annotations = map[string]string{controlplane.AnnotationSnapshot: "r1"}
	pod.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: controlplane.RecoverPod}}}
	pod.Status.Phase = phase
	return controlplane.BesideEtcd(pod)
}

// Where the pod that recovers gets no place beside etcd, or etcd's own is not asked for, etcd
// is ended first: nothing waits for what does not come.
func TestRecoverBeside(t *testing.T) {
	unschedulable := func(since time.Duration) *corev1.Pod {
		pod := besidePod(corev1.PodPending)
		pod.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
			LastTransitionTime: metav1.NewTime(time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC).Add(-since)),
		}}
		return pod
	}
	failed := besidePod(corev1.PodFailed)
	failed.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}}}
	for why, c := range map[string]struct {
		stored *corev1.Pod
		set    *appsv1.StatefulSet
		change func(*pass, *upgradePods)
		want   bool
	}{
		"etcd waits":                                {nil, etcdSet(1), nil, true},
		"etcd has started on what was put back":     {besidePod(corev1.PodRunning), etcdSet(1), func(_ *pass, pods *upgradePods) { pods.own = nil }, true},
		"an attempt failed, and etcd waits still":   {failed, etcdSet(1), nil, true},
		"an attempt failed, and etcd does not wait": {failed, etcdSet(1), func(_ *pass, pods *upgradePods) { pods.own = nil }, false},
		"no node was found yet":                     {unschedulable(5 * time.Second), etcdSet(1), nil, true},
		"no node is found":                          {unschedulable(time.Minute), etcdSet(1), nil, false},
		"the kubelet refuses the pod":               {besidePod(corev1.PodFailed), etcdSet(1), nil, false},
		"etcd is not asked for":                     {nil, etcdSet(0), nil, false},
		"etcd's StatefulSet is gone":                {nil, nil, nil, false},
		"it is one of several members":              {nil, etcdSet(1), func(p *pass, _ *upgradePods) { p.input.Members = 3 }, false},
		"several API servers end":                   {nil, etcdSet(1), func(p *pass, _ *upgradePods) { p.input.Replicated = true }, false},
		"the version changes":                       {nil, etcdSet(1), func(p *pass, _ *upgradePods) { p.found.upgrading = true }, false},
		"etcd runs on what went back":               {nil, etcdSet(1), func(p *pass, _ *upgradePods) { p.cluster.Status.Recovery.Running = true }, false},
	} {
		r, p, pods := besideBed(t, c.stored, c.set)
		if c.change != nil {
			c.change(p, &pods)
		}
		if got, err := r.recoverBeside(t.Context(), p, pods); err != nil || got != c.want || p.found.recovering != c.want {
			t.Errorf("%s: beside etcd: %t, recovering: %t (%v)", why, got, p.found.recovering, err)
		}
	}
}

// A cluster that is stopped while its data are put back beside etcd, or right after that, counts
// as one whose etcd has them: it may have taken writes.
func TestStopDuringRecoveryBeside(t *testing.T) {
	done := besidePod(corev1.PodSucceeded)
	done.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: `{"restored":true,"revision":7}`}}}}
	elsewhere := besidePod(corev1.PodRunning)
	elsewhere.Annotations = map[string]string{controlplane.AnnotationSnapshot: "r1"}
	for why, c := range map[string]struct {
		stored *corev1.Pod
		want   bool
	}{
		"they were put back":        {done, true},
		"they are being put back":   {besidePod(corev1.PodRunning), true},
		"no etcd has run meanwhile": {elsewhere, false},
	} {
		r, p, _ := besideBed(t, c.stored, etcdSet(1))
		for range 3 {
			if err := r.giveUpRecovery(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		if got := p.cluster.Status.Recovery; got.UnderWay() || recoveredSince(got, metav1.NewTime(p.now)) != c.want {
			t.Errorf("%s: %+v", why, got)
		}
	}
}
