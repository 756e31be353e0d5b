package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth.dev/berth/internal/release"
)

// aState is a state directory in which Berth was brought up from a build, and runs if a record says so.
func aState(t *testing.T, build string, runs *supervisorRecord) Paths {
	t.Helper()
	paths, err := NewPaths(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(paths.run(""), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(paths.instance(), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if runs != nil {
		if err := writeJSON(paths.supervisorRecord(), runs); err != nil {
			t.Fatal(err)
		}
	}
	if err := noteStateDir(build, paths); err != nil {
		t.Fatal(err)
	}
	return paths
}

// Whether anything uses a version is known of those that are up, or never were, whichever state
// directory is named.
func TestRemoveAsksEveryStateDirectory(t *testing.T) {
	self, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const version = "1.35.4"
	for _, c := range []struct {
		why  string
		more func(build string) (named Paths)
		want string // in the refusal; empty if there is none
	}{
		{"Berth never was up", func(string) Paths { return Paths{State: t.TempDir()} }, ""},
		{"nor is there the directory", func(string) Paths { return Paths{State: filepath.Join(t.TempDir(), "gone")} }, ""},
		{"the one that is named is down", func(build string) Paths { return aState(t, build, nil) }, "berth up --state-dir"},
		{"another one is down", func(build string) Paths { aState(t, build, nil); return Paths{State: t.TempDir()} }, "berth up --state-dir"},
		{"another one is up, and has no API server", func(build string) Paths {
			aState(t, build, &supervisorRecord{Process: self, BuildDir: build})
			return Paths{State: t.TempDir()}
		}, "is up, and cannot be asked"},
		{"another one was purged from another build", func(build string) Paths {
			if err := os.Remove(aState(t, build, nil).instance()); err != nil {
				t.Fatal(err)
			}
			return Paths{State: t.TempDir()}
		}, ""},
		{"another one is not there", func(build string) Paths {
			if err := os.RemoveAll(aState(t, build, nil).State); err != nil {
				t.Fatal(err)
			}
			return Paths{State: t.TempDir()}
		}, "berth down --purge --state-dir"},
	} {
		r := removal{version: version, build: t.TempDir(), offered: &release.Catalogue{}}
		r.named = c.more(r.build)
		switch err := r.askAll(t.Context()); {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.why, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), version)):
			t.Errorf("%s: %v, want it to say %q", c.why, err, c.want)
		}
	}
}

// A build knows who was brought up from it until that is purged, also where it was moved; a copy
// of it knows of nobody.
func TestBuildKnowsItsStateDirectories(t *testing.T) {
	root := t.TempDir()
	build, moved := filepath.Join(root, "build"), filepath.Join(root, "moved")
	first, second := aState(t, build, nil), aState(t, build, nil)
	if err := noteStateDir(build, first); err != nil { // each up does
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(root, "copy"), os.DirFS(build)); err != nil {
		t.Fatal(err)
	}
	knows := func(build string) string {
		t.Helper()
		all, err := stateDirsOf(build)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, paths := range []Paths{first, second} {
			for _, one := range all {
				if one == paths {
					found = append(found, paths.State)
				}
			}
		}
		if len(found) != len(all) {
			t.Errorf("%s knows of %v", build, all)
		}
		return strings.Join(found, " ")
	}
	if got := knows(build); got != first.State+" "+second.State {
		t.Errorf("it knows of %q", got)
	}
	if got := knows(filepath.Join(root, "copy")); got != "" {
		t.Errorf("a copy knows of %q", got)
	}
	if got := knows(t.TempDir()); got != "" {
		t.Errorf("a new build knows of %q", got)
	}
	if err := forgottenBy([]string{build, t.TempDir()}, first); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(build, moved); err != nil {
		t.Fatal(err)
	}
	if got := knows(moved); got != second.State {
		t.Errorf("moved, and one purged: %q", got)
	}
}

// Who is purged is forgotten by the build that it ran from.
func TestBuildsOf(t *testing.T) {
	paths := aState(t, t.TempDir(), nil)
	if got := buildsOf(paths); len(got) != 1 || got[0] != DefaultBuildDir() {
		t.Errorf("down: %v", got)
	}
	if err := writeJSON(paths.supervisorRecord(), supervisorRecord{BuildDir: "/a/build"}); err != nil {
		t.Fatal(err)
	}
	if got := buildsOf(paths); len(got) != 2 || got[0] != "/a/build" {
		t.Errorf("up: %v", got)
	}
}

// Only those that run from the build are told: others have the versions of theirs.
func TestRemoveTellsThoseOfTheBuild(t *testing.T) {
	self, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	r := removal{version: "1.35.4", build: t.TempDir(), named: Paths{State: t.TempDir()}}
	aState(t, r.build, nil)
	aState(t, r.build, &supervisorRecord{Process: self, BuildDir: t.TempDir()})
	if told, err := r.tell(t.Context(), UpOptions{}); err != nil || len(told) > 0 {
		t.Errorf("told %v, %v", told, err)
	}
	mine := aState(t, r.build, &supervisorRecord{Process: self, BuildDir: r.build})
	// There is nothing in this build to come up from.
	if _, err := r.tell(t.Context(), UpOptions{}); err == nil || !strings.Contains(err.Error(), mine.State) {
		t.Errorf("of the one that runs from it: %v", err)
	}
}
