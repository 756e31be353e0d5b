package backup

import (
	"bytes"
	"reflect"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/kubernetes/scheme"
)

// content is an object of a kind that Kubernetes has, as the API server stores it.
type content struct {
	metav1.Object
	// wanted is all of it but what says how it is. What is not known here is in it: an API server
	// may be newer, or older.
	wanted any
}

// protobufMark is what the API server puts before an object in protobuf (Kubernetes' API
// concepts, "Protobuf encoding").
var protobufMark = []byte("k8s\x00")

// unwanted are the fields of an object's metadata that follow from what is done to it.
var unwanted = []struct{ json, field string }{
	{"managedFields", "ManagedFields"}, {"resourceVersion", "ResourceVersion"}, {"generation", "Generation"},
}

// decode reads an object of a kind that Kubernetes has; nil if it is none, such as one that
// is encrypted, or a custom resource, of whose status nobody knows who counts on it.
func decode(value []byte) *content {
	if raw, ok := bytes.CutPrefix(value, protobufMark); ok {
		return decodeProtobuf(value, raw)
	}
	if bytes.HasPrefix(value, []byte("{")) {
		return decodeJSON(value)
	}
	return nil
}

func decodeJSON(value []byte) *content {
	object := &unstructured.Unstructured{}
	if err := json.Unmarshal(value, &object.Object); err != nil || !scheme.Scheme.Recognizes(object.GroupVersionKind()) {
		return nil
	}
	wanted := object.DeepCopy()
	delete(wanted.Object, "status")
	for _, u := range unwanted {
		unstructured.RemoveNestedField(wanted.Object, "metadata", u.json)
	}
	return &content{object, wanted.Object}
}

// decodeProtobuf leaves what is wanted in its bytes: what is decoded has lost each field that
// its type does not have.
func decodeProtobuf(value, raw []byte) *content {
	var wrapped runtime.Unknown
	if err := wrapped.Unmarshal(raw); err != nil || wrapped.ContentEncoding != "" {
		return nil
	}
	typed, _, err := scheme.Codecs.UniversalDeserializer().Decode(value, nil, nil)
	if err != nil {
		return nil
	}
	object, err := meta.Accessor(typed)
	if err != nil {
		return nil
	}
	of := reflect.TypeOf(typed).Elem()
	wanted, ok := fieldsOf(wrapped.Raw)
	number := numberOf(of, "ObjectMeta")
	if !ok || len(wanted[number]) != 1 {
		return nil
	}
	metadata, ok := fieldsOf([]byte(wanted[number][0]))
	if !ok {
		return nil
	}
	delete(wanted, number)
	delete(wanted, numberOf(of, "Status"))
	for _, u := range unwanted {
		delete(metadata, numberOf(reflect.TypeFor[metav1.ObjectMeta](), u.field))
	}
	return &content{object, []any{wrapped.TypeMeta, metadata, wanted}}
}

// fieldsOf splits a message of protobuf into the values of its fields, by their numbers.
func fieldsOf(message []byte) (map[protowire.Number][]string, bool) {
	fields := map[protowire.Number][]string{}
	for len(message) > 0 {
		number, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return nil, false
		}
		length := protowire.ConsumeFieldValue(number, kind, message[tag:])
		if length < 0 {
			return nil, false
		}
		value := message[tag : tag+length]
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
		}
		fields[number] = append(fields[number], string(value))
		message = message[tag+length:]
	}
	return fields, true
}

// numberOf is that of a field in protobuf; zero, which no field has, if there is none.
func numberOf(of reflect.Type, name string) protowire.Number {
	field, ok := of.FieldByName(name)
	if !ok {
		return 0
	}
	parts := strings.Split(field.Tag.Get("protobuf"), ",")
	if len(parts) < 2 {
		return 0
	}
	number, _ := strconv.Atoi(parts[1])
	return protowire.Number(number)
}
