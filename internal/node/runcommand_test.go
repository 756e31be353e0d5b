package node

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A script that only looks changes nothing; one that writes, removes, makes or turns a
// file executable is told by the file's name. Directories that the service writes to, and
// the times of files that were only read, do not count.
func TestScriptsTellWhatTheyChange(t *testing.T) {
	for _, c := range []struct{ why, script, want string }{
		{"reading", `cat "$DIR/etc/a" > /dev/null; ls -lR "$DIR" > /dev/null`, ""},
		{"opening for writing without writing", `: >> "$DIR/etc/a"`, ""},
		{"writing", `echo more >> "$DIR/etc/a"`, "etc/a"},
		{"removing", `rm "$DIR/etc/a"`, "etc/a"},
		{"making", `mkdir "$DIR/new"; echo x > "$DIR/new/b"`, "new/b"},
		{"a mode", `chmod 755 "$DIR/etc/a"`, "etc/a"},
		{"a link", `ln -sf /nowhere "$DIR/etc/link"`, "etc/link"},
		{"an empty directory alone", `mkdir "$DIR/empty"`, ""},
		{"outside", `echo x > "$OUT"`, ""},
	} {
		dir := t.TempDir()
		write := func(path, text string) {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write("etc/a", "content")
		write("usr/bin/tool", "tool")
		result, err := runScript(t.Context(), script{
			Script: c.script, Environment: []string{"DIR=" + dir, "OUT=" + filepath.Join(t.TempDir(), "out")}, Timeout: time.Minute, Limit: 4096,
		}, places{image: []string{dir}, kept: t.TempDir()})
		if err != nil || result.ExitCode != 0 {
			t.Fatalf("%s: %+v, %v", c.why, result, err)
		}
		var got []string
		for _, path := range result.Changed {
			got = append(got, strings.TrimPrefix(path, dir+"/"))
		}
		if strings.Join(got, " ") != c.want || int(result.ChangedCount) != len(got) {
			t.Errorf("%s: %v (%d), want %q", c.why, got, result.ChangedCount, c.want)
		}
	}
}

// What a script leaves in the background ends with it, wherever it went: it could change
// files when nobody looks any more.
func TestNothingOutlivesAScript(t *testing.T) {
	for why, left := range map[string]string{
		"in its group":     `sh -c 'echo $$ > "$DIR/pid"; exec sleep 300' > /dev/null 2>&1 &`,
		"in its own":       `setsid sh -c 'echo $$ > "$DIR/pid"; exec sleep 300' > /dev/null 2>&1 &`,
		"without a parent": `(setsid sh -c 'sh -c "echo \$\$ > \"\$DIR/pid\"; exec sleep 300" &' &) > /dev/null 2>&1`,
	} {
		dir := t.TempDir()
		result, err := runScript(t.Context(), script{
			Script: left + "\nuntil [ -s \"$DIR/pid\" ]; do sleep 0.01; done; echo done", Environment: []string{"DIR=" + dir}, Timeout: time.Minute, Limit: 4096,
		}, places{image: []string{t.TempDir()}, kept: t.TempDir()})
		if err != nil || result.Stdout != "done\n" {
			t.Fatalf("%s: %+v, %v", why, result, err)
		}
		pid, err := os.ReadFile(filepath.Join(dir, "pid"))
		if err != nil {
			t.Fatal(err)
		}
		// Of one that has ended and was not waited for yet, the command line is empty.
		if text, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(pid)), "cmdline")); err == nil && len(text) > 0 {
			t.Errorf("%s: it is still there", why)
		}
	}
}

// What a script starts and leaves to end by itself is gone while the script runs.
func TestAdoptedProcessesAreReaped(t *testing.T) {
	result, err := runScript(t.Context(), script{
		Script: `(setsid sh -c 'echo $$ > "$DIR/part"; mv "$DIR/part" "$DIR/pid"' &)
until [ -s "$DIR/pid" ]; do sleep 0.01; done
while [ -e "/proc/$(cat "$DIR/pid")" ]; do sleep 0.01; done`,
		Environment: []string{"DIR=" + t.TempDir()}, Timeout: time.Minute, Limit: 4096,
	}, places{image: []string{t.TempDir()}, kept: t.TempDir()})
	if err != nil || result.ExitCode != 0 {
		t.Errorf("it is there while the script runs: %+v, %v", result, err)
	}
}

// What others write to after the boot is looked at by nobody; what a boot writes once is
// compared as the image's own files are.
func TestOwnDirectoriesAreLeftOut(t *testing.T) {
	own := func(path string) bool {
		return slices.ContainsFunc(ownDirs, func(own string) bool { return path == own || strings.HasPrefix(path, own+"/") })
	}
	for path := range takeInventory([]string{"/etc"}) {
		if own(path) {
			t.Errorf("%s is looked at", path)
		}
	}
	if len(takeInventory([]string{"/etc"})) == 0 {
		t.Error("nothing is looked at")
	}
	for why, path := range map[string]string{
		"the SSH server makes its host keys at the first login": "/etc/dropbear/dropbear_ed25519_host_key",
		"the network agent writes it at each start":             "/etc/cni/net.d/10-berth.conflist",
		"the management cluster's kubelet keeps it current":     DefaultConfigPath,
		"it is mounted into the machine":                        "/etc/resolv.conf",
	} {
		if !own(path) {
			t.Errorf("%s is looked at, and %s", path, why)
		}
	}
	for _, path := range []string{
		containerdConfigPath, filepath.Join(certsDir, registryHost, "hosts.toml"), kubeletConfigPath, "/etc/kubernetes/manifests/own.yaml", "/opt/cni/bin/ptp", "/etc/passwd",
	} {
		if own(path) || !slices.ContainsFunc(imageDirs, func(dir string) bool { return strings.HasPrefix(path, dir+"/") }) {
			t.Errorf("%s is not looked at, and nothing but a script writes to it after the boot", path)
		}
	}
}

func TestScriptsEnd(t *testing.T) {
	for _, c := range []struct {
		why       string
		asked     script
		code      int
		out, errs string
	}{
		{"arguments and variables", script{Script: `echo "$1 $2 $WHO"`, Arguments: []string{"a b", "c"}, Environment: []string{"WHO=me"}}, 0, "a b c me\n", ""},
		{"a script that fails", script{Script: "echo no >&2; exit 7"}, 7, "", "no\n"},
		{"the end of what is long", script{Script: "for i in 1 2 3 4 5 6 7 8 9; do echo line $i; done", Limit: 14}, 0, "line 8\nline 9\n", ""},
		{"one that does not end", script{Script: "echo began; sleep 60 & wait", Timeout: 2 * time.Second}, killed, "began\n", "ended after"},
	} {
		if c.asked.Timeout == 0 {
			c.asked.Timeout = time.Minute
		}
		if c.asked.Limit == 0 {
			c.asked.Limit = 4096
		}
		result, err := runScript(t.Context(), c.asked, places{image: []string{t.TempDir()}, kept: t.TempDir()})
		if err != nil || result.ExitCode != c.code || result.Stdout != c.out || !strings.Contains(result.Stderr, c.errs) || c.errs == "" && result.Stderr != "" {
			t.Errorf("%s: %+v, %v", c.why, result, err)
		}
	}
}
