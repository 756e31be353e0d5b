package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
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

var elapsed = regexp.MustCompile(`\(\d+s\)`)

// TestTranscripts plays every file of testdata against a stub of its own and compares all that was printed. In a file, a
// line "$ berth …" is a command and "# …" a comment; what follows is its standard output, then its standard error with
// "2> " before each line, then its exit code if that is not 0. A line "% …" makes the stub fail: see plan.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			stub := newARMStub(t)
			commands := runner{environment: stub.environment(t)}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for line := range strings.Lines(string(want)) {
				switch line = strings.TrimSuffix(line, "\n"); {
				case strings.HasPrefix(line, "$ berth "):
					got.WriteString(line + "\n")
					code, out, errs := commands.run(t, words(strings.TrimPrefix(line, "$ berth "))...)
					got.WriteString(out)
					for one := range strings.Lines(errs) {
						got.WriteString("2> " + one)
					}
					if code != 0 {
						fmt.Fprintf(&got, "exit %d\n", code)
					}
				case strings.HasPrefix(line, "% "):
					got.WriteString(line + "\n")
					stub.plan(t, strings.TrimPrefix(line, "% "))
				case strings.HasPrefix(line, "# "), line == "":
					got.WriteString(line + "\n")
				}
			}
			shown := elapsed.ReplaceAllString(got.String(), "(…s)")
			shown = strings.NewReplacer(commands.environment["HOME"], "HOME", stub.URL, "URL").Replace(shown)
			if *update {
				if err := os.WriteFile(file, []byte(shown), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if shown != string(want) {
				t.Errorf("%s differs:\n%s", file, firstDifference(string(want), shown))
			}
		})
	}
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
