package backup

import (
	"reflect"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	return before != nil && reflect.DeepEqual(before.wanted, now.wanted)
}

// keptByController says whether the endpoints at a key are those of a controller of Kubernetes.
func keptByController(key string, now *content) bool {
	for _, c := range controlled {
		if strings.HasPrefix(key, c.within) && now.GetLabels()[c.label] == c.value {
			return true
		}
	}
	return false
}

// madeByController says whether an object was made of another one of a kind that Kubernetes
// has. What is made of a custom resource may hold what is drawn once, such as a password.
func madeByController(now *content) bool {
	owner := metav1.GetControllerOf(now)
	return owner != nil && scheme.Scheme.Recognizes(schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind))
}

func within(prefixes []string, key string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}
