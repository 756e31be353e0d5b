package activity

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// The log outlives a clock that leaps a year, whenever it is looked at; what has become
// old by the time that passed goes all the same.
func TestTheLogOutlivesALeap(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	const id, day = "11111111-1111-1111-1111-111111111111", 24 * time.Hour
	namespace := v1beta1.SubscriptionNamespace(id)
	entry := func(name string, age time.Duration) client.Object {
		return &v1beta1.ActivityLogEntry{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1beta1.ActivitySpec{Time: metav1.NewMicroTime(now.Add(-age))}}
	}
	store := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		&v1beta1.Subscription{ObjectMeta: metav1.ObjectMeta{Name: id, Annotations: map[string]string{"a": "b"}}},
		entry("new", 0), entry("older", 89*day), entry("oldest", 91*day),
	).Build()
	log := &collector{client: store, now: func() time.Time { return now }}
	look := func(why string, want int) {
		t.Helper()
		result, err := log.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: namespace}})
		if err != nil {
			t.Fatal(err)
		}
		var left v1beta1.ActivityLogEntryList
		if err := store.List(t.Context(), &left); err != nil {
			t.Fatal(err)
		}
		if len(left.Items) != want || result.RequeueAfter <= 0 || result.RequeueAfter > policy.SeenLook {
			t.Errorf("%s: %d entries, again in %s", why, len(left.Items), result.RequeueAfter)
		}
	}
	look("what is older than 90 days goes", 2)
	now = now.Add(365 * day)
	look("the clock leapt", 2)
	look("and is looked at again", 2)
	for hours := range 24 {
		now = now.Add(time.Hour)
		want := 2
		if hours+1 >= 22 { // the leap itself counted for two
			want = 1
		}
		look("time passes", want)
	}
	var subscription v1beta1.Subscription
	if err := store.Get(t.Context(), client.ObjectKey{Name: id}, &subscription); err != nil || subscription.Annotations["a"] != "b" {
		t.Errorf("%v, %v", subscription.Annotations, err)
	}
	// A subscription that is gone has no clock, and its log goes by the machine's.
	if err := store.Delete(t.Context(), &subscription); err != nil {
		t.Fatal(err)
	}
	look("nobody counts", 0)
}
