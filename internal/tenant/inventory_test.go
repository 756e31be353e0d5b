package tenant_test

import (
	"context"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/internal/tenant"
	"berth.dev/berth/internal/testenv"
)

// changes counts what an inventory tells.
type changes struct {
	mu   sync.Mutex
	told map[string]int
}

func (c *changes) add(id string, ref tenant.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told[id+" "+ref.String()]++
}

func (c *changes) count(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.told[what]
}

func TestInventory(t *testing.T) {
	env := testenv.New(t, testenv.Options{})
	c, err := env.Client()
	if err != nil {
		t.Fatal(err)
	}
	source, heard := &late{client: c}, &changes{told: map[string]int{}}
	kind := corev1.SchemeGroupVersion.WithKind("ConfigMap")
	inventory := &tenant.Inventory[string]{
		Source: source, Kinds: []tenant.Followed{{GroupVersionKind: kind, Namespace: metav1.NamespaceDefault}},
		Labels:  client.MatchingLabels{"ours": "yes"},
		Digest:  func(o *metav1.PartialObjectMetadata) string { return o.Annotations["digest"] },
		Changed: heard.add,
	}
	object := func(namespace, name string, labels map[string]string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels, Annotations: map[string]string{"digest": "1"}}}
	}
	ours := map[string]string{"ours": "yes"}
	first, ref := object("default", "first", ours), tenant.Ref{GroupVersionKind: kind, ObjectKey: client.ObjectKey{Namespace: "default", Name: "first"}}
	for _, o := range []*corev1.ConfigMap{first, object("default", "unlabelled", nil), object("kube-system", "elsewhere", ours)} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	inventory.Keep("a")
	if _, _, known := inventory.Get("a", ref); known {
		t.Error("known before it was asked for")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- inventory.Start(ctx) }()
	const what = "a ConfigMap default/first"
	until(t, "what was there", func() bool { return heard.count(what) == 1 })
	if digest, there, known := inventory.Get("a", ref); digest != "1" || !there || !known {
		t.Errorf("digest %q %t %t", digest, there, known)
	}
	listed := 0
	inventory.Each("a", func(tenant.Ref, string) { listed++ })
	if listed != 1 {
		t.Errorf("%d objects are followed, want the one with the label in its namespace", listed)
	}
	first.Data = map[string]string{"a": "b"}
	if err := c.Update(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	first.Annotations["digest"] = "2"
	if err := c.Update(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	until(t, "another digest", func() bool { digest, _, _ := inventory.Get("a", ref); return digest == "2" && heard.count(what) == 2 })
	first.Labels = nil
	if err := c.Update(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	until(t, "one that lost its label is gone", func() bool { return heard.count(what) == 3 })
	if _, there, known := inventory.Get("a", ref); there || !known {
		t.Errorf("there %t, known %t", there, known)
	}
	inventory.Stop("a")
	if _, _, known := inventory.Get("a", ref); known {
		t.Error("a cluster that was stopped is known")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
