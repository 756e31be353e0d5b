package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// suite is the Debian release of the machines.
const suite = "bookworm"

// nodePackages is what a machine has beside Debian's essential packages.
// usr-is-merged keeps usrmerge, and with it the whole of Perl, out.
var nodePackages = []string{
	"ca-certificates", "conntrack", "debian-archive-keyring", "dropbear-bin", "ethtool", "iproute2", "ipset", "iptables", "kmod",
	"mount", "nftables", "procps", "socat", "usr-is-merged",
}

// excluded are paths that nobody reads in a machine.
var excluded = []string{
	"/usr/share/man/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*",
	"/usr/share/bash-completion/*",
}

// recordPackages leaves the list of what is in the image, for those who ask
// which versions a node has.
const recordPackages = `mkdir -p "$1/usr/share/berth" && ` +
	`chroot "$1" dpkg-query -W -f '${Package}\t${Version}\t${Architecture}\n' > "$1/usr/share/berth/packages.txt"`

// Files and directories that belong to the host that built the root file system
// or to one machine, are emptied or removed. Go does it, after the mounts that
// mmdebstrap has below dev are gone.
var (
	emptied = []string{"dev", "run", "tmp", "var/cache", "var/log", "var/lib/apt/lists"}
	removed = []string{"etc/apt/apt.conf.d/99mmdebstrap", "etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-"}
	blank   = []string{"etc/machine-id", "etc/resolv.conf", "etc/hostname"}
)

// cleanRootfs leaves nothing of the host in a root file system, whose nodes get their
// packages from sources.
func cleanRootfs(tree, sources string) error {
	for _, dir := range emptied {
		entries, err := os.ReadDir(filepath.Join(tree, dir))
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := os.RemoveAll(filepath.Join(tree, dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	for _, file := range removed {
		if err := os.Remove(filepath.Join(tree, file)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	for _, file := range blank {
		if err := writeFile(filepath.Join(tree, file), nil); err != nil {
			return err
		}
	}
	return setSources(filepath.Join(tree, "etc/apt"), sources)
}

// rootfsArgv is the command that makes Debian's part of a machine in target.
// sources are files in apt's format; none means Debian's own mirrors.
func rootfsArgv(target string, sources, aptOptions []string) []string {
	argv := []string{
		"mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory",
		"--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
		"--include=" + strings.Join(nodePackages, ","),
		// A root file system that is thrown away on failure needs no fsync for each file.
		"--dpkgopt=force-unsafe-io",
	}
	for _, path := range excluded {
		argv = append(argv, "--dpkgopt=path-exclude="+path)
	}
	for _, option := range aptOptions {
		argv = append(argv, "--aptopt="+option)
	}
	argv = append(argv, "--customize-hook="+recordPackages, suite, target)
	return append(argv, sources...)
}

// rootfsStep makes Debian's part of a machine.
func rootfsStep() Step {
	const output = debianTree
	return Step{
		Name: "rootfs", Title: "Debian 12 root file system",
		Recipe:  append(rootfsArgv("", nil, nil), fmt.Sprint(emptied, removed, blank), debianSources),
		Inputs:  []Input{siteSources},
		Outputs: []string{output},
		Run: func(ctx context.Context, w *Work) error {
			later, err := nodeSources(w.Build)
			if err != nil {
				return err
			}
			sources, err := hostSources("/etc/apt", w.Temporary)
			if err != nil {
				return err
			}
			options, err := hostAptOptions(ctx)
			if err != nil {
				return err
			}
			if err := w.run(ctx, program{
				Argv:      rootfsArgv(w.Output(output), sources, options),
				Env:       append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"),
				OwnMounts: true,
				Line: func(line string) {
					if said, ok := strings.CutPrefix(line, "I: "); ok && strings.HasSuffix(said, "...") {
						w.Say(strings.TrimSuffix(said, "..."))
					}
				},
			}); err != nil {
				return err
			}
			return cleanRootfs(w.Output(output), later)
		},
	}
}

// hostSources finds where this host gets the suite's packages, so that a host
// behind a mirror builds from its mirror. It writes what it found to files in
// dir, since mmdebstrap tells apt's two formats apart only by whole files. A
// host that has no such source gives none.
func hostSources(etcApt, dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(etcApt, "sources.list.d", "*"))
	if err != nil {
		return nil, err
	}
	var found []string
	for i, path := range append([]string{filepath.Join(etcApt, "sources.list")}, paths...) {
		filter := map[string]func(string) string{".list": filterList, ".sources": filterStanzas}[filepath.Ext(path)]
		raw, err := os.ReadFile(path)
		if filter == nil || os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read apt's sources: %w", err)
		}
		kept := filter(string(raw))
		if kept == "" {
			continue
		}
		file := filepath.Join(dir, fmt.Sprintf("%d%s", i, filepath.Ext(path)))
		if err := os.WriteFile(file, []byte(kept), 0o644); err != nil {
			return nil, err
		}
		found = append(found, file)
	}
	return found, nil
}

// filterList keeps the lines of a sources.list that are of the suite.
func filterList(content string) string {
	var kept strings.Builder
	for line := range strings.Lines(content) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "deb" {
			continue
		}
		if i := slices.IndexFunc(words, func(word string) bool { return strings.Contains(word, "://") }); i > 0 && i+1 < len(words) && ofSuite(words[i+1]) {
			kept.WriteString(strings.TrimRight(line, "\n") + "\n")
		}
	}
	return kept.String()
}

// filterStanzas keeps the stanzas of a deb822 file whose suites are all of the suite.
func filterStanzas(content string) string {
	var kept []string
	for stanza := range strings.SplitSeq(content, "\n\n") {
		suites, ok := stanzaField(stanza, "Suites")
		enabled, said := stanzaField(stanza, "Enabled")
		if !ok || said && strings.EqualFold(enabled, "no") {
			continue
		}
		if !slices.ContainsFunc(strings.Fields(suites), func(s string) bool { return !ofSuite(s) }) {
			kept = append(kept, strings.TrimRight(stanza, "\n")+"\n")
		}
	}
	return strings.Join(kept, "\n")
}

func stanzaField(stanza, name string) (string, bool) {
	for line := range strings.Lines(stanza) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.EqualFold(strings.TrimSpace(key), name) {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

func ofSuite(name string) bool {
	return name == suite || name == suite+"-updates" || name == suite+"-security"
}

// aptSettings are the host's settings without which its sources may not answer.
var aptSettings = []string{"Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries"}

// hostAptOptions returns the host's settings of that kind in apt's own syntax.
func hostAptOptions(ctx context.Context) ([]string, error) {
	dump, err := program{Argv: []string{"apt-config", "dump"}}.output(ctx)
	if err != nil {
		return nil, err
	}
	var options []string
	for line := range strings.Lines(dump) {
		line = strings.TrimSuffix(strings.TrimSpace(line), ";")
		isSetting := slices.ContainsFunc(aptSettings, func(prefix string) bool { return strings.HasPrefix(line, prefix) })
		if isSetting && !strings.HasSuffix(line, `""`) {
			options = append(options, line)
		}
	}
	return options, nil
}
