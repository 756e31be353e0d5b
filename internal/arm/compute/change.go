package compute

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"berth.dev/berth/internal/arm"
)

// change is what a body asks for of a scale set.
type change struct {
	// tags are nil where the body says nothing of them.
	tags     map[string]string
	capacity *int
}

// readOnly are fields that clients send back and that say nothing.
var readOnly = []string{"id", "name", "type", "etag", "identity", "properties.provisioningState", "properties.timeCreated", "properties.uniqueId"}

// readChange reads a body. What it has beside tags and the capacity must be as the scale
// set shows it: anything else is refused by name.
func readChange(sent, shown map[string]any) (change, error) {
	var out change
	raw, err := json.Marshal(shown)
	if err != nil {
		return out, fmt.Errorf("read scale set: %w", err)
	}
	have := map[string]any{}
	if err := json.Unmarshal(raw, &have); err != nil {
		return out, fmt.Errorf("read scale set: %w", err)
	}
	if tags, there := sent["tags"]; there && tags != nil {
		if out.tags, err = readTags(tags); err != nil {
			return out, err
		}
	}
	if sku, ok := sent["sku"].(map[string]any); ok && sku["capacity"] != nil {
		number, ok := sku["capacity"].(float64)
		if !ok || number != float64(int(number)) {
			return out, arm.InvalidParameter("sku.capacity", "The value of parameter sku.capacity is invalid. It must be a whole number.")
		}
		capacity := int(number)
		out.capacity = &capacity
	}
	return out, compare(sent, have, "")
}

func readTags(sent any) (map[string]string, error) {
	object, ok := sent.(map[string]any)
	if !ok {
		return nil, arm.InvalidParameter("tags", "The value of parameter tags is invalid. It must be an object.")
	}
	tags := make(map[string]string, len(object))
	for name, value := range object {
		text, ok := value.(string)
		if !ok && value != nil {
			return nil, arm.InvalidParameter("tags", "The value of parameter tags is invalid. Its values must be strings.")
		}
		tags[name] = text
	}
	return tags, nil
}

// compare refuses the first field that differs from what there is.
func compare(sent, have any, path string) error {
	if slices.Contains(readOnly, path) || path == "tags" || path == "sku.capacity" || !says(sent) && (sent == nil || !says(have)) {
		return nil
	}
	switch typed := sent.(type) {
	case map[string]any:
		mine, _ := have.(map[string]any)
		return compareObject(typed, mine, path)
	case []any:
		mine, _ := have.([]any)
		if len(mine) != len(typed) {
			break
		}
		for i := range typed {
			if err := compare(typed[i], mine[i], fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
		return nil
	default:
		if same(sent, have, path) {
			return nil
		}
	}
	target := strings.TrimPrefix(path, "properties.")
	return arm.InvalidParameter(target,
		"The value of parameter %s is invalid: of a scale set of nodes only the tags can be changed here, and the capacity lowered. Change the agent pool instead.", target)
}

func compareObject(sent, have map[string]any, path string) error {
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		if says(sent[name]) && (name == "" || strings.Contains(name, ".")) {
			// No field is named so, and as a path it would be taken for another one.
			return arm.InvalidParameter(name, "The value of parameter %q is invalid: a scale set has no such field.", name)
		}
		if err := compare(sent[name], have[name], strings.TrimPrefix(path+"."+name, ".")); err != nil {
			return err
		}
	}
	return nil
}

// same says whether a simple value is what there is.
func same(sent, have any, path string) bool {
	switch have.(type) {
	case map[string]any, []any:
		return false
	}
	return path == "location" && arm.NormalLocation(fmt.Sprint(sent)) == arm.NormalLocation(fmt.Sprint(have)) || strings.EqualFold(fmt.Sprint(sent), fmt.Sprint(have))
}

// says says whether a value asks for anything.
func says(value any) bool {
	switch typed := value.(type) {
	case nil:
		return false
	case bool:
		return typed
	case string:
		return typed != ""
	case float64:
		return typed != 0
	case []any:
		return len(typed) > 0
	}
	return true
}
