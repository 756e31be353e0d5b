package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm/armtest"
)

var update = flag.Bool("update", false, "write the transcripts anew")

// runner runs command lines with an environment.
type runner struct {
	environment map[string]string
	host        func(string) (map[string]string, error)
}

func (r runner) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	program := Program{
		Version:         "v0-test",
		Getenv:          func(name string) string { return r.environment[name] },
		HostEnvironment: r.host,
	}
	code = program.Run(t.Context(), args, Streams{In: strings.NewReader(""), Out: &out, Err: &err})
	return code, out.String(), err.String()
}

// TestTranscripts plays the files of testdata/stub against a stub of its own each.
func TestTranscripts(t *testing.T) {
	eachFile(t, "testdata/stub/*.txt", func(t *testing.T, file string) {
		stub := newARMStub(t)
		commands := runner{environment: stub.environment(t)}
		play(t, file, commands, func(line string) { stub.plan(t, line) })
	})
}

// TestTranscriptsOnTheRealServer plays the files of testdata/server against Berth's own ARM server.
func TestTranscriptsOnTheRealServer(t *testing.T) {
	eachFile(t, "testdata/server/*.txt", func(t *testing.T, file string) {
		t.Parallel() // each spends its time waiting, as Retry-After says
		world := armtest.New(t)
		world.Run(t)
		commands := runner{environment: map[string]string{
			"BERTH_ENDPOINT": world.Server.URL, "BERTH_CA": world.CAFile, "AZURE_TENANT_ID": armtest.TenantID,
			"AZURE_CLIENT_ID": armtest.ClientID, "AZURE_CLIENT_SECRET": armtest.ClientSecret,
			"AZURE_SUBSCRIPTION_ID": armtest.Subscription, "HOME": t.TempDir(),
		}}
		play(t, file, commands, func(string) {
			world.FailNext(&v1beta1.OperationError{Code: "ControlPlaneFailed", Message: "The API server did not become ready."})
		})
	})
}

func eachFile(t *testing.T, pattern string, test func(t *testing.T, file string)) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { test(t, file) })
	}
}

// play runs a transcript and compares all that was printed. In a file, a line "$ berth …" is a command and "# …" a
// comment, and "URL/" in a command begins a URL of the server; what follows is its standard output, then its standard error with "2> " before each line, then its exit code
// if that is not 0. A line "% …" goes to plan, which makes the server fail.
func play(t *testing.T, file string, commands runner, plan func(string)) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	lines := strings.Split(strings.TrimSuffix(string(want), "\n"), "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "$ berth "):
			got.WriteString(line + "\n")
			code, out, errs := commands.run(t, words(strings.ReplaceAll(strings.TrimPrefix(line, "$ berth "), "URL/", commands.environment["BERTH_ENDPOINT"]+"/"))...)
			got.WriteString(out)
			for one := range strings.Lines(errs) {
				got.WriteString("2> " + one)
			}
			if code != 0 {
				fmt.Fprintf(&got, "exit %d\n", code)
			}
		case strings.HasPrefix(line, "% "):
			got.WriteString(line + "\n")
			plan(strings.TrimPrefix(line, "% "))
		case strings.HasPrefix(line, "# "), line == "" && spaces(lines[i+1:]):
			got.WriteString(line + "\n")
		}
	}
	shown := strings.NewReplacer(commands.environment["HOME"], "HOME", commands.environment["BERTH_ENDPOINT"], "URL").Replace(got.String())
	for _, changing := range changing {
		shown = changing.expression.ReplaceAllString(shown, changing.shown)
	}
	if *update {
		if err := os.WriteFile(file, []byte(shown), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if shown != string(want) {
		t.Errorf("%s differs:\n%s", file, firstDifference(string(want), shown))
	}
}

// spaces says whether an empty line stands between commands: one that a command printed
// has more of that behind it.
func spaces(rest []string) bool {
	return len(rest) > 0 && slices.ContainsFunc([]string{"# ", "$ ", "% "}, func(start string) bool { return strings.HasPrefix(rest[0], start) })
}

// changing is what differs from run to run.
var changing = []struct {
	expression *regexp.Regexp
	shown      string
}{
	{regexp.MustCompile(`\(\d+s\)`), "(…s)"},
	{regexp.MustCompile(`  [a-z2-7]{12}  1\.`), "  abcdefghijkl  1."},
	{regexp.MustCompile(`-[0-9a-z]{8}\.hcp\.`), "-01234567.hcp."},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`), "01234567-89ab-4cde-8f01-23456789abcd"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "2026-01-02T03:04:05Z"},
	{regexp.MustCompile(`whsec_[A-Za-z0-9+/]{43}=`), "whsec_KEY"},
	// How many states are seen on the way depends on the machine's mood.
	{regexp.MustCompile(`2> .*: (Creating|Updating|Scaling|Upgrading|Deleting) \(…s\)\n`), ""},
}

// plan reads "fail METHOD PATH STATUS CODE MESSAGE" or "end CODE MESSAGE", which is how the next operation ends;
// "end" alone takes that back.
func (s *armStub) plan(t *testing.T, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kind, rest, _ := strings.Cut(line, " ")
	switch kind {
	case "fail":
		method, rest, _ := strings.Cut(rest, " ")
		path, answer, _ := strings.Cut(rest, " ")
		s.failures[method+" /subscriptions/"+stubSubscription+strings.ToLower(path)] = answer
	case "end":
		s.failing = rest
	default:
		t.Fatalf("no such plan: %s", line)
	}
}

// words splits a line as a shell does, with double quotes.
func words(line string) []string {
	var out []string
	for _, word := range regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(line, -1) {
		out = append(out, strings.Trim(word, `"`))
	}
	return out
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		at := func(lines []string) string {
			if i < len(lines) {
				return lines[i]
			}
			return "(end)"
		}
		if at(w) != at(g) {
			return fmt.Sprintf("line %d\nwant: %s\ngot:  %s", i+1, at(w), at(g))
		}
	}
	return ""
}
