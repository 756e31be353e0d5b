package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"berth.dev/berth/internal/registry"
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

// removalOf is of a version that a state directory noted in a new build may use. It is named itself
// or another one is.
func removalOf(t *testing.T) removal {
	t.Helper()
	return removal{version: "1.35.4", build: t.TempDir(), offered: &release.Catalogue{Releases: []release.Release{{Version: "1.35.4"}}}, named: Paths{State: t.TempDir()}}
}

// remove ends what is at a path.
func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// Whether anything uses a version is known of those that are up, were taken down, or never were
// up, whichever state directory is named.
func TestRemoveAsksEveryStateDirectory(t *testing.T) {
	self, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	down := func(r *removal, versions ...string) Paths {
		paths, used := aState(t, r.build, nil), usage{}
		used.use("cluster rg/c", versions...)
		noteUsage(paths, used, newProgress(t.Output()))
		return paths
	}
	for _, c := range []struct {
		why  string
		with func(r *removal)
		want string // in the refusal; empty if there is none
	}{
		{"Berth never was up", func(*removal) {}, ""},
		{"nor is there the directory", func(r *removal) { r.named = Paths{State: filepath.Join(t.TempDir(), "gone")} }, ""},
		{"the one that is named was killed", func(r *removal) { r.named = aState(t, r.build, nil) }, "berth up --state-dir"},
		{"it was named alone", func(r *removal) { r.named = aState(t, t.TempDir(), nil) }, "berth up --state-dir"},
		{"another one was killed", func(r *removal) { aState(t, r.build, nil) }, "berth up --state-dir"},
		{"another one is up, and has no API server", func(r *removal) {
			aState(t, r.build, &supervisorRecord{Process: self, BuildDir: r.build})
		}, "is up, and cannot be asked"},
		{"two were taken down that do not use it", func(r *removal) { r.named = down(r, "1.36.3"); down(r) }, ""},
		{"one was that uses it", func(r *removal) { down(r, "1.36.3", "1.35.4") }, "in use by cluster rg/c"},
		{"one was that is made by its minor", func(r *removal) { down(r, "1.35") }, "in use by cluster rg/c"},
		{"one was and came up since, and was killed", func(r *removal) {
			dead := self
			dead.StartTicks++
			if err := announce(down(r), supervisorRecord{Process: dead, BuildDir: r.build}); err != nil {
				t.Fatal(err)
			}
		}, "berth up --state-dir"},
		{"one is on its way up", func(r *removal) {
			held, err := lockCommand(down(r))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { held.Close() })
		}, "works on"},
		{"the one that is named is for the first time", func(r *removal) {
			if err := r.named.create(); err != nil {
				t.Fatal(err)
			}
			held, err := lockCommand(r.named)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { held.Close() })
		}, "works on"},
		{"a restore of the one that is named was interrupted", func(r *removal) {
			if err := writeJSON(r.named.restoreRecord(), restoreRecord{}); err != nil {
				t.Fatal(err)
			}
		}, "--restore URL"},
		{"another one is not there", func(r *removal) { remove(t, aState(t, r.build, nil).State) }, "berth down --purge --state-dir"},
		{"nor is the one that is named", func(r *removal) { r.named = aState(t, r.build, nil); remove(t, r.named.State) }, "berth down --purge --state-dir"},
		{"nothing is mounted there", func(r *removal) {
			r.named = aState(t, r.build, nil)
			remove(t, r.named.State)
			if err := os.Mkdir(r.named.State, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "berth down --purge --state-dir"},
		{"one has no Berth in it", func(r *removal) { remove(t, aState(t, r.build, nil).instance()) }, "berth down --purge --state-dir"},
	} {
		r := removalOf(t)
		c.with(&r)
		switch err := r.askAll(t.Context()); {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.why, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want it to say %q", c.why, err, c.want)
		}
	}
}

// A Berth that runs is not started again for a removal.
func TestRemoveWaitsForUp(t *testing.T) {
	self, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	r := removalOf(t)
	r.offered.Releases = append(r.offered.Releases, release.Release{Version: "1.36.3", Default: true})
	artifacts := Artifacts{Dir: r.build, Catalogue: r.offered}
	if err := os.MkdirAll(artifacts.rootFS(), 0o755); err != nil {
		t.Fatal(err)
	}
	fingerprint, err := artifacts.Fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	aState(t, r.build, nil)
	aState(t, r.build, &supervisorRecord{Process: self, BuildDir: t.TempDir(), Fingerprint: "another build's"})
	paths := aState(t, r.build, &supervisorRecord{Process: self, BuildDir: r.build, Fingerprint: fingerprint})
	if err := r.settled(); err != nil {
		t.Errorf("it runs on what the build is: %v", err)
	}
	if err := writeJSON(paths.supervisorRecord(), supervisorRecord{Process: self, BuildDir: r.build, Fingerprint: "of before"}); err != nil {
		t.Fatal(err)
	}
	if err := r.settled(); err == nil || !strings.Contains(err.Error(), "berth up --state-dir "+paths.State) {
		t.Errorf("it runs on what the build was: %v", err)
	}
}

// Who comes up is known to the build before it is read what that offers.
func TestUpIsNotedBeforeTheCatalogueIsRead(t *testing.T) {
	build := t.TempDir()
	paths, err := NewPaths(filepath.Join(t.TempDir(), "new"))
	if err != nil {
		t.Fatal(err)
	}
	u := upper{paths: paths, artifacts: Artifacts{Dir: build}}
	if held, err := u.claim(); err == nil {
		held.Close()
		t.Error("there is a catalogue")
	}
	if all, err := stateDirsOf(build); err != nil || len(all) != 1 || all[0] != paths {
		t.Errorf("the build knows of %v, %v", all, err)
	}
}

// What ends notes what its clusters use; what cannot be asked ends without.
func TestUsageIsNotedByWhoEnds(t *testing.T) {
	self, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	paths := aState(t, t.TempDir(), nil)
	p := newProgress(t.Output())
	if used, _ := usedLast(t.Context(), paths, p); used != nil {
		t.Errorf("one that is down uses %v", used)
	}
	if err := writeJSON(paths.supervisorRecord(), supervisorRecord{Process: self}); err != nil {
		t.Fatal(err)
	}
	used, _ := usedLast(t.Context(), paths, p)
	noteUsage(paths, used, p)
	if _, err := os.Stat(paths.usageRecord()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nobody could be asked, and there is a note: %v", err)
	}
	noteUsage(paths, estate{}.asked(), p)
	if found, err := readJSON(paths.usageRecord(), &usageRecord{}); !found || err != nil {
		t.Errorf("no clusters: %t, %v", found, err)
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
	if err := forgottenBy([]string{build, t.TempDir()}, noteOf(first)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(build, moved); err != nil {
		t.Fatal(err)
	}
	if got := knows(moved); got != second.State {
		t.Errorf("moved, and one purged: %q", got)
	}
}

// Who is purged is forgotten by the build that it ran from, and by the one at hand if there is one.
func TestBuildsOf(t *testing.T) {
	t.Chdir(t.TempDir())
	paths := aState(t, t.TempDir(), nil)
	if got := buildsOf(paths); len(got) != 0 {
		t.Errorf("no build is at hand: %v", got)
	}
	if err := os.Mkdir("build", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("build/catalogue.json", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := buildsOf(paths); len(got) != 1 || got[0] != "build" {
		t.Errorf("down: %v", got)
	}
	if err := writeJSON(paths.supervisorRecord(), supervisorRecord{BuildDir: "/a/build"}); err != nil {
		t.Fatal(err)
	}
	if got := buildsOf(paths); len(got) != 2 || got[0] != "/a/build" {
		t.Errorf("up: %v", got)
	}
}

// A purge does not fail for a build that cannot have noted anything.
func TestForgottenByWhatIsNoBuild(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := forgottenBy([]string{file, filepath.Join(file, "below")}, noteOf(Paths{State: t.TempDir()})); err != nil {
		t.Error(err)
	}
}

// A state directory is one whatever symbolic links lead to it.
func TestStateDirectoryByTwoNames(t *testing.T) {
	r := removalOf(t)
	paths := aState(t, r.build, nil)
	link := Paths{State: filepath.Join(t.TempDir(), "link")}
	if err := os.Symlink(paths.State, link.State); err != nil {
		t.Fatal(err)
	}
	knows := func(r removal) []user {
		all, err := r.users()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	r.named = link
	if got := knows(r); len(got) != 1 || got[0] != (user{paths, true}) {
		t.Errorf("by the other name: %v", got)
	}
	if err := noteStateDir(r.build, link); err != nil {
		t.Fatal(err)
	}
	if got := knows(r); len(got) != 1 || got[0] != (user{link, true}) {
		t.Errorf("brought up by the other name: %v", got)
	}
	remove(t, link.State)
	if err := os.Symlink(t.TempDir(), link.State); err != nil {
		t.Fatal(err)
	}
	if got := knows(r); len(got) != 2 || got[0] != (user{paths, true}) || got[1] != (user{link, false}) {
		t.Errorf("the link leads elsewhere: %v", got)
	}
	noted := noteOf(paths)
	remove(t, paths.State)
	if err := forgottenBy([]string{r.build}, noted); err != nil {
		t.Fatal(err)
	}
	if got := knows(r); len(got) != 1 {
		t.Errorf("purged: %v", got)
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
	if err := r.tell(t.Context(), UpOptions{}); err != nil {
		t.Errorf("none runs from it: %v", err)
	}
	mine := aState(t, r.build, &supervisorRecord{Process: self, BuildDir: r.build})
	// There is nothing in this build to come up from.
	if err := r.tell(t.Context(), UpOptions{}); err == nil || !strings.Contains(err.Error(), mine.State) {
		t.Errorf("of the one that runs from it: %v", err)
	}
}

// The images go from whoever had them of the build; one that runs from another build may need them.
func TestRemoveTakesTheImages(t *testing.T) {
	self, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	r := removalOf(t)
	images := t.TempDir()
	made, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kube_v1.35.4", "kube_v1.36.3"} {
		at, err := layout.Write(filepath.Join(images, name), empty.Index)
		if err != nil {
			t.Fatal(err)
		}
		if err := at.AppendImage(made); err != nil {
			t.Fatal(err)
		}
	}
	registryOf := func(paths Paths) *registry.Registry {
		store, err := registry.New(registry.Config{Dir: paths.machine("registry")})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	has := map[Paths]bool{
		aState(t, r.build, nil): false,
		aState(t, r.build, &supervisorRecord{Process: self, BuildDir: r.build}):     false,
		aState(t, r.build, &supervisorRecord{Process: self, BuildDir: t.TempDir()}): true,
	}
	for paths := range has {
		if _, err := registryOf(paths).Seed(t.Context(), images); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.forgetImages(t.Context()); err != nil {
		t.Fatal(err)
	}
	for paths, want := range has {
		if got, err := registryOf(paths).Has("berth/kube:v1.35.4"); got != want || err != nil {
			t.Errorf("%s: %t, %v", paths.State, got, err)
		}
		if got, err := registryOf(paths).Has("berth/kube:v1.36.3"); !got || err != nil {
			t.Errorf("%s: another version is gone: %v", paths.State, err)
		}
	}
	if _, err := os.Stat(r.named.machine("registry")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("where Berth never was: %v", err)
	}
}
