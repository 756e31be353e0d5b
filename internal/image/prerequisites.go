package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// prerequisite is something that a build needs of the host.
type prerequisite struct {
	// Package is the Debian package that has it.
	Package string
	// Present tells whether the host has it.
	Present func() bool
}

func hasProgram(name string) func() bool {
	return func() bool {
		_, err := exec.LookPath(name)
		return err == nil
	}
}

func hasFile(path string) func() bool {
	return func() bool {
		_, err := os.Stat(path)
		return err == nil
	}
}

// prerequisites is everything beside Go itself.
func prerequisites() []prerequisite {
	return []prerequisite{
		{"ca-certificates", hasFile("/etc/ssl/certs/ca-certificates.crt")},
		{"gcc", hasProgram("gcc")},
		{"libc6-dev", hasFile("/usr/include/stdio.h")},
		{"pkg-config", hasProgram("pkg-config")},
		{"libseccomp-dev", hasFile("/usr/include/seccomp.h")},
		{"mmdebstrap", hasProgram("mmdebstrap")},
	}
}

// missing lists the packages of the prerequisites that are not there.
func missing(all []prerequisite) []string {
	var packages []string
	for _, p := range all {
		if !p.Present() {
			packages = append(packages, p.Package)
		}
	}
	return packages
}

// host is who builds where, as far as installing packages goes.
type host struct {
	root   bool
	debian bool
}

func thisHost() host {
	raw, _ := os.ReadFile("/etc/os-release")
	return host{root: os.Geteuid() == 0, debian: strings.Contains("\n"+string(raw), "\nID=debian\n")}
}

// ensure installs what is missing, or says which command does.
func ensure(ctx context.Context, h host, packages []string, out io.Writer) error {
	if !h.root {
		text := "a build needs root, since it makes root file systems with their owners and device mounts: run it with sudo"
		if len(packages) > 0 {
			text += "; it will also need: " + installCommand(packages)
		}
		return errors.New(text)
	}
	if len(packages) == 0 {
		return nil
	}
	if !h.debian {
		return fmt.Errorf("the build needs these Debian packages or their like: %s; on Debian and its kin: %s",
			strings.Join(packages, ", "), installCommand(packages))
	}
	fmt.Fprintf(out, "installing %s\n", strings.Join(packages, ", "))
	install := program{
		Argv: append([]string{"apt-get", "install", "--yes", "--no-install-recommends"}, packages...),
		Env:  append(os.Environ(), "DEBIAN_FRONTEND=noninteractive"),
	}
	if install.run(ctx, io.Discard) == nil {
		return nil
	}
	// Most often the lists are empty or old; the second try tells the real trouble.
	if err := (program{Argv: []string{"apt-get", "update"}}).run(ctx, io.Discard); err != nil {
		return fmt.Errorf("install what the build needs: %w", err)
	}
	if err := install.run(ctx, io.Discard); err != nil {
		return fmt.Errorf("install what the build needs: %w", err)
	}
	return nil
}

func installCommand(packages []string) string {
	return "apt-get install " + strings.Join(packages, " ")
}
