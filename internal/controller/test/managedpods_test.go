package test

import (
	"context"
	"maps"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/internal/addon"
)

// A pod that somebody changed would stay as it is for good, since nobody compares it with
// its workload: that is refused (A7). What Kubernetes and kubectl debug do to pods is not, nor
// is what is done to pods of the customer's.
func podsAreRefused(w *world) {
	t := w.t
	theirs := w.podWith(client.MatchingLabels{"k8s-app": "kube-dns"})
	if !addon.Managed(&theirs) {
		t.Fatalf("%+v is no pod of a component", theirs.Labels)
	}
	set := w.get(&appsv1.DaemonSet{}, systemKey("kube-proxy")).(*appsv1.DaemonSet)
	set.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("DaemonSet"))
	proxy := w.pod("kube-system", "kube-proxy-x7k2p", set.Spec.Template.Labels, metav1.NewControllerRef(set, set.GroupVersionKind()))

	image := func(p *corev1.Pod) { p.Spec.Containers[0].Image = "mine" }
	unlabelled := func(p *corev1.Pod) { p.Labels = map[string]string{"k8s-app": p.Labels["k8s-app"]} }
	orphan := func(p *corev1.Pod) { p.OwnerReferences = nil }
	for _, c := range []struct {
		why    string
		pod    *corev1.Pod
		change func(*corev1.Pod)
	}{
		{"another image", &theirs, image},
		{"another image on a node", proxy, image},
		{"an end that its workload does not ask for", proxy, func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = ptr(int64(1)) }},
		{"another image, without the labels", proxy, func(p *corev1.Pod) { unlabelled(p); image(p) }},
		{"no owner, so that the image is free", proxy, orphan},
		{"no controller", proxy, func(p *corev1.Pod) { p.OwnerReferences[0].Controller = ptr(false) }},
	} {
		w.refusedPod(c.why, func() error { return w.dryUpdate(w.client, c.pod, c.change) })
	}
	w.refusedPod("other resources in place", func() error {
		pod := theirs.DeepCopy()
		pod.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("1m")
		return w.client.SubResource("resize").Update(t.Context(), pod, client.DryRunAll)
	})
	if err := w.client.Update(t.Context(), changed(proxy, unlabelled)); err != nil {
		t.Errorf("labels are the customer's: %v", err)
	}
	w.refusedPod("another image, when the labels are gone", func() error { return w.dryUpdate(w.client, proxy, image) })

	labels := maps.Clone(theirs.Labels)
	delete(labels, appsv1.DefaultDeploymentUniqueLabelKey) // by which its ReplicaSet would adopt others
	own := w.pod("kube-system", "own", labels, nil)
	elsewhere := w.pod(metav1.NamespaceDefault, "elsewhere", labels, nil)
	for why, err := range map[string]error{
		"a pod of the customer's with their labels":                 w.dryUpdate(w.client, own, image),
		"one of the customer's Deployment":                          w.dryUpdate(w.client, w.podOfTheirs(), image),
		"one in another namespace":                                  w.dryUpdate(w.client, elsewhere, image),
		"notes":                                                     w.dryUpdate(w.client, &theirs, func(p *corev1.Pod) { p.Annotations = map[string]string{"mine": "1"} }),
		"Berth itself":                                              w.dryUpdate(w.platform, proxy, image),
		"the garbage collector orphans":                             w.dryUpdate(w.as("system:serviceaccount:kube-system:generic-garbage-collector"), proxy, orphan),
		"its controller releases":                                   w.dryUpdate(w.as("system:serviceaccount:kube-system:daemon-set-controller"), proxy, orphan),
		"another one does":                                          w.dryUpdate(w.as("system:serviceaccount:kube-system:replicaset-controller"), &theirs, orphan),
		"a controller keeps a pod until it has counted it":          w.dryUpdate(w.as("system:serviceaccount:kube-system:job-controller"), &theirs, func(p *corev1.Pod) { p.Finalizers = []string{"batch.kubernetes.io/job-tracking"} }),
		"the kubelet and the controllers of taints tell the status": w.status(&theirs),
		"the scheduler binds":                                       w.schedule(&theirs),
		"kubectl debug":                                             w.debug(&theirs),
		"kubectl drain":                                             w.client.SubResource("eviction").Create(t.Context(), &theirs, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: theirs.Namespace, Name: theirs.Name}}, client.DryRunAll),
		"a deletion, which its workload answers":                    w.client.Delete(t.Context(), &theirs, client.DryRunAll),
	} {
		if err != nil {
			t.Errorf("%s: %v", why, err)
		}
	}
}

// refusedPod waits until a write is refused: a policy that was just put back is in force a
// moment later.
func (w *world) refusedPod(why string, write func() error) {
	w.t.Helper()
	w.eventually(why, func() bool {
		err := write()
		return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "(support policy A7)")
	})
}

func changed(pod *corev1.Pod, change func(*corev1.Pod)) *corev1.Pod {
	pod = pod.DeepCopy()
	pod.ResourceVersion = "" // others write its status
	change(pod)
	return pod
}

func (w *world) dryUpdate(c client.Client, pod *corev1.Pod, change func(*corev1.Pod)) error {
	return c.Update(w.t.Context(), changed(pod, change), client.DryRunAll)
}

func (w *world) as(user string) client.Client {
	w.t.Helper()
	c, err := clientAs(shared.Env(w.t), user, "system:masters")
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// pod makes a pod as a controller does, and removes it in the end.
func (w *world) pod(namespace, name string, labels map[string]string, owner *metav1.OwnerReference) *corev1.Pod {
	w.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "one", Image: "one:v1"}}, AutomountServiceAccountToken: ptr(false)},
	}
	if owner != nil {
		pod.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	if err := w.platform.Create(w.t.Context(), pod); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.platform.Delete(context.Background(), pod, client.GracePeriodSeconds(0)) })
	return pod
}

// podWith waits for a pod of kube-system.
func (w *world) podWith(labels client.MatchingLabels) corev1.Pod {
	w.t.Helper()
	var pods corev1.PodList
	w.eventually("there is a pod", func() bool {
		return w.client.List(w.t.Context(), &pods, client.InNamespace("kube-system"), labels) == nil && len(pods.Items) > 0
	})
	return pods.Items[0]
}

// podOfTheirs is one of a customer's Deployment, whose name begins as a component's.
func (w *world) podOfTheirs() *corev1.Pod {
	w.t.Helper()
	labels := map[string]string{"app": "theirs", "kubernetes.azure.com/managedby": "aks"}
	set := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns-theirs"}}
	set.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	set.Spec.Template.Labels = labels
	set.Spec.Template.Spec.Containers = []corev1.Container{{Name: "one", Image: "one:v1"}}
	w.ensure(set)
	w.t.Cleanup(func() {
		_ = w.client.Delete(context.Background(), set, client.PropagationPolicy(metav1.DeletePropagationBackground))
	})
	pod := w.podWith(labels)
	return &pod
}

func (w *world) status(pod *corev1.Pod) error {
	pod = changed(pod, func(p *corev1.Pod) { p.Status.Message = "seen" })
	return w.as("system:node:one").Status().Update(w.t.Context(), pod, client.DryRunAll)
}

func (w *world) schedule(pod *corev1.Pod) error {
	binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: "one"}}
	return w.as("system:kube-scheduler").SubResource("binding").Create(w.t.Context(), pod.DeepCopy(), binding, client.DryRunAll)
}

func (w *world) debug(pod *corev1.Pod) error {
	pod = changed(pod, func(p *corev1.Pod) {
		p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: "debugger", Image: "shell:v1", ImagePullPolicy: corev1.PullIfNotPresent, TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		}}}
	})
	return w.client.SubResource("ephemeralcontainers").Update(w.t.Context(), pod, client.DryRunAll)
}
