package machine

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/machine/memory"
)

func someScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1beta1.AddToScheme, corev1.AddToScheme, admissionv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

// A Machine that was changed since it was read leaves the Node alone until what is done to
// it could be written down: else what somebody else did to it is forgotten, or what the
// service does is taken for somebody else's (B4).
func TestMarkOfAMachineThatMoved(t *testing.T) {
	for _, c := range []struct {
		why    string
		label  string // on the Node, where the service put "agent"
		system string // the sum that the service put there before; empty for what it wants now
		seen   bool   // somebody else's change is told
	}{
		{"somebody changed a label", "mine", "", true},
		{"the service changes one itself", "agent", "other", false},
	} {
		scheme := someScheme(t)
		s := someScene()
		s.ref = machine.Ref{ClusterID: "id", Name: s.object.Spec.NodeName}
		want := wantedNode(s)
		marked := v1beta1.NodeMarks{Node: "uid", System: want.System, Record: want.record()}
		s.node = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: s.ref.Name, UID: types.UID("uid"), Labels: map[string]string{}, Annotations: map[string]string{annotationMarks: marked.Record}}}
		apply(s.node, want, "")
		s.node.Labels["kubernetes.azure.com/role"] = c.label
		if c.system != "" {
			marked.System = c.system
			s.node.Labels["kubernetes.azure.com/node-image-version"] = "before"
		}
		s.object.Status.Marked = &marked
		store := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(s.object).WithObjects(s.object).Build()
		tenant := fake.NewClientBuilder().WithScheme(scheme).WithObjects(s.node).Build()
		s.tenant = tenant
		machineKey, nodeKey := client.ObjectKeyFromObject(s.object), client.ObjectKeyFromObject(s.node)
		read := func() (*v1beta1.Machine, *corev1.Node) {
			t.Helper()
			object, node := &v1beta1.Machine{}, &corev1.Node{}
			if err := store.Get(t.Context(), machineKey, object); err != nil {
				t.Fatal(err)
			}
			if err := tenant.Get(t.Context(), nodeKey, node); err != nil {
				t.Fatal(err)
			}
			return object, node
		}
		s.object, s.node = read()
		moved := s.object.DeepCopy()
		moved.Annotations = map[string]string{"moved": "yes"}
		if err := store.Update(t.Context(), moved); err != nil {
			t.Fatal(err)
		}
		before := s.node.DeepCopy()
		r := New(store, store, Config{})
		if err := r.mark(t.Context(), s, nil); !apierrors.IsConflict(err) {
			t.Fatalf("%s: %v, want a conflict", c.why, err)
		}
		object, node := read()
		if node.ResourceVersion != before.ResourceVersion {
			t.Errorf("%s: the node was changed before that was written down", c.why)
		}
		s.object, s.node = object, node
		if err := r.mark(t.Context(), s, nil); err != nil {
			t.Fatalf("%s: %v", c.why, err)
		}
		object, node = read()
		if told := object.Status.ChangedMetadata; (told != nil) != c.seen || told != nil && !slices.Equal(told.Labels, []string{"kubernetes.azure.com/role"}) {
			t.Errorf("%s: told is %+v", c.why, told)
		}
		if node.Labels["kubernetes.azure.com/role"] != "agent" || *object.Status.Marked != s.marks(want) {
			t.Errorf("%s: %v, %+v", c.why, node.Labels, object.Status.Marked)
		}
	}
}

// A webhook that says nothing, on whatever a machine's end would delete in the cluster,
// holds no stop up (J1); elsewhere it is waited for, and so is an API server that is slow by
// itself, for as long as a drain may take.
func TestAHangingWebhookHoldsNoStopUp(t *testing.T) {
	every := admissionv1.RuleWithOperations{Operations: []admissionv1.OperationType{"*"}, Rule: admissionv1.Rule{APIGroups: []string{"*"}, Resources: []string{"*/*"}}}
	creations := every
	creations.Operations = []admissionv1.OperationType{admissionv1.Create, admissionv1.Update}
	for _, c := range []struct {
		why      string
		stops    bool
		rule     admissionv1.RuleWithOperations
		timeUp   bool
		released bool
	}{
		{"a stop", true, every, false, true},
		{"a pool with fewer nodes", false, every, false, false},
		{"a stop, and no webhook is asked", true, creations, false, false},
		{"the same, when the time of a drain is over", true, creations, true, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			scheme := someScheme(t)
			s := someScene()
			s.ref = machine.Ref{ClusterID: "id", Name: s.object.Spec.NodeName}
			s.timeUp = c.timeUp
			s.object.Finalizers, s.object.Status.BootstrapTokenID = []string{v1beta1.Finalizer}, "abcdef"
			if c.stops {
				s.cluster.Spec.PowerState = &v1beta1.PowerState{Code: v1beta1.PowerStopped}
			}
			store := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(s.object).WithObjects(s.object).Build()
			if err := store.Delete(t.Context(), s.object); err != nil {
				t.Fatal(err)
			}
			if err := store.Get(t.Context(), client.ObjectKeyFromObject(s.object), s.object); err != nil {
				t.Fatal(err)
			}
			pods := make([]client.Object, 0, 20)
			for i := range cap(pods) {
				pods = append(pods, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: string(rune('a' + i))}, Spec: corev1.PodSpec{NodeName: s.ref.Name}})
			}
			s.tenant = fake.NewClientBuilder().WithScheme(scheme).WithObjects(pods...).WithObjects(&admissionv1.MutatingWebhookConfiguration{
				ObjectMeta: metav1.ObjectMeta{Name: "hook"}, Webhooks: []admissionv1.MutatingWebhook{{Name: "w.example.com", Rules: []admissionv1.RuleWithOperations{c.rule}}},
			}).
				WithIndex(&corev1.Pod{}, "spec.nodeName", func(o client.Object) []string { return []string{o.(*corev1.Pod).Spec.NodeName} }).
				WithInterceptorFuncs(interceptor.Funcs{Delete: func(ctx context.Context, _ client.WithWatch, _ client.Object, _ ...client.DeleteOption) error {
					<-ctx.Done()
					return ctx.Err()
				}}).Build()
			r := New(store, store, Config{Provider: memory.New()})
			began := time.Now()
			out, err := r.act(t.Context(), s, StepForget)
			if out.released != c.released || (err == nil) != c.released || time.Since(began) > actTimeout {
				t.Errorf("%s: %+v, %v, after %s", c.why, out, err, time.Since(began))
			}
		})
	}
}

// How long an API server that is slow holds a stop up is bounded for each machine, also for one that was
// never drained; only a drain that began gives up pods.
func TestTimeOfADrainIsUp(t *testing.T) {
	now := time.Now()
	ago := func(d time.Duration) *metav1.Time { at := metav1.NewTime(now.Add(-d)); return &at }
	for _, c := range []struct {
		why              string
		drained, deleted *metav1.Time
		timeUp           bool
		pods             PodState
	}{
		{"it drains", ago(time.Minute), ago(2 * defaultDrainTimeout), false, ""},
		{"it has drained for long", ago(defaultDrainTimeout), ago(defaultDrainTimeout), true, PodsTimeUp},
		{"it never joined, and was deleted a moment ago", nil, ago(time.Minute), false, ""},
		{"it never joined, and was deleted long ago", nil, ago(defaultDrainTimeout), true, ""},
		{"nobody has deleted it", nil, nil, false, ""},
	} {
		store := fake.NewClientBuilder().WithScheme(someScheme(t)).Build()
		r := New(store, store, Config{Provider: memory.New(), Now: func() time.Time { return now }})
		s := someScene()
		s.object.Status.DrainStarted, s.object.DeletionTimestamp, s.situation.Pods, s.node = c.drained, c.deleted, "", nil
		if err := r.observePods(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if s.timeUp != c.timeUp || s.situation.Pods != c.pods {
			t.Errorf("%s: %t, %q", c.why, s.timeUp, s.situation.Pods)
		}
	}
}
