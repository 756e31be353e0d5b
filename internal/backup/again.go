package backup

import (
	"bytes"
	"reflect"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// renewed are where the API server keeps what Kubernetes itself renews all the time: leases of
// nodes and of leaders, events, and the API server's own marks.
var renewed = []string{"/registry/leases/", "/registry/events/", "/registry/masterleases/", "compact_rev_key"}

// reported are where it keeps kinds whose status alone somebody counts on: who approves them, or
// has been given what is in it (a certificate, a device).
var reported = []string{"/registry/certificatesigningrequests/", "/registry/podcertificaterequests/", "/registry/resourceclaims/"}

// controlled are the labels by which a controller of Kubernetes says that endpoints are its own:
// where it keeps them, and what the label says. Whoever keeps others by hand has another word there
// (Kubernetes, "EndpointSlices", "Management").
var controlled = []struct{ within, label, value string }{
	{"/registry/endpointslices/", "endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io"},
	{"/registry/endpointslices/", "endpointslice.kubernetes.io/managed-by", "endpointslicemirroring-controller.k8s.io"},
	{"/registry/services/endpoints/", "endpoints.kubernetes.io/managed-by", "endpoint-controller"},
}

// writtenAgain says whether what a write did is done again by itself if it is lost: it renews
// something, a controller makes it of another object, or nothing but a status changes, which
// says what is (Kubernetes' API conventions, "Spec and Status").
func writtenAgain(event *clientv3.Event) bool {
	key := string(event.Kv.Key)
	if within(renewed, key) {
		return true
	}
	if event.Type == clientv3.EventTypeDelete || within(reported, key) {
		return false
	}
	now := decode(event.Kv.Value)
	switch {
	case now == nil:
		return false
	case keptByController(key, now):
		return true
	case event.IsCreate():
		return madeByController(now)
	case event.PrevKv == nil:
		return false
	}
	before := decode(event.PrevKv.Value)
	return before != nil && reflect.DeepEqual(wanted(before), wanted(now))
}

// keptByController says whether the endpoints at a key are those of a controller of Kubernetes.
func keptByController(key string, now *unstructured.Unstructured) bool {
	for _, c := range controlled {
		if strings.HasPrefix(key, c.within) && now.GetLabels()[c.label] == c.value {
			return true
		}
	}
	return false
}

// madeByController says whether an object was made of another one of a kind that Kubernetes
// has. What is made of a custom resource may hold what is drawn once, such as a password.
func madeByController(now *unstructured.Unstructured) bool {
	owner := metav1.GetControllerOf(now)
	return owner != nil && scheme.Scheme.Recognizes(schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind))
}

func within(prefixes []string, key string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// decode reads an object of a kind that Kubernetes has; nil if it is none, such as one that
// is encrypted, or a custom resource, of whose status nobody knows who counts on it.
func decode(value []byte) *unstructured.Unstructured {
	if !bytes.HasPrefix(value, []byte("k8s\x00")) && !bytes.HasPrefix(value, []byte("{")) {
		return nil
	}
	object, _, err := scheme.Codecs.UniversalDeserializer().Decode(value, nil, nil)
	if err != nil {
		return nil
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil
	}
	return &unstructured.Unstructured{Object: fields}
}

// wanted is an object without what says how it is.
func wanted(object *unstructured.Unstructured) map[string]any {
	object = object.DeepCopy()
	delete(object.Object, "status")
	for _, field := range []string{"managedFields", "resourceVersion", "generation"} {
		unstructured.RemoveNestedField(object.Object, "metadata", field)
	}
	return object.Object
}
