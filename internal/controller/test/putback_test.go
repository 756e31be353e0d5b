package test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// customer is the field manager of what the tests change.
const customer = client.FieldOwner("kubectl-edit")

var protectionKey = client.ObjectKey{Name: "aks-managed-components"}

func systemKey(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: "kube-system", Name: name}
}

// TestManagedComponents goes over all that customers do to managed components (A7), in one
// cluster.
func TestManagedComponents(t *testing.T) {
	w := newWorld(t)
	w.putBackPlan(time.Millisecond, time.Minute)
	var meanwhile others
	w.nextGuard = func() *guard {
		g := newGuard(0, w.client)
		g.meanwhile = meanwhile.act
		return g
	}
	w.start(w.nextGuard())
	w.create()
	// A first change that is put back shows that they are watched.
	w.putBack("the watches run", &corev1.ConfigMap{}, systemKey("kube-proxy"), func(o client.Object) {
		o.(*corev1.ConfigMap).Data["extra"] = "mine"
	})
	for _, part := range []struct {
		name string
		run  func(*world)
	}{
		{"what is changed or deleted is put back", componentsArePutBack},
		{"hooks stay", hooksStay},
		{"hooks that change meanwhile stay", func(w *world) { hooksStayMeanwhile(w, &meanwhile) }},
		{"customers are refused, Kubernetes is not", customersAreRefused},
		{"so are changes of pods", podsAreRefused},
		{"contested components wait", contestedComponentsWait},
		{"what is no component goes, what cannot become one is replaced", prunesAndReplaces},
	} {
		if !t.Run(part.name, func(sub *testing.T) {
			w.t = sub
			defer func() { w.t = t }()
			part.run(w)
		}) {
			return
		}
	}
	w.delete()
	w.checkGone()
}

// putBackPlan is what the operator asks for from now on.
func (w *world) putBackPlan(delay, calm time.Duration) {
	w.t.Helper()
	service := &v1beta1.ServicePolicy{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.ServicePolicyName}}
	if err := w.client.Delete(w.t.Context(), service); client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
	of := func(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }
	service.ResourceVersion = ""
	service.Spec.AddonPutBack = &v1beta1.AddonPutBack{Delay: of(delay), MaxDelay: of(delay), Calm: of(calm)}
	w.ensure(service)
	w.t.Cleanup(func() { _ = w.client.Delete(context.Background(), service) })
}

// putBack has a customer change an object, and waits until it is as it was.
func (w *world) putBack(why string, object client.Object, key client.ObjectKey, change func(client.Object)) {
	w.t.Helper()
	var before client.Object
	changed := w.get(object, key)
	w.change(changed, func() {
		before = changed.DeepCopyObject().(client.Object)
		change(changed)
	}, customer)
	if equality.Semantic.DeepEqual(desired(before), desired(changed)) {
		w.t.Fatalf("%s: the change changes nothing", why)
	}
	started := time.Now()
	w.eventually("put back: "+why, func() bool {
		return equality.Semantic.DeepEqual(desired(before), desired(w.get(object, key)))
	})
	w.t.Logf("%s: put back after %s", why, time.Since(started).Round(time.Millisecond))
}

func (w *world) get(object client.Object, key client.ObjectKey) client.Object {
	w.t.Helper()
	if err := w.client.Get(w.t.Context(), key, object); err != nil {
		w.t.Fatal(err)
	}
	return object.DeepCopyObject().(client.Object)
}

// desired is an object without what changes by itself.
func desired(object client.Object) map[string]any {
	raw, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	content := map[string]any{}
	if err := json.Unmarshal(raw, &content); err != nil {
		panic(err)
	}
	delete(content, "status")
	metadata := content["metadata"].(map[string]any)
	for _, field := range []string{"resourceVersion", "generation", "managedFields", "uid", "creationTimestamp", "annotations"} {
		delete(metadata, field)
	}
	return content
}

// Whatever a customer changes in a component is put back (A7), whoever owned the field.
func componentsArePutBack(w *world) {
	ctx := w.t.Context()
	for _, c := range []struct {
		why    string
		object client.Object
		key    client.ObjectKey
		change func(client.Object)
	}{
		{"an image", &appsv1.DaemonSet{}, systemKey("kube-proxy"), func(o client.Object) {
			o.(*appsv1.DaemonSet).Spec.Template.Spec.Containers[0].Image = "mine"
		}},
		{"a variable, a container and a selector that were added", &appsv1.Deployment{}, systemKey("coredns"), func(o client.Object) {
			pod := &o.(*appsv1.Deployment).Spec.Template.Spec
			pod.Containers[0].Env = append(pod.Containers[0].Env, corev1.EnvVar{Name: "MINE", Value: "1"})
			pod.Containers = append(pod.Containers, corev1.Container{Name: "mine", Image: "mine"})
			pod.NodeSelector = map[string]string{"mine": "1"}
		}},
		{"an argument that was removed", &appsv1.Deployment{}, systemKey("metrics-server"), func(o client.Object) {
			container := &o.(*appsv1.Deployment).Spec.Template.Spec.Containers[0]
			container.Args = container.Args[:1]
		}},
		{"a default that was changed", &appsv1.Deployment{}, systemKey("coredns"), func(o client.Object) {
			o.(*appsv1.Deployment).Spec.Template.Spec.TerminationGracePeriodSeconds = ptr(int64(1))
		}},
		{"replicas", &appsv1.Deployment{}, systemKey("coredns"), func(o client.Object) { o.(*appsv1.Deployment).Spec.Replicas = ptr(int32(0)) }},
		{"the Corefile", &corev1.ConfigMap{}, systemKey("coredns"), func(o client.Object) { o.(*corev1.ConfigMap).Data["Corefile"] = "." }},
		{"the label that it is found by", &corev1.ConfigMap{}, systemKey("coredns"), func(o client.Object) { o.SetLabels(nil) }},
		{"a label that was added", &corev1.Service{}, systemKey("kube-dns"), func(o client.Object) {
			labels := maps.Clone(o.GetLabels())
			labels["team"] = "mine"
			o.SetLabels(labels)
		}},
		{"where names are asked", &corev1.Service{}, systemKey("kube-dns"), func(o client.Object) {
			o.(*corev1.Service).Spec.Selector["k8s-app"] = "mine"
		}},
		{"a level of pod security", &corev1.Namespace{}, client.ObjectKey{Name: "kube-system"}, func(o client.Object) {
			o.GetLabels()["pod-security.kubernetes.io/enforce"] = "restricted"
		}},
		{"a finalizer", &corev1.Secret{}, systemKey("metrics-server-tls"), func(o client.Object) { o.SetFinalizers([]string{"example.com/mine"}) }},
		{"what refuses, which nothing can protect", &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}, protectionKey, func(o client.Object) {
			o.(*admissionregistrationv1.ValidatingAdmissionPolicyBinding).Spec.ValidationActions = []admissionregistrationv1.ValidationAction{admissionregistrationv1.Audit}
		}},
	} {
		w.putBack(c.why, c.object, c.key, c.change)
	}
	for object, key := range map[client.Object]client.ObjectKey{
		&appsv1.Deployment{}: systemKey("coredns"), &appsv1.DaemonSet{}: systemKey("kube-proxy"), &corev1.ConfigMap{}: systemKey("coredns"),
		&admissionregistrationv1.ValidatingAdmissionPolicy{}: protectionKey, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}: protectionKey,
	} {
		before := w.get(object, key)
		if err := w.client.Delete(ctx, object); err != nil {
			w.t.Fatal(err)
		}
		w.eventually(fmt.Sprintf("%T %s is made again", object, key), func() bool {
			err := w.client.Get(ctx, key, object)
			return err == nil && object.GetUID() != before.GetUID() && equality.Semantic.DeepEqual(desired(before), desired(object))
		})
	}
	w.checkTold("Deployment", "coredns", "it was deleted", "(A7)")
	w.checkTold("DaemonSet", "kube-proxy", "it was deleted", "(A7)")
	w.checkTold("Service", "kube-dns", "kubectl-edit changed", "spec.selector", "(A7)")
}

// checkTold looks for the event on an object.
func (w *world) checkTold(kind, name string, words ...string) {
	w.t.Helper()
	message := ""
	w.eventually("an event on "+name, func() bool {
		var events corev1.EventList
		if err := w.client.List(w.t.Context(), &events, client.InNamespace("kube-system")); err != nil {
			return false
		}
		for _, event := range events.Items {
			if event.InvolvedObject.Kind == kind && event.InvolvedObject.Name == name && event.Source.Component == "addon-manager" {
				message = event.Message
			}
		}
		for _, word := range words {
			if !strings.Contains(message, word) {
				return false
			}
		}
		return true
	})
}

// What is documented as the customer's stays, though the rest of the object is put back.
func hooksStay(w *world) {
	t, ctx := w.t, w.t.Context()
	custom := w.get(&corev1.ConfigMap{}, systemKey("coredns-custom")).(*corev1.ConfigMap)
	w.change(custom, func() {
		custom.Data, custom.Labels = map[string]string{"test.server": "example.org:53 {}"}, nil
	}, customer)
	set := w.get(&appsv1.DaemonSet{}, systemKey("kube-proxy")).(*appsv1.DaemonSet)
	own := set.Spec.Template.Spec.Containers[0].DeepCopy().Resources
	theirs := corev1.ResourceList{corev1.ResourceMemory: own.Limits.Memory().DeepCopy()}
	theirs.Memory().Add(theirs[corev1.ResourceMemory])
	theirs[corev1.ResourceMemory] = *theirs.Memory()
	w.change(set, func() {
		set.Annotations["kubernetes.azure.com/override-requests-limits"] = "enabled"
		set.Spec.Template.Annotations = map[string]string{"kubectl.kubernetes.io/restartedAt": "now", "mine": "1"}
		set.Spec.Template.Spec.Containers[0].Resources.Limits = theirs
		set.Spec.Template.Spec.Containers[0].Image = "mine"
	}, customer)
	w.eventually("the rest is put back", func() bool {
		now := w.get(&appsv1.DaemonSet{}, systemKey("kube-proxy")).(*appsv1.DaemonSet)
		return now.Spec.Template.Spec.Containers[0].Image != "mine" && now.Spec.Template.Annotations["mine"] == ""
	})
	now := w.get(&appsv1.DaemonSet{}, systemKey("kube-proxy")).(*appsv1.DaemonSet)
	if now.Spec.Template.Annotations["kubectl.kubernetes.io/restartedAt"] != "now" {
		t.Error("a restart by kubectl was taken back")
	}
	if got := now.Spec.Template.Spec.Containers[0].Resources; !got.Limits.Memory().Equal(*theirs.Memory()) || !got.Requests.Memory().Equal(*own.Requests.Memory()) {
		t.Errorf("resources with the annotation that leaves them to the customer: %+v", got)
	}
	w.putBack("the annotation again", &appsv1.DaemonSet{}, systemKey("kube-proxy"), func(o client.Object) {
		o.(*appsv1.DaemonSet).Spec.Template.Spec.Containers[0].Image = "mine again"
	})
	w.change(now, func() { now.Annotations["kubernetes.azure.com/override-requests-limits"] = "disabled" }, customer)
	w.eventually("limits are the service's again", func() bool {
		now := w.get(&appsv1.DaemonSet{}, systemKey("kube-proxy")).(*appsv1.DaemonSet)
		return now.Spec.Template.Spec.Containers[0].Resources.Limits.Memory().Equal(*own.Limits.Memory())
	})
	w.eventually("the labels of coredns-custom are back", func() bool {
		return w.get(&corev1.ConfigMap{}, systemKey("coredns-custom")).GetLabels()["addonmanager.kubernetes.io/mode"] == "EnsureExists"
	})
	if data := w.get(&corev1.ConfigMap{}, systemKey("coredns-custom")).(*corev1.ConfigMap).Data; data["test.server"] == "" {
		t.Errorf("what the customer wrote into coredns-custom is lost: %v", data)
	}
	if err := w.client.Delete(ctx, custom); err != nil {
		t.Fatal(err)
	}
	w.eventually("coredns-custom is made again, empty", func() bool {
		var again corev1.ConfigMap
		return w.client.Get(ctx, systemKey("coredns-custom"), &again) == nil && len(again.Data) == 0
	})
}

// others do something right before Berth writes something.
type others struct {
	mu   sync.Mutex
	what string
	do   func()
}

// before asks for something to be done once, before a certain write.
func (o *others) before(what string, do func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.what, o.do = what, do
}

func (o *others) act(what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.do != nil && what == o.what {
		o.do()
		o.do = nil
	}
}

func (o *others) done() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.do == nil
}

// What is the customer's may change between Berth's look at an object and what it writes: it
// stays, and nothing is said to be put back.
func hooksStayMeanwhile(w *world, meanwhile *others) {
	change := func(memory string) {
		last := appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns"}}
		err := changeNow(w.t.Context(), w.client, &last, func() {
			metav1.SetMetaDataAnnotation(&last.ObjectMeta, "kubernetes.azure.com/override-requests-limits", "enabled")
			metav1.SetMetaDataAnnotation(&last.Spec.Template.ObjectMeta, "kubectl.kubernetes.io/restartedAt", memory)
			last.Spec.Template.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}
		}, customer)
		if err != nil {
			w.t.Error(err) // not Fatal: it is called while Berth writes, by another goroutine
		}
	}
	told := w.timesTold("Deployment", "coredns")
	meanwhile.before("apply Deployment kube-system/coredns", func() { change("91Mi") })
	change("90Mi")
	w.eventually("it is changed while Berth looks at it", meanwhile.done)
	w.quiet("the last change stays", func() bool {
		pod := w.get(&appsv1.Deployment{}, systemKey("coredns")).(*appsv1.Deployment).Spec.Template
		return pod.Annotations["kubectl.kubernetes.io/restartedAt"] == "91Mi" && pod.Spec.Containers[0].Resources.Requests.Memory().String() == "91Mi"
	})
	if now := w.timesTold("Deployment", "coredns"); now != told {
		w.t.Errorf("what is the customer's is told of %d times as put back, and was %d times before", now, told)
	}
	dns, last := client.MatchingLabels{"k8s-app": "kube-dns"}, w.get(&appsv1.Deployment{}, systemKey("coredns"))
	var before corev1.PodList
	if err := w.client.List(w.t.Context(), &before, client.InNamespace("kube-system"), dns); err != nil {
		w.t.Fatal(err)
	}
	if err := w.client.Delete(w.t.Context(), last); err != nil {
		w.t.Fatal(err)
	}
	w.eventually("it is made again, without what was the customer's", func() bool {
		var now appsv1.Deployment
		return w.client.Get(w.t.Context(), systemKey("coredns"), &now) == nil && now.UID != last.GetUID()
	})
	w.eventually("the pods of the one before are gone, which no step after this must find", func() bool {
		var pods corev1.PodList
		return w.client.List(w.t.Context(), &pods, client.InNamespace("kube-system"), dns) == nil && !slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool {
			return slices.ContainsFunc(before.Items, func(b corev1.Pod) bool { return b.UID == p.UID })
		})
	})
}

// timesTold is how often it was told that an object was put back.
func (w *world) timesTold(kind, name string) int32 {
	w.t.Helper()
	var events corev1.EventList
	if err := w.client.List(w.t.Context(), &events, client.InNamespace("kube-system")); err != nil {
		w.t.Fatal(err)
	}
	for _, event := range events.Items {
		if event.InvolvedObject.Kind == kind && event.InvolvedObject.Name == name && event.Source.Component == "addon-manager" {
			return event.Count
		}
	}
	return 0
}

// What could not be put back in time is refused, with the clause; Kubernetes' own
// machinery is not.
func customersAreRefused(w *world) {
	t, ctx := w.t, w.t.Context()
	refused := func(why, clause string, write func() error) {
		t.Helper()
		w.eventually(why, func() bool { // a policy that was just put back is in force a moment later
			err := write()
			return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "(support policy "+clause+")")
		})
	}
	dry := client.DryRunAll
	binding := w.get(&rbacv1.ClusterRoleBinding{}, client.ObjectKey{Name: "berth:kube-proxy"}).(*rbacv1.ClusterRoleBinding)
	binding.Subjects = append(binding.Subjects, rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: "mallory"})
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns"}}
	refused("more subjects of a component's rights", "A7", func() error { return w.client.Update(ctx, binding, dry) })
	refused("no rights of a component", "A7", func() error { return w.client.Delete(ctx, binding, dry) })
	refused("all accounts at once", "A7", func() error {
		return w.client.DeleteAllOf(ctx, &corev1.ServiceAccount{}, client.InNamespace("kube-system"), dry)
	})
	refused("a component's account", "A7", func() error { return w.client.Delete(ctx, account, dry) })
	refused("the address of the DNS", "A7", func() error {
		return w.client.Delete(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-dns"}}, dry)
	})
	refused("support's name", "C7", func() error {
		return w.client.Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "aks-service"}}, dry)
	})
	for why, write := range map[string]func() error{
		"a role of the customer's": func() error {
			return w.client.Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "mine", Labels: binding.Labels}}, dry)
		},
		"an account of the same name elsewhere": func() error {
			elsewhere := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "coredns"}}
			w.ensure(elsewhere)
			return w.client.Delete(ctx, elsewhere)
		},
	} {
		if err := write(); err != nil {
			t.Errorf("%s: %v", why, err)
		}
	}
	collector, err := clientAs(shared.Env(t), "system:serviceaccount:kube-system:generic-garbage-collector", "system:serviceaccounts", "system:authenticated")
	if err != nil {
		t.Fatal(err)
	}
	if err := collector.Delete(ctx, account, dry); err != nil {
		t.Errorf("the garbage collector deletes an account: %v", err)
	}
	if err := w.platform.Delete(ctx, account, dry); err != nil {
		t.Errorf("Berth deletes an account: %v", err)
	}
}

// A controller that does not give in is answered more and more slowly, and told of.
func contestedComponentsWait(w *world) {
	w.putBackPlan(time.Second, 10*time.Minute)
	for i := range 4 {
		w.putBack("once more", &appsv1.Deployment{}, systemKey("konnectivity-agent"), func(o client.Object) {
			o.(*appsv1.Deployment).Spec.Replicas = ptr(int32(5 + i))
		})
	}
	w.checkTold("Deployment", "konnectivity-agent", "put back 4 times", "waits 1s")
	contested := func() *metav1.Condition {
		return meta.FindStatusCondition(w.cluster().Status.Conditions, v1beta1.ConditionAddonsContested)
	}
	w.eventually("a condition tells of it", func() bool {
		c := contested()
		return c != nil && c.Status == metav1.ConditionTrue && strings.Contains(c.Message, "Deployment kube-system/konnectivity-agent")
	})
	if c := meta.FindStatusCondition(w.cluster().Status.Conditions, v1beta1.ConditionAddonsApplied); c == nil || c.Status != metav1.ConditionTrue {
		w.t.Errorf("what is put back is applied: %+v", c)
	}
	w.putBackPlan(time.Second, time.Millisecond)
	w.eventually("calm ends it", func() bool { return contested() == nil })
}

// What Berth made and has no more goes; what only looks like it stays. What was made in
// its place while nobody watched and cannot be changed into it is replaced.
func prunesAndReplaces(w *world) {
	t, ctx := w.t, w.t.Context()
	w.stop()
	labels := w.get(&corev1.ConfigMap{}, systemKey("coredns")).GetLabels()
	old := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
	old.SetNamespace("kube-system")
	old.SetName("old-component")
	old.SetLabels(labels)
	if err := w.platform.Apply(ctx, client.ApplyConfigurationFromUnstructured(old), client.FieldOwner("berth")); err != nil {
		t.Fatal(err)
	}
	theirs := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "theirs", Labels: labels}}
	w.ensure(theirs)
	t.Cleanup(func() { _ = w.client.Delete(context.Background(), theirs) })
	dns := w.get(&appsv1.Deployment{}, systemKey("coredns")).(*appsv1.Deployment)
	if err := w.client.Delete(ctx, dns.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	other := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns"}, Spec: *dns.Spec.DeepCopy()}
	other.Spec.Selector.MatchLabels = map[string]string{"app": "other"}
	other.Spec.Template.Labels = map[string]string{"app": "other"}
	if err := w.client.Create(ctx, other, customer); err != nil {
		t.Fatal(err)
	}
	w.start(w.nextGuard())
	w.eventually("coredns is replaced", func() bool {
		var now appsv1.Deployment
		return w.client.Get(ctx, systemKey("coredns"), &now) == nil && equality.Semantic.DeepEqual(desired(dns), desired(&now))
	})
	w.eventually("what is no longer a component goes", func() bool {
		return apierrors.IsNotFound(w.client.Get(ctx, systemKey("old-component"), &corev1.ConfigMap{}))
	})
	if err := w.client.Get(ctx, systemKey("theirs"), theirs); err != nil {
		t.Errorf("what carries the labels alone: %v", err)
	}
}
