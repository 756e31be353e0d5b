package image

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A node image has Debian's own sources, or the site's, and nothing of the host that built
// it (AKS: nodeOSUpgradeChannel Unmanaged).
func TestSourcesOfNodes(t *testing.T) {
	site := "deb [signed-by=/usr/share/keyrings/site.gpg] http://mirror.site/debian bookworm main\n"
	for _, c := range []struct{ why, given, file, want string }{
		{"Debian's own", "", "node.sources", debianSources},
		{"the site's, by lines", site, "node.list", site},
		{"the site's, by stanzas", "# ours\n" + debianSources, "node.sources", "# ours\n" + debianSources},
	} {
		build, tree, given := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "given")
		write(t, filepath.Join(tree, "etc/apt/sources.list"), "deb [trusted=yes] https://me:secret@mirror/debian bookworm main\n")
		write(t, filepath.Join(tree, "etc/apt/sources.list.d/0.sources"), "URIs: http://token@mirror/debian\n")
		if c.given != "" {
			write(t, given, c.given)
			if err := rememberSources(build, given); err != nil {
				t.Fatalf("%s: %v", c.why, err)
			}
		}
		sources, err := nodeSources(build)
		if err != nil {
			t.Fatal(err)
		}
		if err := setSources(filepath.Join(tree, "etc/apt"), sources); err != nil {
			t.Fatal(err)
		}
		found, _ := filepath.Glob(filepath.Join(tree, "etc/apt/sources.list*/*"))
		raw, err := os.ReadFile(filepath.Join(tree, "etc/apt/sources.list.d", c.file))
		if _, gone := os.Stat(filepath.Join(tree, "etc/apt/sources.list")); !os.IsNotExist(gone) || len(found) != 1 || string(raw) != c.want || err != nil {
			t.Errorf("%s: %v, %q, %v", c.why, found, raw, err)
		}
		if err := rememberSources(build, debianAgain); err != nil {
			t.Fatal(err)
		}
		if sources, err := nodeSources(build); err != nil || sources != debianSources {
			t.Errorf("%s: back to Debian's own: %q, %v", c.why, sources, err)
		}
	}
	if strings.Contains(debianSources, "trusted") || !slices.Contains(nodePackages, "debian-archive-keyring") {
		t.Errorf("the keys of the sources are in no package of a node: %v", nodePackages)
	}
}

// The build of a root file system notices that the site's sources are others.
func TestSourcesOfNodesAreAnInput(t *testing.T) {
	root := t.TempDir()
	key := func() string {
		t.Helper()
		key, err := rootfsStep().key(t.Context(), root, nil)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	keys := []string{key()}
	for _, mirror := range []string{"a", "b"} {
		given := filepath.Join(t.TempDir(), "given")
		write(t, given, "deb http://"+mirror+"/debian bookworm main\n")
		if err := rememberSources(filepath.Join(root, "build"), given); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key())
	}
	if keys[0] == keys[1] || keys[1] == keys[2] {
		t.Errorf("keys %v; want three", keys)
	}
}

func TestSourcesThatAreNone(t *testing.T) {
	for _, c := range []struct{ why, given, want string }{
		{"credentials", "deb https://me:secret@mirror/debian bookworm main\n", "credentials"},
		{"credentials in a stanza", "Types: deb\nURIs: https://token@mirror\nSuites: bookworm\n", "credentials"},
		{"nothing", "\n# deb http://mirror bookworm main\n", "no source"},
		{"something else", "http://mirror/debian\n", "sources.list(5)"},
		{"half a stanza", debianSources + "\nTypes: deb\nURIs: http://mirror\n", "Suites"},
	} {
		build, given := t.TempDir(), filepath.Join(t.TempDir(), "given")
		write(t, given, c.given)
		err := rememberSources(build, given)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.why, err, c.want)
		}
		if sources, err := nodeSources(build); err != nil || sources != debianSources {
			t.Errorf("%s: kept %q, %v", c.why, sources, err)
		}
	}
	if err := rememberSources(t.TempDir(), "nowhere"); err == nil {
		t.Error("a file that is not there has sources")
	}
}
