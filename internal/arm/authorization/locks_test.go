package authorization_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm/armtest"
	"berth.dev/berth/internal/operation"
)

const group = "/subscriptions/" + armtest.Subscription + "/resourceGroups/rg1"

// A lock is owned by what it locks, so that it does not outlive it: a new cluster of the
// same name is not locked. Support's deletions are not held (docs/decisions/0012-locks.md).
func TestLocksGoWithWhatTheyLock(t *testing.T) {
	w := armtest.New(t)
	ctx := t.Context()
	cluster := group + "/providers/Microsoft.ContainerService/managedClusters/c1"
	put(t, w, group+"?api-version=2021-04-01", `{"location": "westus2"}`)
	put(t, w, cluster+"?api-version=2025-02-01",
		`{"location": "westus2", "properties": {"dnsPrefix": "c1", "agentPoolProfiles": [{"name": "np1", "mode": "System", "count": 1}]}}`)
	settle(t, w)
	locked := []string{"/subscriptions/" + armtest.Subscription, group, cluster, cluster + "/agentPools/np1"}
	for _, scope := range locked {
		put(t, w, scope+"/providers/Microsoft.Authorization/locks/l?api-version=2020-05-01", `{"properties": {"level": "CanNotDelete"}}`)
	}
	namespace := v1beta1.SubscriptionNamespace(armtest.Subscription)
	for scope, object := range map[string]client.Object{
		group:                       &v1beta1.ResourceGroup{ObjectMeta: metav1.ObjectMeta{Name: "rg1"}},
		cluster:                     &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: "rg1.c1"}},
		cluster + "/agentPools/np1": &v1beta1.AgentPool{ObjectMeta: metav1.ObjectMeta{Name: "rg1.c1.np1"}},
	} {
		var lock v1beta1.ManagementLock
		for key, into := range map[string]client.Object{object.GetName(): object, v1beta1.LockObjectName(scope, "l"): &lock} {
			if err := w.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: key}, into); err != nil {
				t.Fatal(err)
			}
		}
		if owners := lock.OwnerReferences; len(owners) != 1 || owners[0].UID != object.GetUID() || owners[0].Name != object.GetName() ||
			owners[0].APIVersion != v1beta1.GroupVersion.String() || owners[0].Kind == "" {
			t.Errorf("the lock of %s belongs to %+v", scope, owners)
		}
	}
	op := &v1beta1.Operation{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "support"}, Spec: v1beta1.OperationSpec{
		Type: v1beta1.OperationDelete, State: v1beta1.StateDeleting,
		Target: v1beta1.OperationTarget{Kind: v1beta1.TargetManagedCluster, Name: "rg1.c1", ResourceID: cluster},
	}}
	if err := operation.Begin(ctx, w.Client, w.Client, op); err != nil {
		t.Fatal(err)
	}
	settle(t, w)
	var left v1beta1.ManagementLockList
	if err := w.Client.List(ctx, &left); err != nil {
		t.Fatal(err)
	}
	for _, lock := range left.Items {
		if strings.HasPrefix(lock.Spec.Scope, cluster) {
			t.Errorf("the lock of %s is there without it", lock.Spec.Scope)
		}
	}
	if len(left.Items) != 2 {
		t.Errorf("%d locks are left, want those of the subscription and the group", len(left.Items))
	}
}

func put(t *testing.T, w *armtest.World, path, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, w.Server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+w.Token(t, armtest.ClientID))
	answer, err := w.Server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Body.Close(); answer.StatusCode != http.StatusCreated {
		t.Fatalf("PUT %s: %s", path, answer.Status)
	}
}

func settle(t *testing.T, w *armtest.World) {
	t.Helper()
	if err := w.Settle(context.Background()); err != nil {
		t.Fatal(err)
	}
}
