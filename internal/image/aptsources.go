package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// debianKeyring is the file of the package debian-archive-keyring that has the keys of the
// suite and of its security updates.
const debianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// debianSources are where a node gets the patches of its operating system (AKS:
// nodeOSUpgradeChannel Unmanaged): Debian's own, whatever the host that built its image
// uses, which may be a mirror that no node reaches or that never changes.
const debianSources = `Types: deb
URIs: http://deb.debian.org/debian
Suites: ` + suite + ` ` + suite + `-updates
Components: main
Signed-By: ` + debianKeyring + `

Types: deb
URIs: http://security.debian.org/debian-security
Suites: ` + suite + `-security
Components: main
Signed-By: ` + debianKeyring + `
`

// siteSourcesFile has the sources that nodes get instead, of a site that does not reach
// Debian's. It belongs to the build directory, for later builds to go on with.
const siteSourcesFile = "node-apt-sources.txt"

// debianAgain is what is given for a file of sources to go back to debianSources.
const debianAgain = "debian"

// siteSources is the input of the site's sources, if it has some.
func siteSources(_ context.Context, root string) ([]string, error) {
	path := filepath.Join("build", siteSourcesFile)
	_, err := os.Stat(filepath.Join(root, path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for sources of nodes: %w", err)
	}
	return []string{path}, nil
}

// nodeSources are the apt sources of the nodes that a build directory makes.
func nodeSources(build string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(build, siteSourcesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return debianSources, nil
	}
	if err != nil {
		return "", fmt.Errorf("read sources of nodes: %w", err)
	}
	return string(raw), nil
}

// rememberSources has a build directory make nodes with the sources in a file from now on,
// or with Debian's own again.
func rememberSources(build, path string) error {
	kept := filepath.Join(build, siteSourcesFile)
	if path == debianAgain {
		if err := os.Remove(kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget sources of nodes: %w", err)
		}
		return nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read sources of nodes: %w", err)
	}
	if err := checkSources(string(raw)); err != nil {
		return fmt.Errorf("sources of nodes in %s: %w", path, err)
	}
	if err := os.MkdirAll(build, 0o755); err != nil {
		return fmt.Errorf("make build directory: %w", err)
	}
	if err := writeFile(kept, raw); err != nil {
		return fmt.Errorf("remember sources of nodes: %w", err)
	}
	return nil
}

// userInfo is what a URL may have before its host: a name, a password, a token.
var userInfo = regexp.MustCompile(`://[^/@\s]+@`)

// checkSources refuses what apt would, and credentials: everyone who has a node image, or
// a shell in a node, could read them.
func checkSources(content string) error {
	if userInfo.MatchString(content) {
		return errors.New("a URL has credentials, which everyone with a node could read; give one without")
	}
	if inStanzas(content) {
		for stanza := range strings.SplitSeq(content, "\n\n") {
			for _, field := range []string{"Types", "URIs", "Suites"} {
				if _, ok := stanzaField(stanza, field); !ok && !onlyComments(stanza) {
					return fmt.Errorf("a stanza has no field %s (sources.list(5), deb822)", field)
				}
			}
		}
		return nil
	}
	found := false
	for line := range strings.Lines(content) {
		words := strings.Fields(line)
		switch {
		case onlyComments(line):
		case words[0] != "deb" && words[0] != "deb-src":
			return fmt.Errorf("%q is neither a stanza nor a line that begins with deb (sources.list(5))", strings.TrimSpace(line))
		default:
			found = true
		}
	}
	if !found {
		return errors.New("there is no source in it")
	}
	return nil
}

func onlyComments(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

// inStanzas tells apt's two formats apart, which it does by the names of files.
func inStanzas(content string) bool {
	_, ok := stanzaField(content, "Types")
	return ok
}

// setSources has a root file system get its packages from these sources and no others: what
// it has are those of the host that built it.
func setSources(etcApt, sources string) error {
	for _, name := range []string{"sources.list", "sources.list.d"} {
		if err := os.RemoveAll(filepath.Join(etcApt, name)); err != nil {
			return fmt.Errorf("remove the host's sources: %w", err)
		}
	}
	name := "node.list"
	if inStanzas(sources) {
		name = "node.sources"
	}
	return writeFile(filepath.Join(etcApt, "sources.list.d", name), []byte(sources))
}
