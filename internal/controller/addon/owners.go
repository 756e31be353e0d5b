package addon

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"berth.dev/berth/internal/addon"
	"berth.dev/berth/internal/policy"
)

// sight is what is kept of a managed object between two looks at it: whether it is as it
// was, and whether Berth made it.
type sight struct {
	print [sha256.Size]byte
	ours  bool
}

// sightOf reduces an object's metadata. Who wrote which field and when stands there, so
// that a change of any field shows, and one of the status does not. What has no generation
// has its version taken: its fields may change with nothing else.
func sightOf(object metav1.Object) sight {
	seen := sight{}
	version := fmt.Sprint(object.GetGeneration())
	if object.GetGeneration() == 0 {
		version = "version " + object.GetResourceVersion()
	}
	sum := sha256.New()
	fmt.Fprintln(sum, object.GetUID(), version, object.GetDeletionTimestamp() != nil)
	for _, entry := range object.GetManagedFields() {
		if entry.Subresource == subresourceStatus {
			continue
		}
		seen.ours = seen.ours || isOurs(entry)
		at := int64(0)
		if entry.Time != nil {
			at = entry.Time.Unix()
		}
		fmt.Fprintln(sum, entry.Manager, entry.Operation, entry.Subresource, entry.APIVersion, at)
		if entry.FieldsV1 != nil {
			sum.Write(entry.FieldsV1.GetRawBytes())
		}
	}
	seen.ours = seen.ours && object.GetLabels()[addon.LabelMode] == addon.ModeReconcile
	sum.Sum(seen.print[:0])
	return seen
}

// subresourceStatus is where controllers report; it is nobody's to put back.
const subresourceStatus = "status"

func isOurs(entry metav1.ManagedFieldsEntry) bool {
	return entry.Manager == fieldOwner && entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == ""
}

// foreign is what others than Berth wrote into a managed object.
type foreign struct {
	// owners are the object's managed fields with that given to Berth: server-side apply
	// removes what Berth owns and does not render.
	owners []metav1.ManagedFieldsEntry
	// fields are what was given, managers who wrote them; empty if there is nothing to put back.
	fields   *fieldpath.Set
	managers []string
}

// foreignIn looks for what others wrote into an object of a kind, but for the hooks
// (policy.ManagedHooks).
func foreignIn(kind, apiVersion string, object metav1.Object) (foreign, error) {
	found := foreign{fields: fieldpath.NewSet()}
	own := metav1.ManagedFieldsEntry{Manager: fieldOwner, Operation: metav1.ManagedFieldsOperationApply, APIVersion: apiVersion, FieldsType: "FieldsV1"}
	owned := fieldpath.NewSet()
	for _, entry := range object.GetManagedFields() {
		if entry.Subresource == subresourceStatus || entry.FieldsV1 == nil {
			found.owners = append(found.owners, entry)
			continue
		}
		set := fieldpath.NewSet()
		if err := set.FromJSON(entry.FieldsV1.GetRawReader()); err != nil {
			return foreign{}, fmt.Errorf("read the fields of %s: %w", entry.Manager, err)
		}
		if isOurs(entry) {
			own, owned = entry, owned.Union(set)
			continue
		}
		theirs, taken := split(kind, object.GetAnnotations(), set)
		if !taken.Empty() {
			found.fields = found.fields.Union(taken)
			found.managers = append(found.managers, entry.Manager)
		}
		if !theirs.Empty() {
			raw, err := theirs.ToJSON()
			if err != nil {
				return foreign{}, fmt.Errorf("write the fields of %s: %w", entry.Manager, err)
			}
			entry.FieldsV1 = metav1.NewFieldsV1(string(raw))
			found.owners = append(found.owners, entry)
		}
	}
	raw, err := owned.Union(found.fields).ToJSON()
	if err != nil {
		return foreign{}, fmt.Errorf("write the fields of %s: %w", fieldOwner, err)
	}
	own.FieldsV1 = metav1.NewFieldsV1(string(raw))
	found.owners = append(found.owners, own)
	found.managers = slices.Compact(slices.Sorted(slices.Values(found.managers)))
	return found, nil
}

// split parts fields into the customer's and those to take.
func split(kind string, annotations map[string]string, fields *fieldpath.Set) (theirs, taken *fieldpath.Set) {
	theirs, taken = fieldpath.NewSet(), fieldpath.NewSet()
	fields.Iterate(func(path fieldpath.Path) {
		names := make([]string, 0, len(path))
		for _, element := range path {
			name := "*"
			if element.FieldName != nil {
				name = *element.FieldName
			}
			names = append(names, name)
		}
		if policy.CustomersField(kind, annotations, names) {
			theirs.Insert(path.Copy())
		} else {
			taken.Insert(path.Copy())
		}
	})
	return theirs, taken
}

// patch is the change of the object's owners, refused if the object is not the one that
// they were read from.
func (f foreign) patch(object metav1.Object) ([]byte, error) {
	raw, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/managedFields", "value": f.owners},
		{"op": "replace", "path": "/metadata/resourceVersion", "value": object.GetResourceVersion()},
	})
	if err != nil {
		return nil, fmt.Errorf("write owners: %w", err)
	}
	return raw, nil
}

// mostFields is how many fields a message names.
const mostFields = 4

// String names the fields, never their values.
func (f foreign) String() string {
	var names []string
	f.fields.Leaves().Iterate(func(path fieldpath.Path) { names = append(names, strings.TrimPrefix(path.String(), ".")) })
	if more := len(names) - mostFields; more > 0 {
		names = append(names[:mostFields], fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}
