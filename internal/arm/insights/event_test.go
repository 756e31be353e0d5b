package insights

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// Every event of an entry has an id of its own, also where a request's answer and its
// operation's end say the same, and keeps it when another one comes between.
func TestEventsHaveIDsOfTheirOwn(t *testing.T) {
	result := &v1beta1.ActivityResult{Code: v1beta1.ActivityFailed}
	entry := &v1beta1.ActivityLogEntry{ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: "some"}, Status: v1beta1.ActivityStatus{End: result}}
	early := eventsOf(entry)
	entry.Status.Answer = result
	all := eventsOf(entry)
	ids := map[string]bool{}
	for _, e := range all {
		ids[e.id()] = true
	}
	if len(all) != 3 || len(ids) != 3 {
		t.Errorf("%d events have %d ids", len(all), len(ids))
	}
	if early[1].id() != all[2].id() {
		t.Error("the end of an operation had another id before the answer was written")
	}
}
