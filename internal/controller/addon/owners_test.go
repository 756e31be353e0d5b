package addon

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/internal/addon"
)

func entry(manager string, operation metav1.ManagedFieldsOperationType, subresource, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: operation, Subresource: subresource, APIVersion: "apps/v1",
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
	}
}

const (
	update = metav1.ManagedFieldsOperationUpdate
	server = metav1.ManagedFieldsOperationApply
)

func TestForeignFields(t *testing.T) {
	own := entry(fieldOwner, server, "", `{"f:spec":{"f:replicas":{}}}`)
	for _, c := range []struct {
		why              string
		theirs           metav1.ManagedFieldsEntry
		fields, managers string
		// kept is what stays with its owner.
		kept string
	}{
		{"a field of somebody else", entry("kubectl-edit", update, "", `{"f:spec":{"f:paused":{}}}`), "spec.paused", "kubectl-edit", ""},
		{"by server-side apply too", entry("helm", server, "", `{"f:spec":{"f:paused":{}}}`), "spec.paused", "helm", ""},
		{"an autoscaler's", entry("kube-controller-manager", update, "scale", `{"f:spec":{"f:replicas":{}}}`), "spec.replicas", "kube-controller-manager", ""},
		{"what reports is nobody's to put back", entry("kube-controller-manager", update, "status", `{"f:status":{"f:replicas":{}}}`), "", "", `{"f:status":{"f:replicas":{}}}`},
		{
			"a hook stays with its owner, the rest does not",
			entry("kubectl", update, "", `{"f:metadata":{"f:annotations":{"f:note":{}}},"f:spec":{"f:paused":{}}}`),
			"spec.paused", "kubectl", `{"f:metadata":{"f:annotations":{"f:note":{}}}}`,
		},
		{"a hook alone is nothing to put back", entry("kubectl", update, "", `{"f:metadata":{"f:annotations":{".":{},"f:note":{}}}}`), "", "",
			`{"f:metadata":{"f:annotations":{".":{},"f:note":{}}}}`},
		{
			"an item of a list",
			entry("kubectl-edit", update, "", `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"coredns\"}":{"f:image":{}}}}}}}`),
			`spec.template.spec.containers[name="coredns"].image`, "kubectl-edit", "",
		},
	} {
		object := &metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{own, c.theirs}}
		found, err := foreignIn("Deployment", "apps/v1", object)
		if err != nil {
			t.Fatal(err)
		}
		if found.String() != c.fields || strings.Join(found.managers, ",") != c.managers {
			t.Errorf("%s: %s by %v", c.why, found, found.managers)
		}
		kept := ""
		for _, e := range found.owners {
			if !isOurs(e) {
				kept += e.FieldsV1.GetRawString()
			} else if !strings.Contains(e.FieldsV1.GetRawString(), `"f:replicas"`) {
				t.Errorf("%s: Berth's own fields are lost: %s", c.why, e.FieldsV1.GetRawString())
			}
		}
		if kept != c.kept {
			t.Errorf("%s: kept %s, want %s", c.why, kept, c.kept)
		}
	}
}

func TestForeignFieldsAreNamedInShort(t *testing.T) {
	object := &metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{
		entry("kubectl", update, "", `{"f:data":{"f:a":{},"f:b":{},"f:c":{},"f:d":{},"f:e":{},"f:f":{}}}`),
	}}
	found, err := foreignIn("ConfigMap", "v1", object)
	if err != nil {
		t.Fatal(err)
	}
	if want := "data.a, data.b, data.c, data.d, 2 more"; found.String() != want {
		t.Errorf("%s, want %s", found, want)
	}
}

func TestSight(t *testing.T) {
	base := func() *metav1.ObjectMeta {
		own := entry(fieldOwner, server, "", `{"f:spec":{"f:replicas":{}}}`)
		own.Time = &metav1.Time{Time: time.Unix(100, 0)}
		return &metav1.ObjectMeta{
			UID: "1", Generation: 1, ResourceVersion: "5", Labels: map[string]string{addon.LabelMode: addon.ModeReconcile},
			ManagedFields: []metav1.ManagedFieldsEntry{own},
		}
	}
	was := sightOf(base())
	if !was.ours {
		t.Error("what Berth applied is not its own")
	}
	for _, c := range []struct {
		why     string
		change  func(*metav1.ObjectMeta)
		differs bool
	}{
		{"nothing", func(*metav1.ObjectMeta) {}, false},
		{"the status was written", func(o *metav1.ObjectMeta) {
			o.ResourceVersion = "6"
			o.ManagedFields = append(o.ManagedFields, entry("kube-controller-manager", update, "status", `{"f:status":{}}`))
		}, false},
		{"the spec was", func(o *metav1.ObjectMeta) { o.Generation = 2 }, true},
		{"it was made anew", func(o *metav1.ObjectMeta) { o.UID = "2" }, true},
		{"it is about to go", func(o *metav1.ObjectMeta) { o.DeletionTimestamp = &metav1.Time{} }, true},
		{"somebody else owns a field", func(o *metav1.ObjectMeta) {
			o.ManagedFields = append(o.ManagedFields, entry("kubectl", update, "", `{"f:metadata":{"f:labels":{"f:a":{}}}}`))
		}, true},
		{"Berth owns less", func(o *metav1.ObjectMeta) { o.ManagedFields[0].FieldsV1 = metav1.NewFieldsV1(`{}`) }, true},
		{"somebody wrote under Berth's name", func(o *metav1.ObjectMeta) { o.ManagedFields[0].Time = &metav1.Time{Time: time.Unix(101, 0)} }, true},
	} {
		now := base()
		c.change(now)
		if (sightOf(now) != was) != c.differs {
			t.Errorf("%s: differs %t", c.why, !c.differs)
		}
	}
	without := base()
	without.Generation = 0
	was = sightOf(without)
	without.ResourceVersion = "6"
	if sightOf(without) == was {
		t.Error("a change of an object without generation does not show")
	}
	theirs := base()
	theirs.Labels[addon.LabelMode] = addon.ModeEnsureExists
	if sightOf(theirs).ours {
		t.Error("what was made once is Berth's to delete")
	}
}
