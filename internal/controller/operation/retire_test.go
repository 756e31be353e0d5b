package operation

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

// Who waits for an operation can ask for it after its end, also where the machine's clock
// leapt meanwhile.
func TestFinishedOperationsOutliveALeap(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	ended := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	clock, _ := policy.SeenClock{}.Look(ended)
	for _, c := range []struct {
		why   string
		clock string
		after time.Duration
		kept  bool
	}{
		{"it has just ended", "", time.Hour, true},
		{"it ended a day ago", "", 24 * time.Hour, false},
		{"nobody knows of a leap", "", 365 * 24 * time.Hour, false},
		{"the clock leapt", clock.String(), 365 * 24 * time.Hour, true},
	} {
		at := metav1.NewTime(ended)
		op := &v1beta1.Operation{ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: "op"}, Status: v1beta1.OperationStatus{Status: v1beta1.OperationSucceeded, EndTime: &at}}
		subscription := &v1beta1.Subscription{ObjectMeta: metav1.ObjectMeta{Name: "1", Annotations: map[string]string{policy.AnnotationSeenClock: c.clock}}}
		store := fake.NewClientBuilder().WithScheme(scheme).WithObjects(op, subscription).Build()
		r := &reconciler{Config: Config{Now: func() time.Time { return ended.Add(c.after) }}, client: store, reader: store}
		result, err := r.retire(t.Context(), op, defaultRetention)
		if err != nil {
			t.Fatal(err)
		}
		err = store.Get(t.Context(), client.ObjectKeyFromObject(op), op)
		if (err == nil) != c.kept || c.kept != (result.RequeueAfter > 0) {
			t.Errorf("%s: %v, again in %s", c.why, err, result.RequeueAfter)
		}
	}
}
