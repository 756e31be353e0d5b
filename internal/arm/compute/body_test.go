package compute

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"berth.dev/berth/internal/arm"
)

// shownSet is a scale set as it is shown, with one field of each form.
func shownSet() map[string]any {
	return map[string]any{
		"id": "/subscriptions/s", "name": "set", "location": "westeurope", "tags": map[string]any{"a": "b"}, "sku": map[string]any{"name": "Standard_D2s_v3", "capacity": 3},
		"properties": map[string]any{
			"overprovision": false, "provisioningState": "Succeeded", "platformFaultDomainCount": 1,
			"virtualMachineProfile": map[string]any{"osProfile": map[string]any{"disablePasswordAuthentication": true}, "extensions": []any{map[string]any{"name": "x"}}},
		},
	}
}

func isRefusal(err error) bool {
	var refusal *arm.Error
	return errors.As(err, &refusal) && refusal.Status == http.StatusBadRequest
}

// What a body asks for is done, as it is already, or refused by name.
func TestReadChange(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:                                              "",
		`{"tags": {"a": "c"}}`:                            "",
		`{"tags": null, "sku": null}`:                     "",
		`{"sku": {"capacity": 2}}`:                        "",
		`{"sku": {"capacity": 2.5}}`:                      "sku.capacity",
		`{"sku": {"capacity": 1e300}}`:                    "sku.capacity",
		`{"sku": {"name": "other"}}`:                      "sku.name",
		`{"sku": "x"}`:                                    "sku",
		`{"tags": {"a": 1}}`:                              "tags",
		`{"sku": "map[capacity:3 name:Standard_D2s_v3]"}`: "sku",
		`{"tags": []}`:                                    "tags",
		`{"location": "West Europe"}`:                     "",
		`{"location": "mars"}`:                            "location",
		`{"id": "x", "etag": "y"}`:                        "",
		`{"properties": {"overprovision": true}}`:         "overprovision",
		`{"properties": {"virtualMachineProfile": {"osProfile": {"disablePasswordAuthentication": false}}}}`:  "virtualMachineProfile.osProfile.disablePasswordAuthentication",
		`{"properties": {"virtualMachineProfile": {"extensions": []}}}`:                                       "virtualMachineProfile.extensions",
		`{"properties": {"platformFaultDomainCount": 0}}`:                                                     "platformFaultDomainCount",
		`{"properties": {"virtualMachineProfile": {"osProfile": {"customData": "", "adminPassword": null}}}}`: "",
		`{"sku.capacity": 1}`:             "sku.capacity",
		`{"": {"tags": {"a": "c"}}}`:      "",
		`{"properties.timeCreated": "x"}`: "properties.timeCreated",
	} {
		sent := map[string]any{}
		if err := json.Unmarshal([]byte(body), &sent); err != nil {
			t.Fatal(err)
		}
		_, err := readChange(sent, shownSet())
		refused := want != "" || body == `{"": {"tags": {"a": "c"}}}`
		if refused != (err != nil) || err != nil && (!isRefusal(err) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q refused", body, err, want)
		}
	}
}

// ask lists what a body says, as steps to a value.
func ask(value any, steps []string, into map[string]any) {
	switch typed := value.(type) {
	case map[string]any:
		for name, one := range typed {
			ask(one, append(slices.Clone(steps), name), into)
		}
	case []any:
		for i, one := range typed {
			ask(one, append(slices.Clone(steps), fmt.Sprint(i)), into)
		}
	default:
		into[strings.Join(steps, "\x00")] = value
	}
}

// FuzzScaleSetBody: whatever is sent, it is answered or refused; of what is taken nothing
// is forgotten: each value is a tag, the capacity, read-only, nothing, or as it is.
func FuzzScaleSetBody(f *testing.F) {
	for _, body := range []string{
		`{"tags": {"a": "c", "b": null}, "sku": {"capacity": 1}}`, `{"properties": {"overprovision": null, "provisioningState": "Failed"}}`,
		`{"": {"tags": 1}}`, `{"sku.capacity": 1}`, `{"sku": {"capacity": -1e18}}`, `{"properties": {"virtualMachineProfile": {"extensions": [{"name": "X"}]}}}`, `{"location": "West Europe", "TAGS": {}}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) { taken(t, body) })
}

// taken checks one body, and says whether it was taken.
func taken(t *testing.T, body string) bool {
	t.Helper()
	sent := map[string]any{}
	if json.Unmarshal([]byte(body), &sent) != nil {
		return false
	}
	got, err := readChange(sent, shownSet())
	if err != nil {
		if !isRefusal(err) {
			t.Fatalf("%q: %v", body, err)
		}
		return false
	}
	raw, _ := json.Marshal(shownSet())
	shown := map[string]any{}
	if err := json.Unmarshal(raw, &shown); err != nil {
		t.Fatal(err)
	}
	asked, have := map[string]any{}, map[string]any{}
	ask(sent, nil, asked)
	ask(shown, nil, have)
	for key, value := range asked {
		steps := strings.Split(key, "\x00")
		readable := slices.ContainsFunc(readOnly, func(path string) bool {
			of := strings.Split(path, ".")
			return len(steps) >= len(of) && slices.Equal(steps[:len(of)], of)
		})
		switch {
		case steps[0] == "tags" && len(steps) <= 2 && (got.tags != nil || value == nil), readable, !says(value) && !says(have[key]), value == nil:
		case slices.Equal(steps, []string{"sku", "capacity"}) && got.capacity != nil && float64(*got.capacity) == value:
		case strings.EqualFold(fmt.Sprint(value), fmt.Sprint(have[key])):
		case key == "location" && arm.NormalLocation(fmt.Sprint(value)) == "westeurope":
		default:
			t.Fatalf("%q is taken, and %q forgotten", body, steps)
		}
	}
	return true
}

// FuzzRunCommand: a command that is taken has what was sent, and nothing that an
// environment or a program's arguments cannot hold.
func FuzzRunCommand(f *testing.F) {
	for _, body := range []string{
		`{"commandId": "RunShellScript", "script": ["echo $1", "env"], "parameters": [{"name": "arg1", "value": "a b"}, {"name": "WHO", "value": "me"}]}`,
		`{"commandId": "runshellscript", "script": ["\u0000"]}`, `{"commandId": "RunShellScript", "script": [""], "parameters": [{"name": "A=B", "value": "\u0000"}]}`,
		`{"commandId": "RunPowerShellScript"}`, `{"commandId": "RunShellScript", "script": null, "parameters": null}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var body runBody
		if json.Unmarshal([]byte(text), &body) != nil {
			return
		}
		command, err := body.command()
		if err != nil {
			if !isRefusal(err) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if command.Script != strings.Join(body.Script, "\n") || strings.TrimSpace(command.Script) == "" || len(command.Script) > maxScript {
			t.Fatalf("%q: the script is %q", text, command.Script)
		}
		if strings.ContainsRune(command.Script, 0) {
			t.Fatalf("%q: no shell runs a script with a character 0", text)
		}
		if len(command.Arguments)+len(command.Environment) != len(body.Parameters) {
			t.Fatalf("%q: a parameter is forgotten", text)
		}
		var arguments, environment []string
		for _, parameter := range body.Parameters {
			if positional.MatchString(parameter.Name) {
				arguments = append(arguments, parameter.Value)
			} else {
				environment = append(environment, parameter.Name+"="+parameter.Value)
			}
		}
		if !reflect.DeepEqual(arguments, command.Arguments) || !reflect.DeepEqual(environment, command.Environment) || strings.Contains(strings.Join(append(arguments, environment...), ""), "\x00") {
			t.Fatalf("%q: %q and %q", text, command.Arguments, command.Environment)
		}
	})
}
