package backup

import (
	"bytes"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/encoding/protowire"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

// Only what Kubernetes writes again by itself counts as lost to nobody.
func TestWrittenAgain(t *testing.T) {
	node := &corev1.Node{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"}, ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	beats := node.DeepCopy()
	beats.ManagedFields, beats.ResourceVersion = []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}, "7"
	beats.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	cordoned := beats.DeepCopy()
	cordoned.Spec.Unschedulable = true
	pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	made := pod.DeepCopy()
	made.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "r", Controller: new(true)}}
	drawn := &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Name: "c"}}
	drawn.OwnerReferences = []metav1.OwnerReference{{APIVersion: "example.com/v1", Kind: "Database", Name: "d", Controller: new(true)}}
	slice := &discoveryv1.EndpointSlice{TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}, ObjectMeta: metav1.ObjectMeta{Name: "s"}}
	kept := slice.DeepCopy()
	kept.Labels = map[string]string{discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"}
	byHand := slice.DeepCopy()
	byHand.Labels = map[string]string{discoveryv1.LabelManagedBy: "cluster-admins"}
	labelled := pod.DeepCopy()
	labelled.Labels = kept.Labels
	endpoints := &corev1.Endpoints{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Endpoints"}, ObjectMeta: metav1.ObjectMeta{Name: "e"}} //nolint:staticcheck // clusters have them still
	endpoints.Labels = map[string]string{"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
	request := &certificatesv1.CertificateSigningRequest{TypeMeta: metav1.TypeMeta{APIVersion: "certificates.k8s.io/v1", Kind: "CertificateSigningRequest"}}
	approved := request.DeepCopy()
	approved.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved}}
	claim := &resourcev1.ResourceClaim{TypeMeta: metav1.TypeMeta{APIVersion: "resource.k8s.io/v1", Kind: "ResourceClaim"}, ObjectMeta: metav1.ObjectMeta{Name: "d"}}
	given := claim.DeepCopy()
	given.Status.Allocation = &resourcev1.AllocationResult{}
	custom := []byte(`{"apiVersion":"example.com/v1","kind":"Thing","status":{"a":1}}`)
	for _, c := range []struct {
		why, key    string
		before, now []byte
		want        bool
	}{
		{"a lease", "/registry/leases/kube-node-lease/n", nil, []byte("any"), true},
		{"an event", "/registry/events/default/e", nil, []byte("any"), true},
		{"the API server's mark of compaction", "compact_rev_key", nil, []byte("7"), true},
		{"a node says how it is", "/registry/minions/n", stored(t, node), stored(t, beats), true},
		{"a node says how it is in a field that is not known here", "/registry/minions/n", stored(t, node), newer(t, beats, 3), true},
		{"a node gets a field that is not known here", "/registry/minions/n", stored(t, node), newer(t, beats, 2), false},
		{"its metadata get one", "/registry/minions/n", stored(t, node), newer(t, beats, 1), false},
		{"a node in JSON says how it is", "/registry/minions/n", []byte(`{"apiVersion":"v1","kind":"Node","spec":{"newer":1}}`), []byte(`{"apiVersion":"v1","kind":"Node","spec":{"newer":1},"status":{"newer":2}}`), true},
		{"a node in JSON gets a field that is not known here", "/registry/minions/n", []byte(`{"apiVersion":"v1","kind":"Node"}`), []byte(`{"apiVersion":"v1","kind":"Node","spec":{"newer":1}}`), false},
		{"what is no message", "/registry/minions/n", stored(t, node), []byte("k8s\x00\xff\xff"), false},
		{"a node is cordoned", "/registry/minions/n", stored(t, node), stored(t, cordoned), false},
		{"what it was before is gone", "/registry/minions/n", nil, stored(t, beats), false},
		{"a pod of nobody's", "/registry/pods/default/p", nil, stored(t, pod), false},
		{"a pod of a controller's", "/registry/pods/default/p", nil, stored(t, made), true},
		{"somebody's endpoints", "/registry/endpointslices/default/s", nil, stored(t, slice), false},
		{"a controller's endpoints", "/registry/endpointslices/default/s", nil, stored(t, kept), true},
		{"endpoints that somebody keeps by hand", "/registry/endpointslices/default/s", nil, stored(t, byHand), false},
		{"endpoints of the older kind", "/registry/services/endpoints/default/e", nil, stored(t, endpoints), true},
		{"a pod that has a label of endpoints'", "/registry/pods/default/p", nil, stored(t, labelled), false},
		{"what is made of a custom resource", "/registry/configmaps/default/c", nil, stored(t, drawn), false},
		{"an approval", "/registry/certificatesigningrequests/c", stored(t, request), stored(t, approved), false},
		{"a device is given to a pod", "/registry/resourceclaims/default/d", stored(t, claim), stored(t, given), false},
		{"a custom resource", "/registry/example.com/things/default/t", custom, custom, false},
		{"what is encrypted", "/registry/secrets/default/s", nil, []byte("k8s:enc:aescbc:v1:key:x"), false},
		{"a key of another", "/other", nil, []byte("x"), false},
	} {
		event := &clientv3.Event{Type: clientv3.EventTypePut, Kv: &mvccpb.KeyValue{Key: []byte(c.key), Value: c.now, CreateRevision: 7, ModRevision: 7}}
		if c.before != nil {
			event.Kv.CreateRevision, event.PrevKv = 5, &mvccpb.KeyValue{Key: event.Kv.Key, Value: c.before}
		} else if c.key == "/registry/minions/n" {
			event.Kv.CreateRevision = 5
		}
		if got := writtenAgain(event); got != c.want {
			t.Errorf("%s: %t, want %t", c.why, got, c.want)
		}
	}
	gone := &clientv3.Event{Type: clientv3.EventTypeDelete, Kv: &mvccpb.KeyValue{Key: []byte("/registry/pods/default/p")}}
	if writtenAgain(gone) {
		t.Error("a deletion is made again by nobody")
	}
}

// stored is an object as the API server stores it.
func stored(t *testing.T, object runtime.Object) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(object, &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// newer is an object as a newer API server stores it: a field that is not known here is added to
// one of its three: metadata, spec and status.
func newer(t *testing.T, object runtime.Object, within protowire.Number) []byte {
	t.Helper()
	var wrapped runtime.Unknown
	if err := wrapped.Unmarshal(bytes.TrimPrefix(stored(t, object), protobufMark)); err != nil {
		t.Fatal(err)
	}
	fields, ok := fieldsOf(wrapped.Raw)
	if !ok {
		t.Fatal("the object is no message")
	}
	raw := []byte{}
	for number := protowire.Number(1); number <= 3; number++ {
		value := []byte(fields[number][0])
		if number == within {
			value = protowire.AppendString(protowire.AppendTag(value, 1000, protowire.BytesType), "new")
		}
		raw = protowire.AppendBytes(protowire.AppendTag(raw, number, protowire.BytesType), value)
	}
	wrapped.Raw = raw
	out, err := wrapped.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes.Clone(protobufMark), out...)
}

// Histories are the same up to the first revision that differs, from the first that both know.
func TestSharedHistory(t *testing.T) {
	for _, c := range []struct {
		why          string
		stored, held prints
		want         int64
	}{
		{"all is the same", prints{3: 1, 4: 2}, prints{3: 1, 4: 2}, 4},
		{"one goes on", prints{3: 1, 4: 2, 5: 3}, prints{3: 1, 4: 2}, 4},
		{"another one", prints{3: 1, 4: 2, 5: 3}, prints{3: 1, 4: 9, 5: 3}, 3},
		{"what was recorded begins later", prints{4: 2}, prints{3: 1, 4: 2}, 4},
		{"from the beginning another", prints{3: 1}, prints{3: 2}, 0},
		{"a gap in what was recorded", prints{3: 1, 5: 3}, prints{3: 1, 4: 2, 5: 3}, 3},
		{"nothing was recorded", nil, prints{3: 1}, 0},
	} {
		if got := shared(c.stored, c.held, span{3, 5}); got != c.want {
			t.Errorf("%s: %d, want %d", c.why, got, c.want)
		}
	}
}
