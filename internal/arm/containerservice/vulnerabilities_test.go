package containerservice_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/arm/armtest"
)

// triage sends a body for all clusters of the subscription.
func triage(t *testing.T, w *armtest.World, body []byte) (int, string) {
	t.Helper()
	url := w.Server.URL + "/subscriptions/" + armtest.Subscription + "/providers/Microsoft.ContainerService/triageVulnerabilities?api-version=2026-04-01"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+w.Token(t, armtest.ClientID))
	answer, err := w.Server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(raw)
}

// report is Trivy's with so many flaws and a description of each of so many bytes.
func report(t *testing.T, flaws, description int) []byte {
	t.Helper()
	type flaw struct{ VulnerabilityID, PkgName, InstalledVersion, FixedVersion, Severity, Description string }
	all := make([]flaw, 0, flaws)
	for i := range flaws {
		all = append(all, flaw{"CVE-2026-" + strings.Repeat("1", 4+i%3), "p" + strings.Repeat("x", i%50) + string(rune('a'+i/50%26)) + string(rune('a'+i/1300%26)), "1", "2", "HIGH", strings.Repeat("d", description)})
	}
	raw, err := json.Marshal(map[string]any{"report": map[string]any{
		"SchemaVersion": 2, "ArtifactName": "registry.berth.internal/berth/coredns:v1.15.0", "ArtifactType": "container_image",
		"Results": []any{map[string]any{"Target": "x", "Class": "os-pkgs", "Vulnerabilities": all}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A report is larger than what ARM takes otherwise; there is a limit all the same, and
// what is longer is refused and not cut.
func TestLargeReports(t *testing.T) {
	w := armtest.New(t)
	if status, answer := triage(t, w, report(t, 2000, 4000)); status != http.StatusOK || !strings.Contains(answer, `"scanner":"Trivy"`) {
		t.Errorf("8 MB: %d %.200s", status, answer)
	}
	if status, answer := triage(t, w, report(t, 2000, 9000)); status != http.StatusRequestEntityTooLarge || !strings.Contains(answer, "RequestEntityTooLarge") {
		t.Errorf("18 MB: %d %.200s", status, answer)
	}
	if status, answer := triage(t, w, report(t, 30000, 1)); status != http.StatusBadRequest || !strings.Contains(answer, "lists more than 20000 vulnerabilities") {
		t.Errorf("30,000 flaws: %d %.200s", status, answer)
	}
}

// Whatever is sent is answered or refused, and never an error of the service's own.
func FuzzTriage(f *testing.F) {
	files, err := filepath.Glob("../../policy/vulnerability/testdata/*.*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no reports: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(`{"report": ` + string(raw) + `}`))
	}
	f.Add([]byte(`{"target": "x", "report": {}}`))
	w := armtest.New(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		w.Advance(10 * time.Second) // past the limit of calls
		if status, answer := triage(t, w, body); status >= http.StatusInternalServerError {
			t.Errorf("%d %s on %q", status, answer, body)
		}
	})
}
