package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"sigs.k8s.io/yaml"
)

// column is a column of a table: its heading and the path of its value in an object, with dots.
type column struct{ heading, path string }

func checkOutput(format string) error {
	switch format {
	case "table", "json", "yaml", "tsv":
		return nil
	}
	return usageError{fmt.Errorf("--output is %q, want table, json, yaml or tsv", format)}
}

// print writes a value, which is an object or a list of objects, in the format asked for. A table shows the columns.
func (s *session) print(value any, columns []column) error {
	switch s.output {
	case "json":
		return writeJSON(s.streams.Out, value)
	case "yaml":
		text, err := yaml.Marshal(value)
		if err != nil {
			return fmt.Errorf("write yaml: %w", err)
		}
		_, err = s.streams.Out.Write(text)
		return err
	}
	rows := rowsOf(value, columns)
	if s.output == "tsv" {
		return writeTSV(s.streams.Out, rows)
	}
	return writeTable(s.streams.Out, columns, rows)
}

func writeJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

func rowsOf(value any, columns []column) [][]string {
	list, ok := value.([]map[string]any)
	if one, single := value.(map[string]any); !ok && single {
		list = []map[string]any{one}
	}
	rows := make([][]string, 0, len(list))
	for _, object := range list {
		row := make([]string, len(columns))
		for i, c := range columns {
			row[i] = textAt(object, c.path)
		}
		rows = append(rows, row)
	}
	return rows
}

// textAt is the value at a path as a cell of a table; what is not there is empty.
func textAt(object map[string]any, path string) string {
	var value any = object
	for key := range strings.SplitSeq(path, ".") {
		inner, ok := value.(map[string]any)
		if !ok {
			return ""
		}
		value = inner[key]
	}
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return value
	case []any:
		parts := make([]string, len(value))
		for i, part := range value {
			parts[i] = fmt.Sprint(part)
		}
		return strings.Join(parts, ", ")
	default:
		return fmt.Sprint(value)
	}
}

// writeTable writes az's tables: headings, a line below each, two spaces between. An empty list writes nothing.
func writeTable(out io.Writer, columns []column, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	headings, lines := make([]string, len(columns)), make([]string, len(columns))
	widths := make([]int, len(columns))
	for i, c := range columns {
		headings[i] = c.heading
		widths[i] = len(c.heading)
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		lines[i] = strings.Repeat("-", widths[i])
	}
	var text bytes.Buffer
	for _, row := range append([][]string{headings, lines}, rows...) {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		text.WriteString(strings.TrimRight(line.String(), " "))
		text.WriteByte('\n')
	}
	_, err := out.Write(text.Bytes())
	return err
}

func writeTSV(out io.Writer, rows [][]string) error {
	clean := strings.NewReplacer("\t", " ", "\n", " ")
	for _, row := range rows {
		for i := range row {
			row[i] = clean.Replace(row[i])
		}
		if _, err := fmt.Fprintln(out, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return nil
}

// object is an SDK value as az shows it: its properties one level up and the name of its resource group beside them.
func object(resource any) (map[string]any, error) {
	out, err := rawObject(resource)
	if err != nil {
		return nil, err
	}
	return flat(out), nil
}

// flat is what ARM sent as az shows it.
func flat(out map[string]any) map[string]any {
	if properties, ok := out["properties"].(map[string]any); ok {
		delete(out, "properties")
		for key, value := range properties {
			if _, taken := out[key]; taken {
				key += "PropertiesType" // az's name for a pool's own type beside the resource's
			}
			out[key] = value
		}
	}
	if id, ok := out["id"].(string); ok {
		if group := groupOf(id); group != "" {
			out["resourceGroup"] = group
		}
	}
	return out
}

// capture makes a call remember the body of its answer, which has fields that the SDK does not know.
func capture(ctx context.Context) (context.Context, func() (map[string]any, error)) {
	var response *http.Response
	return policy.WithCaptureResponse(ctx, &response), func() (map[string]any, error) {
		payload, err := runtime.Payload(response)
		if err != nil {
			return nil, fmt.Errorf("read the answer: %w", err)
		}
		return rawObject(json.RawMessage(payload))
	}
}

// rawObject is an SDK value as it is on the wire. Numbers keep their digits.
func rawObject(resource any) (map[string]any, error) {
	text, err := json.Marshal(resource)
	if err != nil {
		return nil, fmt.Errorf("show resource: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	out := map[string]any{}
	if err := decoder.Decode(&out); err != nil {
		return nil, fmt.Errorf("show resource: %w", err)
	}
	return out, nil
}

func objects[T any](resources []T) ([]map[string]any, error) {
	out := make([]map[string]any, 0, len(resources))
	for _, resource := range resources {
		one, err := object(resource)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// groupOf is the resource group in an ARM id, whatever the case of its key.
func groupOf(id string) string {
	parts := strings.Split(id, "/")
	for i := 0; i+1 < len(parts); i++ {
		if strings.EqualFold(parts[i], "resourceGroups") {
			return parts[i+1]
		}
	}
	return ""
}
