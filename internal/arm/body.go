package arm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// The struct tag `arm` says what becomes of a field that a client sends. Without
// one the field is honoured: what is sent reaches the struct, and null, "" and 0
// mean "the default".
//
//	arm:"read"       it is read-only and dropped: it comes back in read-modify-write
//	arm:"only=a|b"   only these values are what Berth does; any other is refused
//	arm:"empty"      "" says something else than nothing at all; the field is a pointer
//	arm:"enum=a|b"   honoured; what differs only in case is stored as written here
//
// A field that the struct does not have is refused by name, unless it says
// nothing: null, false, 0, "", or an object or list of nothing else. So no field
// is ever silently ignored.
const bodyTag = "arm"

// Decode reads the request's body into a pointer to a struct by the rules above.
func (r *Request) Decode(into any) error { return DecodeBody(r.body, into) }

// DecodeBody is Decode for a body at hand.
func DecodeBody(body []byte, into any) error {
	document, err := parse(body)
	if err != nil {
		return err
	}
	kept, err := walk(document, reflect.TypeOf(into).Elem(), "", "")
	if err != nil {
		return err
	}
	if kept == nil {
		return nil
	}
	raw, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("rewrite body: %w", err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return invalidContent(err.Error())
	}
	return nil
}

// parse reads one JSON object and nothing after it.
func parse(body []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, invalidContent("it is empty")
	} else if err != nil {
		return nil, invalidContent(err.Error())
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, invalidContent("there is more after the JSON object")
	}
	object, ok := document.(map[string]any)
	if !ok {
		return nil, invalidContent("it must be a JSON object")
	}
	return object, nil
}

func invalidContent(cause string) *Error {
	return Errorf(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", cause)
}

// walk returns what of a value the type honours, nil for nothing.
func walk(value any, kind reflect.Type, tag, path string) (any, error) {
	for kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	rule, list, _ := strings.Cut(tag, "=")
	switch {
	case value == nil || rule == "read":
		return nil, nil
	case rule == "only" && kind.Kind() != reflect.Slice:
		return only(value, strings.Split(list, "|"), path)
	}
	switch kind.Kind() {
	case reflect.Struct:
		return walkObject(value, kind, path)
	case reflect.Map:
		return walkMap(value, kind, path)
	case reflect.Slice:
		return walkList(value, kind, tag, path)
	case reflect.Interface:
		return value, nil
	case reflect.String:
		return walkString(value, rule, list, path)
	case reflect.Bool:
		if _, ok := value.(bool); !ok {
			return nil, wrongType(path, "true or false")
		}
		return value, nil
	default:
		return walkInteger(value, kind, path)
	}
}

func walkObject(value any, kind reflect.Type, path string) (any, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, wrongType(path, "an object")
	}
	fields := fieldsOf(kind)
	kept := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		at := join(path, name)
		field, known := fields[name]
		if !known {
			if blame := meaningful(object[name], at); blame != "" {
				return nil, InvalidParameter(target(blame), "The value of parameter %s is invalid: Berth does not support this field. Leave it out.", target(blame))
			}
			continue
		}
		child, err := walk(object[name], field.Type, field.Tag.Get(bodyTag), at)
		if err != nil {
			return nil, err
		}
		if child != nil {
			kept[name] = child
		}
	}
	return kept, nil
}

// fieldsOf lists a struct's fields by their JSON names, those of embedded structs too.
func fieldsOf(kind reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for i := range kind.NumField() {
		field := kind.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && name == "" {
			maps.Copy(fields, fieldsOf(field.Type))
		} else if name != "" && name != "-" {
			fields[name] = field
		}
	}
	return fields
}

func walkMap(value any, kind reflect.Type, path string) (any, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, wrongType(path, "an object")
	}
	kept := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		child, err := walk(object[name], kind.Elem(), "", join(path, name))
		if err != nil {
			return nil, err
		}
		if child == nil && kind.Elem().Kind() == reflect.String {
			child = ""
		}
		kept[name] = child
	}
	return kept, nil
}

func walkList(value any, kind reflect.Type, tag, path string) (any, error) {
	list, ok := value.([]any)
	if !ok {
		return nil, wrongType(path, "a list")
	}
	kept := make([]any, 0, len(list))
	for i, element := range list {
		at := path + "[" + strconv.Itoa(i) + "]"
		if element == nil {
			return nil, wrongType(at, "something, not null")
		}
		child, err := walk(element, kind.Elem(), tag, at)
		if err != nil {
			return nil, err
		}
		if child == nil {
			child = ""
		}
		kept = append(kept, child)
	}
	if strings.HasPrefix(tag, "only=") {
		return nil, nil
	}
	return kept, nil
}

// walkString drops an empty string, which means the default.
func walkString(value any, rule, list, path string) (any, error) {
	text, ok := value.(string)
	if !ok {
		return nil, wrongType(path, "a string")
	}
	if text == "" && rule != "empty" {
		return nil, nil
	}
	if rule == "enum" {
		for _, name := range strings.Split(list, "|") {
			if strings.EqualFold(name, text) {
				return name, nil
			}
		}
	}
	return text, nil
}

func walkInteger(value any, kind reflect.Type, path string) (any, error) {
	number, ok := value.(json.Number)
	if !ok {
		return nil, wrongType(path, "a number")
	}
	float, err := number.Float64()
	if err != nil || float != float64(int64(float)) || reflect.New(kind).Elem().OverflowInt(int64(float)) {
		return nil, wrongType(path, "a whole number in range")
	}
	return int64(float), nil
}

// only accepts what Berth does anyway.
func only(value any, accepted []string, path string) (any, error) {
	text := fmt.Sprint(value)
	if text == "" || text == "0" {
		return nil, nil
	}
	if number, ok := value.(json.Number); ok {
		if float, err := number.Float64(); err == nil {
			text = strconv.FormatFloat(float, 'f', -1, 64)
		}
	}
	for _, one := range accepted {
		if strings.EqualFold(one, text) {
			return nil, nil
		}
	}
	return nil, InvalidParameter(target(path), "The value of parameter %s is invalid: Berth supports only '%s'.", target(path), strings.Join(accepted, "' or '"))
}

// meaningful finds what in an unknown value asks for something, and "" if nothing does.
func meaningful(value any, path string) string {
	switch typed := value.(type) {
	case nil:
		return ""
	case bool:
		if !typed {
			return ""
		}
	case string:
		if typed == "" {
			return ""
		}
	case json.Number:
		if float, err := typed.Float64(); err == nil && float == 0 {
			return ""
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(typed)) {
			if blame := meaningful(typed[name], join(path, name)); blame != "" {
				return blame
			}
		}
		return ""
	case []any:
		for i, element := range typed {
			if blame := meaningful(element, path+"["+strconv.Itoa(i)+"]"); blame != "" {
				return blame
			}
		}
		return ""
	}
	return path
}

func wrongType(path, want string) *Error {
	return InvalidParameter(target(path), "The value of parameter %s is invalid. It must be %s.", target(path), want)
}

func join(path, name string) string {
	if path == "" {
		return short(name)
	}
	return path + "." + short(name)
}

// target is how AKS names a field: without the "properties" around it.
func target(path string) string { return strings.TrimPrefix(path, "properties.") }

// short keeps what a client sent from flooding an answer.
func short(text string) string {
	const most = 80
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
