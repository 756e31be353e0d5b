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
	"k8s.io/client-go/kubernetes/scheme"
)

// renewed are where the API server keeps what Kubernetes itself renews all the time: leases of
// nodes and of leaders, events, and the API server's own marks.
var renewed = []string{"/registry/leases/", "/registry/events/", "/registry/masterleases/", "compact_rev_key"}

// reported are where it keeps kinds whose status alone somebody counts on, who approves them.
var reported = []string{"/registry/certificatesigningrequests/"}

// controlled are the labels by which a controller of Kubernetes says that an object is its own.
var controlled = []string{"endpointslice.kubernetes.io/managed-by", "endpoints.kubernetes.io/managed-by"}

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
	case slices.ContainsFunc(controlled, func(label string) bool { _, has := now.GetLabels()[label]; return has }):
		return true
	case event.IsCreate():
		return metav1.GetControllerOf(now) != nil
	case event.PrevKv == nil:
		return false
	}
	before := decode(event.PrevKv.Value)
	return before != nil && reflect.DeepEqual(wanted(before), wanted(now))
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
