package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"berth.dev/berth/internal/node/supervise"
)

func TestNextPatch(t *testing.T) {
	for _, c := range []struct {
		why, now string
		delay    time.Duration
		want     string
	}{
		{"later on the same day", "2026-11-26T03:00:00Z", 10 * time.Minute, "2026-11-26T06:10:00Z"},
		{"each node has its own minute", "2026-11-26T06:09:59Z", 10 * time.Minute, "2026-11-26T06:10:00Z"},
		{"once a day", "2026-11-26T06:10:00Z", 10 * time.Minute, "2026-11-27T06:10:00Z"},
		{"the hour is UTC's", "2026-11-26T07:30:00+02:00", 0, "2026-11-26T06:00:00Z"},
		{"also on the last of a month", "2026-11-30T23:00:00Z", 59 * time.Minute, "2026-12-01T06:59:00Z"},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := nextPatch(now, c.delay).Format(time.RFC3339); got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
	}
}

// A boot takes patches away, which come again soon; a new node waits for its hour.
func TestFirstPatch(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	if got := firstPatch(now, 24*time.Minute, false); !got.Equal(now.Add(18*time.Hour + 24*time.Minute)) {
		t.Errorf("a new node at %s", got)
	}
	if got := firstPatch(now, 24*time.Minute, true); !got.Equal(now.Add(2 * time.Minute)) {
		t.Errorf("a booted one at %s", got)
	}
}

func TestPatchDaily(t *testing.T) {
	for before, want := range map[bool][]string{
		false: {"01 06:12", "02 06:12", "03 06:12"}, true: {"01 00:01", "01 06:12", "02 06:12", "03 06:12"},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Hour)
			defer cancel()
			var at []string
			patchDaily(ctx, 12*time.Minute, before, func() {
				at = append(at, time.Now().UTC().Format("02 15:04"))
				<-time.After(time.Minute)
			})
			if !slices.Equal(at, want) {
				t.Errorf("patched before %t: %q, want %q", before, at, want)
			}
		})
	}
}

// Nodes share the mirrors' load, and each keeps its minute.
func TestPatchDelay(t *testing.T) {
	seen := map[time.Duration]bool{}
	for i := range 20 {
		config := Config{NodeName: fmt.Sprint("n", i)}
		delay := patchDelay(config)
		if delay < 0 || delay >= patchSpread || delay != patchDelay(config) {
			t.Errorf("%s waits %s", config.NodeName, delay)
		}
		seen[delay.Truncate(time.Minute)] = true
	}
	if len(seen) < 10 {
		t.Errorf("20 nodes have %d minutes", len(seen))
	}
}

func TestPackages(t *testing.T) {
	status := func(version string) string {
		return "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: " + version + "\nDescription: C library\n Version: 9\n\n" +
			"Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n" +
			"Package: tzdata\nStatus: install ok installed\nArchitecture: all\nVersion: 2026a-0\n"
	}
	before, after := parsePackages(status("2.36-9")), parsePackages(status("2.36-10"))
	if len(before) != 2 || before["libc6:amd64"] != "2.36-9" || before["tzdata:all"] != "2026a-0" {
		t.Errorf("%v", before)
	}
	if got := before.newer(after); !slices.Equal(got, []string{"libc6 2.36-9 to 2.36-10"}) {
		t.Errorf("%q", got)
	}
	if got := before.newer(before); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestPatchNews(t *testing.T) {
	many := make([]string, namedPackages+2)
	for i := range many {
		many[i] = fmt.Sprintf("p%d 1 to 2", i)
	}
	offline := errors.New("the lists of packages cannot be read")
	for _, c := range []struct {
		why      string
		changed  []string
		failure  error
		reason   string
		mentions string
	}{
		{"nothing newer is no news", nil, nil, "", ""},
		{"who reads it knows what a reboot is for", []string{"libc6 1 to 2"}, nil, patchedReason, "1 packages of the node's operating system are newer: libc6 1 to 2; what runs already uses them when it is started again"},
		{"an event is short", many, nil, patchedReason, "p9 1 to 2 and 2 more"},
		{"an air-gapped node says so, and tries again", nil, offline, patchFailed, "the lists of packages cannot be read; it is tried again tomorrow"},
		{"what was done counts", []string{"libc6 1 to 2"}, offline, patchFailed, "are newer: libc6 1 to 2; it is"},
	} {
		got := patchNews(c.changed, c.failure, time.Now())
		if got.reason != c.reason || got.warning != (c.reason == patchFailed) || !strings.Contains(got.message, c.mentions) || len(got.message) > 1000 {
			t.Errorf("%s: %+v", c.why, got)
		}
	}
}

func TestErrorIn(t *testing.T) {
	for words, want := range map[string]string{
		"Reading...\nE: Failed to fetch http://x\nE: Some index files failed\n": "E: Failed to fetch http://x; E: Some index files failed",
		"dpkg: error processing package a\nDone\n":                              "dpkg: error processing package a",
		"nothing\nin particular\n\n":                                            "in particular",
		"":                                                                      "",
	} {
		if got := errorIn(words); got != want {
			t.Errorf("%q: %q", words, got)
		}
	}
}

// Scripts run beside each other, a patch beside nobody.
func TestHoldFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	hold := func(alone bool) (func(), error) { return holdFiles(t.Context(), path, alone, 10*time.Millisecond) }
	first, err := hold(false)
	second, err2 := hold(false)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	if _, err := hold(true); !errors.Is(err, errHeld) {
		t.Errorf("a patch beside scripts: %v", err)
	}
	first()
	second()
	patch, err := hold(true)
	if err != nil {
		t.Fatal(err)
	}
	// Whoever asked is told why, and need not look for what a script has changed that never began.
	if got, err := beside(t.Context(), script{}, path, time.Millisecond); err != nil || got.ExitCode != notRun || !strings.Contains(got.NotRun, "installs patches") || got.Stderr != got.NotRun {
		t.Errorf("a script beside a patch: %+v, %v", got, err)
	}
	if _, err := beside(t.Context(), script{Settle: true}, path, time.Millisecond); !errors.Is(err, errHeld) {
		t.Errorf("nobody knows what an earlier one changed: %v", err)
	}
	patch()
	if last, err := hold(true); err != nil {
		t.Error(err)
	} else {
		last()
	}
}

// debian is a root file system of its own with one package, and a repository.
type debian struct {
	*testing.T
	root, repository string
	patcher          *patcher
	log              *bytes.Buffer
	// extra are more files of each package.
	extra map[string]string
}

// newDebian makes both; dpkg and apt are this host's.
func newDebian(t *testing.T) *debian {
	for _, name := range []string{"apt-get", "dpkg", "dpkg-deb"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("needs %s", name)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: dpkg gives files to root")
	}
	d := &debian{T: t, root: t.TempDir(), repository: t.TempDir(), log: &bytes.Buffer{}}
	if err := os.Chmod(d.repository, 0o755); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"etc/apt/sources.list": "deb [trusted=yes] file:" + d.repository + " ./\n", "etc/apt/apt.conf.d/": "", "etc/apt/preferences.d/": "",
		"etc/dpkg/dpkg.cfg.d/": "", "var/lib/dpkg/status": "", "var/lib/dpkg/info/": "", "var/lib/dpkg/updates/": "", "var/lib/dpkg/triggers/": "",
		"var/lib/dpkg/available": "", "var/lib/apt/": "", "var/cache/": "", "var/log/": "", "kept/": "", "usr/": "", "tmp/": "",
		"apt.conf": fmt.Sprintf("Dir %q;\nDir::State::status %q;\nDir::Bin::methods \"/usr/lib/apt/methods\";\nAPT::Sandbox::User \"root\";\n",
			d.root, d.root+"/var/lib/dpkg/status"),
	}
	if err := writeTree(d.root, files); err != nil {
		t.Fatal(err)
	}
	d.patcher = &patcher{
		lines: supervise.NewLines(d.log), status: d.root + "/var/lib/dpkg/status", mark: d.root + "/mark", lock: d.root + "/lock",
		scripts: places{image: []string{d.root + "/usr", d.root + "/etc"}, kept: d.root + "/kept"},
		env:     append(environment(), "APT_CONFIG="+d.root+"/apt.conf", "DPKG_ROOT="+d.root, "DPKG_ADMINDIR="+d.root+"/var/lib/dpkg"),
	}
	return d
}

// reaped has a reaper while it calls do: one at other times would take the children of
// this test's own commands.
func (d *debian) reaped(do func()) {
	d.patcher.reaper = supervise.NewReaper()
	reaping, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { d.patcher.reaper.Run(reaping) })
	do()
	stop()
	running.Wait()
}

func (d *debian) patch() (changed []string, err error) {
	d.reaped(func() { changed, err = d.patcher.patch(d.Context()) })
	return changed, err
}

// offer puts a version of a package into the repository.
func (d *debian) offer(name, version, content, scripts string) string {
	tree := d.TempDir()
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: Test <test@example.com>\nDescription: test\n", name, version)
	files := map[string]string{"DEBIAN/control": control, "DEBIAN/conffiles": "/etc/" + name + ".conf",
		"usr/share/" + name: content, "etc/" + name + ".conf": content}
	maps.Copy(files, d.extra)
	if scripts != "" {
		files["DEBIAN/preinst"] = scripts
	}
	if err := writeTree(tree, files); err != nil {
		d.Fatal(err)
	}
	for path, content := range files {
		if strings.HasPrefix(content, "#!") {
			if err := os.Chmod(filepath.Join(tree, path), 0o755); err != nil {
				d.Fatal(err)
			}
		}
	}
	path := filepath.Join(d.repository, name+"_"+version+"_all.deb")
	d.shell("dpkg-deb", "--root-owner-group", "--build", tree, path)
	d.list(control, path)
	return path
}

// list adds a package to the repository's index.
func (d *debian) list(control, path string) {
	d.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		d.Fatal(err)
	}
	index, err := os.OpenFile(filepath.Join(d.repository, "Packages"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		d.Fatal(err)
	}
	_, err = fmt.Fprintf(index, "%sFilename: ./%s\nSize: %d\nSHA256: %x\n\n", control, filepath.Base(path), len(content), sha256.Sum256(content))
	if err := errors.Join(err, index.Close()); err != nil {
		d.Fatal(err)
	}
}

func (d *debian) shell(argv ...string) {
	d.Helper()
	command := exec.Command(argv[0], argv[1:]...)
	command.Env = append(os.Environ(), d.patcher.env...)
	if text, err := command.CombinedOutput(); err != nil {
		d.Fatalf("%v: %v\n%s", argv, err, text)
	}
}

// TestPatch has apt install a newer package from a repository, and leave what the
// administrator changed.
func TestPatch(t *testing.T) {
	d := newDebian(t)
	d.shell("dpkg", "--install", d.offer("tool", "1.0", "old", ""))
	changed, err := d.patch()
	if err != nil || len(changed) != 0 {
		t.Fatalf("nothing is newer: %q, %v\n%s", changed, err, d.log)
	}
	if err := os.WriteFile(d.root+"/etc/tool.conf", []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	d.offer("tool", "1.1", "new", "")
	d.offer("other", "1.0", "other", "")
	changed, err = d.patch()
	if err != nil || !slices.Equal(changed, []string{"tool 1.0 to 1.1"}) {
		t.Fatalf("%q, %v\n%s", changed, err, d.log)
	}
	if got := readFile(t, d.root+"/usr/share/tool") + " " + readFile(t, d.root+"/etc/tool.conf"); got != "new\n mine" {
		t.Errorf("the files are %q", got)
	}
	if _, err := os.Stat(d.root + "/usr/share/other"); err == nil {
		t.Error("a package was added")
	}
	if !strings.Contains(d.log.String(), "patch      | ") {
		t.Errorf("the log is %q", d.log)
	}
}

// What was patched is an event on the Node, and known after a boot.
func TestPatchesAreTold(t *testing.T) {
	events := make(chan nodeEvent, 8)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var event nodeEvent
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
			t.Error(err)
		}
		events <- event
		w.WriteHeader(http.StatusCreated)
	}))
	defer server.Close()
	d := newDebian(t)
	d.shell("dpkg", "--install", d.offer("tool", "1.0", "old", ""))
	m := &machine{config: Config{NodeName: "n1", KubeconfigFile: kubeconfigOf(t, server)}, lines: supervise.NewLines(d.log)}
	d.reaped(func() { m.patchOnce(t.Context(), d.patcher) })
	if _, err := os.Stat(d.root + "/mark"); err == nil || len(events) > 0 {
		t.Errorf("nothing was patched: %v, %d events", err, len(events))
	}
	d.offer("tool", "1.1", "new", "")
	d.reaped(func() { m.patchOnce(t.Context(), d.patcher) })
	if _, err := os.Stat(d.root + "/mark"); err != nil || len(events) != 1 {
		t.Fatalf("%v, %d events\n%s", err, len(events), d.log)
	}
	if event := <-events; event.Reason != patchedReason || event.Type != "Normal" || event.InvolvedObject["name"] != "n1" || !strings.Contains(event.Message, "tool 1.0 to 1.1") {
		t.Errorf("%+v", event)
	}
}

// A patch that cannot be had, or installed, harms nothing, and says why; the next goes on
// where it stopped.
func TestPatchFails(t *testing.T) {
	d := newDebian(t)
	d.shell("dpkg", "--install", d.offer("tool", "1.0", "old", ""))
	index := readFile(t, d.repository+"/Packages")
	if err := os.Remove(d.repository + "/Packages"); err != nil {
		t.Fatal(err)
	}
	if changed, err := d.patch(); err == nil || len(changed) > 0 || !strings.Contains(err.Error(), "the lists of packages cannot be read: apt-get exited with status 100: E: ") {
		t.Errorf("without a repository: %q, %v", changed, err)
	}
	if err := os.WriteFile(d.repository+"/Packages", []byte(index), 0o644); err != nil {
		t.Fatal(err)
	}
	d.offer("tool", "1.1", "new", "#!/bin/sh\necho it will not do\nexit 3")
	changed, err := d.patch()
	if err == nil || len(changed) > 0 || !strings.Contains(err.Error(), "packages cannot be installed: apt-get exited with status 100: ") {
		t.Errorf("a package that refuses: %q, %v", changed, err)
	}
	if got := readFile(t, d.root+"/usr/share/tool"); got != "old\n" {
		t.Errorf("the file is %q", got)
	}
	d.offer("tool", "1.2", "newer", "")
	if changed, err = d.patch(); err != nil || !slices.Equal(changed, []string{"tool 1.0 to 1.2"}) {
		t.Errorf("after that: %q, %v\n%s", changed, err, d.log)
	}
}

// A patch is not taken for the work of a script: one whose end nobody saw is compared
// before, and one that runs is waited for (G2).
func TestPatchIsNoScriptsWork(t *testing.T) {
	d := newDebian(t)
	d.shell("dpkg", "--install", d.offer("tool", "1.0", "old", ""))
	before := takeInventory(d.patcher.scripts.image)
	if err := os.WriteFile(d.root+"/etc/evil", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	gone := map[string]any{"begun": true, "before": before, "runner": 0, "started": "0"}
	text, err := json.Marshal(gone)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.root+"/kept/op1.json", text, 0o600); err != nil {
		t.Fatal(err)
	}
	d.offer("tool", "1.1", "new", "")
	runs, err := holdFiles(t.Context(), d.patcher.lock, false, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(300*time.Millisecond, runs)
	if changed, err := d.patch(); err != nil || len(changed) != 1 {
		t.Fatalf("%q, %v", changed, err)
	}
	told, err := settle(t.Context(), script{Name: "op1", Timeout: time.Second}, d.patcher.scripts)
	if want := []string{d.root + "/etc/evil"}; err != nil || !slices.Equal(told.Changed, want) {
		t.Errorf("the script changed %q, %v; want %q", told.Changed, err, want)
	}
}

// A program that hangs ends with what it started.
func TestPatchEndsWhatHangs(t *testing.T) {
	d := newDebian(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	d.reaped(func() {
		if err := d.patcher.run(ctx, []string{"sh", "-c", "sleep 600 & sleep 600"}); err == nil || err.Error() != "sh took too long and was ended" {
			t.Errorf("%v", err)
		}
	})
}
