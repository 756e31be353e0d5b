package image

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/release"
)

func TestPlanIsOrderedAndComplete(t *testing.T) {
	made, outputs := map[string]bool{}, map[string]string{}
	for _, step := range Plan(time.Now, Buildable()...) {
		if made[step.Name] {
			t.Errorf("two steps are called %s", step.Name)
		}
		for _, need := range step.Needs {
			if !made[need] {
				t.Errorf("%s needs %s, which does not stand before it", step.Name, need)
			}
		}
		for _, output := range step.Outputs {
			if other, ok := outputs[output]; ok {
				t.Errorf("%s and %s both make %s", other, step.Name, output)
			}
			outputs[output] = step.Name
		}
		made[step.Name] = true
		if step.Title == "" || step.Run == nil || len(step.Outputs) == 0 {
			t.Errorf("step %s lacks a title, a way to run or an output", step.Name)
		}
	}
	// The catalogue stands for all of the build.
	all, err := Select(Plan(time.Now, Buildable()...), []string{"catalogue"})
	if err != nil || len(all) != len(made) {
		t.Errorf("the catalogue needs %d of %d steps: %v", len(all), len(made), err)
	}
}

// TestImagesNeedWhatTheyHold: else a changed binary would not make a new image.
func TestImagesNeedWhatTheyHold(t *testing.T) {
	makers := map[string]string{}
	for _, step := range Plan(time.Now) {
		for _, output := range step.Outputs {
			makers[output] = step.Name
		}
	}
	specs := imageSpecs()
	for _, k := range versions() {
		specs = append(specs, kubeSpec(k))
	}
	for _, spec := range specs {
		for place, output := range spec.Binaries {
			if maker := makers[output]; maker == "" || !slices.Contains(spec.Needs, maker) {
				t.Errorf("image %s holds %s of step %q, which it does not need", spec.Name, output, maker)
			}
			if strings.HasPrefix(place, "/") {
				t.Errorf("image %s: %s is not relative to the image", spec.Name, place)
			}
		}
		if _, ok := spec.Binaries[strings.TrimPrefix(spec.Entrypoint, "/")]; !ok {
			t.Errorf("image %s starts %s, which it does not hold", spec.Name, spec.Entrypoint)
		}
	}
}

// A release that is added must not make the nodes of all clusters out of date, nor
// make the management machine start again.
func TestAddedReleasesDisturbNothing(t *testing.T) {
	needs := func(name string, added ...string) []string {
		for _, step := range Plan(time.Now, added...) {
			if step.Name == name {
				return step.Needs
			}
		}
		return nil
	}
	for version, step := range map[string]string{"1.35.4": "node-1.35", "1.36.1": "node-1.36.1"} {
		for _, step := range []string{"node-version", "management"} {
			if before, after := needs(step), needs(step, version); len(before) == 0 || !slices.Equal(before, after) {
				t.Errorf("%s needs %v without and %v with an added release", step, before, after)
			}
		}
		if !slices.Contains(needs("catalogue", version), step) || slices.Contains(needs("catalogue"), step) {
			t.Errorf("%s is to be built when it was added, and only then", version)
		}
	}
}

func TestAddRelease(t *testing.T) {
	root := t.TempDir()
	err := AddRelease(context.Background(), "1.12.0", Options{Root: root})
	if err == nil || !strings.Contains(err.Error(), "1.35.4") {
		t.Errorf("an unknown version: %v", err)
	}
	if added, err := addedVersions(filepath.Join(root, "build")); err != nil || len(added) > 0 {
		t.Errorf("it was remembered: %v, %v", added, err)
	}
}

func TestExactlyOneVersionIsTheDefault(t *testing.T) {
	defaults := 0
	for _, k := range knownVersions {
		if k.Default {
			defaults++
		}
		if release.LifeOf(k.Minor) == (release.Life{}) || !strings.HasPrefix(k.Version, k.Minor+".") {
			t.Errorf("version %+v has no calendar or another minor's number", k)
		}
		if k.Earlier && !k.OnDemand {
			t.Errorf("%+v: every build would make a patch that is not the newest", k)
		}
	}
	if defaults != 1 {
		t.Errorf("%d defaults", defaults)
	}
}

// TestVersionsMatchTheirModules: the version in the plan is said, the one in go.mod is
// built. A minor's patches are built from the same module but for what they require.
func TestVersionsMatchTheirModules(t *testing.T) {
	for _, k := range knownVersions {
		file := cmp.Or(k.program().Modfile, "go.mod")
		raw, err := os.ReadFile(filepath.Join("../../kube", k.Minor, file))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(raw), "k8s.io/kubernetes v"+k.Version) || !strings.HasPrefix(string(raw), "module berth.dev/berth/kube/"+k.Minor+"\n") {
			t.Errorf("kube/%s/%s does not require v%s", k.Minor, file, k.Version)
		}
	}
	raw, err := os.ReadFile("../../components/etcd/go.mod")
	if err != nil || !strings.Contains(string(raw), "go.etcd.io/etcd/server/v3 v"+etcdVersion+"\n") {
		t.Errorf("components/etcd does not require v%s (%v)", etcdVersion, err)
	}
}

// A program of ours never has the tag of one with other content: clusters would go on with what
// their machines have of it, and tell of none.
func TestTagsOfOwnProgramsFollowTheirContent(t *testing.T) {
	own := map[string]bool{}
	for _, spec := range imageSpecs() {
		if spec.Tag == "" {
			own[spec.Name] = true
		}
	}
	for _, name := range []string{"etcd", "etcd-snapshot", "berth", "berth-node", "demo"} {
		if !own[name] {
			t.Errorf("the tag of %s says nothing of its content", name)
		}
	}
	for _, c := range []struct{ version, prefix string }{{"", "v" + Version + "-"}, {etcdVersion, "v" + etcdVersion + "-"}} {
		var tags []string
		for _, content := range []string{"one", "two", "one"} {
			w := &Work{Build: t.TempDir(), Temporary: t.TempDir()}
			write(t, w.Built("out/program"), content)
			spec := imageSpec{Name: "program", Version: c.version, Binaries: map[string]string{"program": "out/program"}, Entrypoint: "/program", Bare: true}
			if err := spec.build(w); err != nil {
				t.Fatal(err)
			}
			descriptor, err := descriptorOf(w.Output(spec.store()))
			if err != nil {
				t.Fatal(err)
			}
			tag := strings.TrimPrefix(descriptor.Annotations[annotationContainer], Ref("program", ""))
			if !strings.HasPrefix(tag, c.prefix) {
				t.Errorf("the tag is %q, want it to begin with %q", tag, c.prefix)
			}
			tags = append(tags, tag)
		}
		if tags[0] == tags[1] || tags[0] != tags[2] {
			t.Errorf("one, two and one again: %v", tags)
		}
	}
}

// What the last build had is made again, also when its minor has a newer patch.
func TestWhatWasBuiltIsBuiltAgain(t *testing.T) {
	build := t.TempDir()
	write(t, filepath.Join(build, catalogueFile), `{"releases": [{"version": "1.36.1"}, {"version": "1.34.9"}]}`)
	write(t, filepath.Join(build, addedFile), "1.35.4\n")
	also, err := alsoMade(build)
	if err != nil {
		t.Fatal(err)
	}
	var made []string
	for _, k := range versions(also...) {
		made = append(made, k.Version)
	}
	if want := []string{"1.37.2", "1.36.3", "1.36.1", "1.35.4"}; !slices.Equal(made, want) {
		t.Errorf("a build makes %v, want %v", made, want)
	}
}

func TestNextNodeVersion(t *testing.T) {
	now := time.Date(2026, 11, 5, 23, 30, 0, 0, time.FixedZone("", -3600))
	for _, c := range []struct{ why, previous, want string }{
		{"the first build", "", "BerthDebian-12containerd-202611.06.0"},
		{"the second of a day", "BerthDebian-12containerd-202611.06.0", "BerthDebian-12containerd-202611.06.1"},
		{"numbers, not digits", "BerthDebian-12containerd-202611.06.9", "BerthDebian-12containerd-202611.06.10"},
		{"a new day begins anew", "BerthDebian-12containerd-202611.05.4", "BerthDebian-12containerd-202611.06.0"},
		{"nonsense is no version", "BerthDebian-12containerd-202611.06.x", "BerthDebian-12containerd-202611.06.0"},
	} {
		if got := nextNodeVersion(c.previous, now); got != c.want {
			t.Errorf("%s: after %q comes %s, want %s", c.why, c.previous, got, c.want)
		}
	}
}

func TestSourcesOfTheSuite(t *testing.T) {
	list := "# comment\ndeb http://mirror/debian bookworm main\ndeb [arch=amd64 signed-by=/k] https://mirror/debian bookworm-security main\n" +
		"deb-src http://mirror/debian bookworm main\ndeb http://other/repo cloud-sdk-bookworm main\ndeb http://mirror/debian trixie main\n"
	if got := filterList(list); strings.Count(got, "\n") != 2 || !strings.Contains(got, "bookworm-security") || strings.Contains(got, "other") {
		t.Errorf("list kept\n%s", got)
	}
	stanzas := "Types: deb\n# http://snapshot\nURIs: http://mirror/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\n" +
		"Types: deb\nURIs: http://node\nSuites: nodistro\n\nEnabled: no\nTypes: deb\nURIs: http://off\nSuites: bookworm\n"
	if got := filterStanzas(stanzas); !strings.Contains(got, "mirror") || strings.Contains(got, "nodistro") || strings.Contains(got, "off") {
		t.Errorf("stanzas kept\n%s", got)
	}
}

func TestHostSourcesAreWrittenByFormat(t *testing.T) {
	apt, out := t.TempDir(), t.TempDir()
	write(t, filepath.Join(apt, "sources.list.d/debian.sources"), "Types: deb\nURIs: http://mirror\nSuites: bookworm\n")
	write(t, filepath.Join(apt, "sources.list.d/other.list"), "deb http://other stable main\n")
	write(t, filepath.Join(apt, "sources.list.d/off.list.disabled"), "deb http://off bookworm main\n")
	found, err := hostSources(apt, out)
	if err != nil || len(found) != 1 || filepath.Ext(found[0]) != ".sources" {
		t.Errorf("found %v, %v; want the one file of the suite", found, err)
	}
}

func TestPrerequisites(t *testing.T) {
	yes, no := func() bool { return true }, func() bool { return false }
	packages := missing([]prerequisite{{"gcc", yes}, {"mmdebstrap", no}})
	if !slices.Equal(packages, []string{"mmdebstrap"}) {
		t.Fatalf("missing %v", packages)
	}
	for _, c := range []struct {
		why      string
		host     host
		packages []string
		want     string
	}{
		{"nothing missing", host{root: true}, nil, ""},
		{"no root: say so and which packages", host{debian: true}, packages, "apt-get install mmdebstrap"},
		{"no root, nothing missing", host{debian: true}, nil, "needs root"},
		{"another distribution: name them, install nothing", host{root: true}, packages, "mmdebstrap"},
	} {
		err := ensure(context.Background(), c.host, c.packages, os.Stderr)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: err = %v, want %q", c.why, err, c.want)
		}
	}
}

// TestClosureRunsAlone: the files found are all that the program needs.
func TestClosureRunsAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("chroot needs root")
	}
	tree := t.TempDir()
	if err := linkProgram("/", "usr/bin/env", tree); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("chroot", tree, "/usr/bin/env", "-i", "A=b", "/usr/bin/env").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "A=b" {
		t.Errorf("env alone: %q, %v", out, err)
	}
	if _, err := closure("/", "usr/bin/nothing-here"); err == nil {
		t.Error("a program that is not there has a closure")
	}
}

func TestFindRoot(t *testing.T) {
	root, err := FindRoot(".")
	if err == nil {
		t.Errorf("a relative path has no parents, but %s was found", root)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if root, err = FindRoot(here); err != nil || root != filepath.Dir(filepath.Dir(here)) {
		t.Errorf("FindRoot(%s) = %s, %v", here, root, err)
	}
	if _, err := FindRoot(t.TempDir()); err == nil {
		t.Error("a temporary directory is taken for the repository")
	}
}

func TestPackagesListsOnlyOurSources(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	found, err := Packages("./cmd/berth-demo")(context.Background(), root)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"go.mod", "go.sum", "cmd/berth-demo/main.go", "cmd/berth-demo/run.go"} {
		if !slices.Contains(found, want) {
			t.Errorf("%v lacks %s", found, want)
		}
	}
	for _, path := range found {
		if strings.HasPrefix(path, "..") || strings.HasSuffix(path, "_test.go") {
			t.Errorf("%s is no source of ours", path)
		}
	}
}

func TestCleanRootfsLeavesNothingOfTheHost(t *testing.T) {
	tree := t.TempDir()
	for _, file := range []string{
		"dev/shm/x", "run/lock/x", "tmp/x", "var/cache/apt/x", "var/log/dpkg.log", "var/lib/apt/lists/x",
		"etc/apt/apt.conf.d/99mmdebstrap", "etc/apt/sources.list", "etc/apt/sources.list.d/0.sources", "etc/passwd-", "etc/resolv.conf", "etc/hostname", "etc/passwd", "var/lib/dpkg/status",
	} {
		write(t, filepath.Join(tree, file), "host")
	}
	if err := cleanRootfs(tree, debianSources); err != nil {
		t.Fatal(err)
	}
	var kept []string
	err := filepath.WalkDir(tree, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			raw, _ := os.ReadFile(path)
			kept = append(kept, strings.TrimPrefix(path, tree)+"="+string(raw))
		}
		return err
	})
	want := []string{
		"/etc/apt/sources.list.d/node.sources=" + debianSources, "/etc/hostname=", "/etc/machine-id=", "/etc/passwd=host", "/etc/resolv.conf=", "/var/lib/dpkg/status=host"}
	if err != nil || !slices.Equal(kept, want) {
		t.Errorf("kept %v, %v; want %v", kept, err, want)
	}
	if _, err := os.Stat(filepath.Join(tree, "dev")); err != nil {
		t.Error("the mount points are gone")
	}
}

// A source that no step reads would change nothing in a build that is there already.
func TestEverySourceBelongsToAStep(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]bool{}
	for _, step := range Plan(time.Now, Buildable()...) {
		for _, input := range step.Inputs {
			paths, err := input(t.Context(), root)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range paths {
				read[path] = true
			}
		}
	}
	for _, dir := range []string{"components", "kube"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !isSource(entry.Name()) {
				return err
			}
			relative, err := filepath.Rel(root, path)
			if err == nil && !read[relative] {
				t.Errorf("no step reads %s", relative)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
