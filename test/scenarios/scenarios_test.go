// Package scenarios runs the ARM API's golden scenarios. A scenario is a folder
// of numbered .http files, sent one after the other to a server of its own; next
// to each stands a .golden file with the answer. README.md tells the format.
// `go test ./test/scenarios -update` writes the golden files anew.
package scenarios

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm/armtest"
	"berth.dev/berth/internal/testenv"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestScenarios(t *testing.T) {
	each(t, func(t *testing.T) *armtest.World { return armtest.New(t) })
}

// TestScenariosOverAPIServer holds the API server that TestScenarios has in
// memory to the real one: every answer must be the same.
func TestScenariosOverAPIServer(t *testing.T) {
	if *update || testing.Short() {
		t.Skip("this only repeats TestScenarios")
	}
	env := testenv.New(t, testenv.Options{})
	c, err := env.Client()
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T) *armtest.World {
		w := armtest.Over(t, c)
		t.Cleanup(func() { w.Wipe(t) })
		return w
	})
}

// each runs every scenario in a world of its own.
func each(t *testing.T, world func(*testing.T) *armtest.World) {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		folder := entry.Name()
		steps, err := filepath.Glob(filepath.Join(folder, "[0-9]*.http"))
		if err != nil || len(steps) == 0 {
			t.Fatalf("scenario %s has no steps: %v", folder, err)
		}
		slices.Sort(steps)
		t.Run(folder, func(t *testing.T) {
			run := &runner{World: world(t), variables: map[string]string{
				"sub": armtest.Subscription, "suspended": armtest.SuspendedSubscription, "other": armtest.OtherSubscription,
				"aks": "/subscriptions/" + armtest.Subscription + "/resourceGroups/rg1/providers/Microsoft.ContainerService/managedClusters",
			}}
			run.variables["host"] = run.Server.URL
			for _, step := range steps {
				run.step(t, step)
			}
		})
	}
}

// runner sends a scenario's requests and remembers what they captured.
type runner struct {
	*armtest.World
	variables map[string]string
}

// request is what an .http file says.
type request struct {
	method, url string
	header      http.Header
	body        string
	directives  []string
}

func (r *runner) step(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	asked := parse(r.expand(string(raw)))
	caller, repeat, captures := armtest.ClientID, 1, []string(nil)
	for _, directive := range asked.directives {
		name, argument, _ := strings.Cut(directive, " ")
		switch name {
		case "settle":
			r.must(t, r.Settle(context.Background()))
		case "fail-next":
			code, message, _ := strings.Cut(argument, ": ")
			r.FailNext(&v1beta1.OperationError{Code: code, Message: message})
		case "as":
			caller = map[string]string{
				"nobody": "", "neighbour": armtest.OtherClientID, "engineer": armtest.EngineerID, "other-engineer": armtest.OtherEngineerID,
			}[argument]
		case "advance":
			by, err := time.ParseDuration(argument)
			r.must(t, err)
			r.Advance(by)
		case "repeat":
			repeat, err = strconv.Atoi(argument)
			r.must(t, err)
		case "capture":
			captures = append(captures, argument)
		case "apply":
			r.apply(t, filepath.Join(filepath.Dir(path), argument))
		default:
			t.Fatalf("%s: unknown directive %q", path, directive)
		}
	}
	var answer *http.Response
	var body []byte
	for range repeat {
		answer, body = r.send(t, asked, caller)
	}
	for _, capture := range captures {
		r.capture(t, capture, answer, body)
	}
	r.compare(t, strings.TrimSuffix(path, ".http")+".golden", r.render(answer, body))
}

func (r *runner) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *runner) expand(text string) string {
	for name, value := range r.variables {
		text = strings.ReplaceAll(text, "{{"+name+"}}", value)
	}
	return text
}

func parse(text string) request {
	asked := request{header: http.Header{}}
	head, body, _ := strings.Cut(text, "\n\n")
	asked.body = strings.TrimSpace(body)
	for _, line := range strings.Split(head, "\n") {
		switch {
		case strings.HasPrefix(line, "#!"):
			asked.directives = append(asked.directives, strings.TrimSpace(line[2:]))
		case strings.HasPrefix(line, "#") || line == "":
		case asked.method == "":
			asked.method, asked.url, _ = strings.Cut(line, " ")
		default:
			name, value, _ := strings.Cut(line, ": ")
			asked.header.Set(name, value)
		}
	}
	return asked
}

func (r *runner) send(t *testing.T, asked request, caller string) (*http.Response, []byte) {
	t.Helper()
	url := strings.ReplaceAll(asked.url, " ", "%20")
	if strings.HasPrefix(url, "/") {
		url = r.Server.URL + url
	}
	sent, err := http.NewRequest(asked.method, url, strings.NewReader(asked.body))
	r.must(t, err)
	sent.Header = asked.header.Clone()
	if caller != "" && sent.Header.Get("Authorization") == "" {
		sent.Header.Set("Authorization", "Bearer "+r.Token(t, caller))
	}
	answer, err := r.Server.Client().Do(sent)
	r.must(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	r.must(t, err)
	return answer, body
}

// capture remembers `name header Some-Header` or `name body a.b.0.c`.
func (r *runner) capture(t *testing.T, argument string, answer *http.Response, body []byte) {
	t.Helper()
	words := strings.Fields(argument)
	if len(words) != 3 {
		t.Fatalf("capture %q: want `name header|body what`", argument)
	}
	if words[1] == "header" {
		r.variables[words[0]] = answer.Header.Get(words[2])
		return
	}
	var value any
	r.must(t, json.Unmarshal(body, &value))
	for _, key := range strings.Split(words[2], ".") {
		switch typed := value.(type) {
		case map[string]any:
			value = typed[key]
		case []any:
			index, err := strconv.Atoi(key)
			r.must(t, err)
			value = typed[index]
		}
	}
	r.variables[words[0]] = fmt.Sprint(value)
}

// apply creates the objects of a YAML file in the management cluster, with status.
func (r *runner) apply(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	r.must(t, err)
	for _, document := range strings.Split(r.expand(string(raw)), "\n---\n") {
		var kind metav1.TypeMeta
		r.must(t, yaml.Unmarshal([]byte(document), &kind))
		made, err := r.Client.Scheme().New(kind.GroupVersionKind())
		r.must(t, err)
		object := made.(client.Object)
		r.must(t, yaml.UnmarshalStrict([]byte(document), object))
		status := object.DeepCopyObject().(client.Object)
		r.must(t, r.Client.Create(context.Background(), object))
		if !strings.Contains(document, "\nstatus:") {
			continue
		}
		status.SetResourceVersion(object.GetResourceVersion())
		r.must(t, r.Client.Status().Update(context.Background(), status))
	}
}

// shown are the headers that a golden file holds.
var shown = []string{"Allow", "Azure-AsyncOperation", "ETag", "Location", "Retry-After", "WWW-Authenticate", "x-ms-client-request-id", "x-ms-error-code", "x-ms-failure-cause"}

var (
	guids = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}`)
	keys  = regexp.MustCompile(`whsec_[A-Za-z0-9+/]{43}=`)
	ticks = regexp.MustCompile(`/ticks/\d+`)
	// A machine that is slow has less left to wait.
	waits = regexp.MustCompile(`(Retry-After: |retry again in )5\d\b`)
	// Scale sets carry a number that is drawn with their cluster's id.
	drawn = regexp.MustCompile(`(-|"aks-managed-resourceNameSuffix": ")\d{8}(-vmss|")`)
	times = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z`)
)

// render is an answer without what differs from run to run. Ids are numbered in
// the order in which they appear, so that equal ones stay equal.
func (r *runner) render(answer *http.Response, body []byte) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s\n", answer.Status)
	for _, name := range shown {
		if value := answer.Header.Get(name); value != "" {
			fmt.Fprintf(&out, "%s: %s\n", name, value)
		}
	}
	if len(body) > 0 {
		var pretty bytes.Buffer
		if json.Indent(&pretty, body, "", "  ") != nil {
			pretty = *bytes.NewBuffer(body)
		}
		out.WriteString("\n" + strings.TrimSpace(pretty.String()) + "\n")
	}
	text := strings.ReplaceAll(out.String(), r.Server.URL, "https://berth")
	text = keys.ReplaceAllString(text, "<key>")
	text = times.ReplaceAllString(text, "<time>")
	text = waits.ReplaceAllString(text, "${1}60")
	text = ticks.ReplaceAllString(text, "/ticks/<time>")
	text = drawn.ReplaceAllString(text, "${1}<number>${2}")
	known := map[string]string{
		armtest.Subscription: armtest.Subscription, armtest.TenantID: armtest.TenantID, armtest.OtherTenantID: armtest.OtherTenantID,
		armtest.SuspendedSubscription: armtest.SuspendedSubscription, armtest.OtherSubscription: armtest.OtherSubscription,
	}
	return guids.ReplaceAllStringFunc(text, func(id string) string {
		if known[id] == "" {
			known[id] = fmt.Sprintf("<id %d>", len(known)-4)
		}
		return known[id]
	})
}

func (r *runner) compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		r.must(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	r.must(t, err)
	if string(want) != got {
		t.Errorf("%s: the answer is not the golden one\n--- got\n%s\n--- want\n%s", path, got, want)
	}
}
