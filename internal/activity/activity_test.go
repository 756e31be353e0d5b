package activity

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/policy"
)

func TestTypeOf(t *testing.T) {
	const group = "/subscriptions/s/resourceGroups/rg"
	for id, want := range map[string]string{
		"/subscriptions/s": "Microsoft.Resources/subscriptions",
		group:              "Microsoft.Resources/subscriptions/resourceGroups",
		"/subscriptions/s/resourceGroups/providers":                                                                 "Microsoft.Resources/subscriptions/resourceGroups",
		"/subscriptions/s/providers/Microsoft.Support":                                                              "Microsoft.Support",
		group + "/providers/Microsoft.ContainerService/managedClusters/c":                                           "Microsoft.ContainerService/managedClusters",
		group + "/providers/Microsoft.ContainerService/managedClusters/providers/agentPools/p":                      "Microsoft.ContainerService/managedClusters/agentPools",
		group + "/providers/Microsoft.ContainerService/managedClusters/c/providers/Microsoft.Authorization/locks/l": "Microsoft.Authorization/locks",
	} {
		if got := TypeOf(id); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
}

func TestClip(t *testing.T) {
	for _, text := range []string{"short", strings.Repeat("ä", maxText), "x" + strings.Repeat("ä", maxText)} {
		got := Clip(text)
		kept, cut := strings.CutSuffix(got, "…")
		if !utf8.ValidString(got) || len(got) > maxText || !strings.HasPrefix(text, kept) || cut != (len(text) > maxText) || len(got) < min(len(text), maxText-1) {
			t.Errorf("%d bytes of %d", len(got), len(text))
		}
	}
}

func newLog(t *testing.T) Log {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return Log{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1beta1.ActivityLogEntry{}).Build(),
		Now:    func() time.Time { return time.Date(2026, 11, 26, 12, 30, 0, 0, time.UTC) }, Log: slog.New(slog.DiscardHandler),
	}
}

// The same notice is one, however often it is told: a step that is repeated after a crash
// tells it again. Another one, and another hour, is another notice.
func TestNoticesAreToldOnce(t *testing.T) {
	log := newLog(t)
	cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "sub-s", Name: "rg.c", UID: "u"}, Spec: v1beta1.ManagedClusterSpec{ResourceGroup: "RG", Name: "C"}}
	tell := func(notice Notice, want int) {
		t.Helper()
		notice.Object, notice.Caller = cluster, "berth/test"
		if err := log.Tell(t.Context(), notice); err != nil {
			t.Fatal(err)
		}
		var list v1beta1.ActivityLogEntryList
		if err := log.Client.List(t.Context(), &list, client.InNamespace("sub-s")); err != nil || len(list.Items) != want {
			t.Fatalf("%d entries, want %d (%v)", len(list.Items), want, err)
		}
	}
	archived := Notice{ActivityNotice: v1beta1.ActivityNotice{Reason: "Archived", Message: "it is archived"}}
	tell(archived, 1)
	tell(archived, 1)
	log.Now = func() time.Time { return time.Date(2026, 11, 26, 13, 30, 0, 0, time.UTC) }
	tell(archived, 2)
	archived.Occasion = "1"
	tell(archived, 3)
	archived.Message = strings.Repeat("other words, same occasion", 100)
	tell(archived, 3)
	var list v1beta1.ActivityLogEntryList
	if err := log.Client.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	if id := "/subscriptions/s/resourceGroups/RG/providers/Microsoft.ContainerService/managedClusters/C"; list.Items[0].Spec.ResourceID != id {
		t.Errorf("the resource is %s, want %s", list.Items[0].Spec.ResourceID, id)
	}
}

// An entry is small, whatever a request's path is.
func TestEntriesAreBounded(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	spec := bounded(v1beta1.ActivitySpec{
		Operation: long, ResourceID: long, Caller: long, CorrelationID: long, Request: &v1beta1.ActivityRequest{ClientRequestID: long, ClientAddress: long},
		Notice: &v1beta1.ActivityNotice{Message: long},
	})
	raw, err := json.Marshal(spec)
	if err != nil || len(raw) > 8*maxText {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}

// What somebody asked for is never made anew as an act of Berth's own, which has room of
// its own in the log.
func TestEntriesOfOperations(t *testing.T) {
	for _, c := range []struct {
		why   string
		spec  v1beta1.OperationSpec
		own   bool
		write string
	}{
		{"asked for", v1beta1.OperationSpec{RequestID: "r"}, false, "/write"},
		{"Berth's own", v1beta1.OperationSpec{State: v1beta1.StateStopping}, true, "/stop/action"},
		{"an instance", v1beta1.OperationSpec{RequestID: "r", Type: v1beta1.OperationInstances, Instances: &v1beta1.InstancesOperation{Action: v1beta1.InstancePowerOff}}, false, "/powerOff/action"},
		{"an instance that goes", v1beta1.OperationSpec{RequestID: "r", Type: v1beta1.OperationInstances, Instances: &v1beta1.InstancesOperation{Action: v1beta1.InstanceDelete}}, false, "/delete"},
		{"one without its part", v1beta1.OperationSpec{Type: v1beta1.OperationInstances}, true, "/write"},
	} {
		entry := ofOperation(&v1beta1.Operation{Spec: c.spec})
		if own := policy.KindOfActivity(&entry) == policy.ActivityOwn; own != c.own || !strings.HasSuffix(entry.Spec.Operation, c.write) {
			t.Errorf("%s: own %v, operation %s", c.why, own, entry.Spec.Operation)
		}
	}
}
