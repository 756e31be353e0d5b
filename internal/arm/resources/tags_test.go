package resources_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm/armtest"
	"berth.dev/berth/internal/policy"
)

// Whoever took one of the system's tags off a node resource group stays named until it is
// back, whoever sets tags of their own meanwhile (B4).
func TestWhoChangedTagsOfNodeGroups(t *testing.T) {
	w := armtest.New(t)
	system := policy.NodeGroupTags(v1beta1.ManagedClusterSpec{Name: "c1", ResourceGroup: "rg1"})
	note, err := json.Marshal(v1beta1.TagsChanged{Time: metav1.Unix(1, 0), By: "first"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		before map[string]string
		same   bool
	}{
		"lacks-one": {map[string]string{policy.TagClusterName: "c1"}, true},
		"has-all":   {system, false},
	} {
		group := &v1beta1.ResourceGroup{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: v1beta1.SubscriptionNamespace(armtest.Subscription), Name: v1beta1.ObjectName(name),
				Annotations: map[string]string{v1beta1.AnnotationSystemTags: policy.RecordTags(system), v1beta1.AnnotationTagsChanged: string(note)},
			},
			Spec: v1beta1.ResourceGroupSpec{Name: name, Location: armtest.Location, ManagedBy: "/a/cluster", Tags: c.before},
		}
		if err := w.Client.Create(t.Context(), group); err != nil {
			t.Fatal(err)
		}
		setTags(t, w, name)
		if err := w.Client.Get(t.Context(), client.ObjectKeyFromObject(group), group); err != nil {
			t.Fatal(err)
		}
		var changed v1beta1.TagsChanged
		if err := json.Unmarshal([]byte(group.Annotations[v1beta1.AnnotationTagsChanged]), &changed); err != nil {
			t.Fatal(err)
		}
		if group.Spec.Tags["team"] != "blue" || (changed.By == "first") != c.same {
			t.Errorf("%s: tags %v, changed by %s", name, group.Spec.Tags, changed.By)
		}
	}
}

func setTags(t *testing.T, w *armtest.World, group string) {
	t.Helper()
	address := w.Server.URL + "/subscriptions/" + armtest.Subscription + "/resourcegroups/" + group + "?api-version=2024-07-01"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, address, strings.NewReader(`{"tags":{"team":"blue"}}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+w.Token(t, armtest.ClientID))
	answer, err := w.Server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("tags of %s: %s", group, answer.Status)
	}
}
