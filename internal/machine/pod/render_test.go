package pod

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	klabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/internal/machine"
)

func someMachine() machine.Machine {
	return machine.Machine{
		Ref:   machine.Ref{ClusterID: "k3v9x0a1b2c3", Name: "aks-np-12345678-vmss000000"},
		Owner: types.NamespacedName{Namespace: "sub-0", Name: "rg.c.np.000000"},
		Pool:  "np", Image: "registry.berth.internal/berth/node-v1.37.2:1", CPUs: 2, MemoryMiB: 8192, DiskGiB: 30,
		Files: map[string][]byte{"machine.json": []byte("{}")},
	}
}

func TestPodIsAMachine(t *testing.T) {
	pod := renderPod(someMachine(), Options{PriorityClassName: "machines"})
	spec, container := pod.Spec, pod.Spec.Containers[0]
	for why, ok := range map[string]bool{
		"it lives in its cluster's machine namespace":            pod.Namespace == "mc-k3v9x0a1b2c3" && pod.Name == "aks-np-12345678-vmss000000",
		"its host name is its node's":                            spec.Hostname == pod.Name,
		"it is privileged: it runs containers itself":            *container.SecurityContext.Privileged,
		"it knows nothing of the management cluster":             !*spec.AutomountServiceAccountToken && !*spec.EnableServiceLinks && spec.DNSPolicy == corev1.DNSDefault,
		"it comes back when its PID 1 ends":                      spec.RestartPolicy == corev1.RestartPolicyAlways && *spec.TerminationGracePeriodSeconds == 30,
		"it has the priority that the installation chose":        spec.PriorityClassName == "machines",
		"its image runs as it is":                                container.Command == nil && container.Args == nil && container.Image == someMachine().Image,
		"it may use what its size says":                          container.Resources.Limits.Cpu().Value() == 2 && container.Resources.Limits.Memory().Value() == 8192<<20,
		"and sets aside little of it":                            container.Resources.Requests.Cpu().MilliValue() < 200 && container.Resources.Requests.Memory().Value() < 512<<20,
		"machines of a pool spread where they can, and must not": spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil && len(spec.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution) == 2,
	} {
		if !ok {
			t.Errorf("not true: %s", why)
		}
	}
	if owner, ok := Owner(pod); !ok || owner != someMachine().Owner {
		t.Errorf("owner %v, %v", owner, ok)
	}
	for _, options := range CacheOptions() {
		if !options.Label.Matches(klabels.Set(pod.Labels)) || options.Label.Matches(klabels.Set{"app": "kube"}) {
			t.Errorf("the cache's selector %s does not tell machines from others", options.Label)
		}
	}
}

func TestPodVolumes(t *testing.T) {
	spec := renderPod(someMachine(), Options{}).Spec
	mounts := map[string]string{}
	for _, mount := range spec.Containers[0].VolumeMounts {
		mounts[mount.MountPath] = mount.Name
	}
	for path, what := range map[string]string{
		"/var/lib/containerd": "disk", "/var/lib/kubelet": "disk", "/var/log": "disk",
		"/run": "memory", "/etc/berth/machine": "secret",
	} {
		i := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == mounts[path] })
		if i < 0 {
			t.Errorf("%s is not mounted", path)
			continue
		}
		volume := spec.Volumes[i]
		switch disk := volume.EmptyDir; what {
		case "disk":
			if disk == nil || disk.Medium != "" || disk.SizeLimit.Value() != 30<<30 {
				t.Errorf("%s: %+v, want a disk of 30 GiB", path, volume)
			}
		case "memory":
			if disk == nil || disk.Medium != corev1.StorageMediumMemory {
				t.Errorf("%s: %+v, want memory", path, volume)
			}
		case "secret":
			if volume.Secret == nil || volume.Secret.SecretName != someMachine().Name || *volume.Secret.DefaultMode != 0o400 {
				t.Errorf("%s: %+v, want the machine's Secret, for root alone", path, volume)
			}
		}
	}
}

func TestObserve(t *testing.T) {
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	with := func(phase corev1.PodPhase, ip string, state corev1.ContainerState, restarts int32) *corev1.Pod {
		pod := renderPod(someMachine(), Options{})
		pod.UID, pod.Status.Phase, pod.Status.PodIP = "u", phase, ip
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: ContainerName, State: state, RestartCount: restarts}}
		return pod
	}
	deleted := with(corev1.PodRunning, "100.64.0.2", running, 0)
	deleted.DeletionTimestamp = &metav1.Time{}
	unschedulable := with(corev1.PodPending, "", corev1.ContainerState{}, 0)
	unschedulable.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes"}}
	evicted := with(corev1.PodFailed, "100.64.0.2", corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error"}}, 0)
	evicted.Status.Reason, evicted.Status.Message = "Evicted", "disk full"
	waiting := func(reason, message string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	}
	for _, c := range []struct {
		why  string
		pod  *corev1.Pod
		want machine.Observation
	}{
		{"a pod that waits for a node says so", unschedulable, machine.Observation{State: machine.Starting, Message: "Unschedulable: 0/1 nodes"}},
		{"being created is no news", with(corev1.PodPending, "", waiting("ContainerCreating", ""), 0), machine.Observation{State: machine.Starting}},
		{"an image that cannot be pulled is", with(corev1.PodPending, "", waiting("ErrImagePull", "no such image"), 0), machine.Observation{State: machine.Starting, Message: "ErrImagePull: no such image"}},
		{"the first boot", with(corev1.PodRunning, "100.64.0.2", running, 0), machine.Observation{State: machine.Running, Address: "100.64.0.2", Boots: 1}},
		{"the third boot", with(corev1.PodRunning, "100.64.0.2", running, 2), machine.Observation{State: machine.Running, Address: "100.64.0.2", Boots: 3}},
		{"without an address nothing reaches it", with(corev1.PodRunning, "", running, 0), machine.Observation{State: machine.Starting, Boots: 1}},
		{"a PID 1 that keeps ending", with(corev1.PodRunning, "100.64.0.2", waiting("CrashLoopBackOff", "back-off"), 4), machine.Observation{State: machine.Starting, Address: "100.64.0.2", Boots: 4, Message: "CrashLoopBackOff: back-off"}},
		{"the kubelet put it out", evicted, machine.Observation{State: machine.Failed, Address: "100.64.0.2", Boots: 1, Message: "Evicted: disk full"}},
		{"it is being removed", deleted, machine.Observation{State: machine.Stopping, Address: "100.64.0.2", Boots: 1}},
	} {
		c.want.Incarnation = "u"
		if got := observe(c.pod); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.why, got, c.want)
		}
	}
}
