package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"berth.dev/berth/internal/node/supervise"
)

const (
	sshUserID = 1000
	sshShell  = "/bin/bash"
	// sshService is the server's name, also in the machine's log.
	sshService = "ssh"
)

// prepareSSH makes the administrator's account, without a password and without sudo, and returns the SSH server; nil
// where no key was given or the node image has no server.
func (m *machine) prepareSSH() (*supervise.Service, error) {
	if len(m.config.SSHAuthorizedKeys) == 0 {
		return nil, nil
	}
	server, err := findProgram("dropbear")
	if err != nil {
		m.lines.Printf("init", "no SSH: %v", err)
		return nil, nil
	}
	if err := addUser("/", m.config.AdminUsername, m.config.SSHAuthorizedKeys); err != nil {
		return nil, fmt.Errorf("make the account %s: %w", m.config.AdminUsername, err)
	}
	if err := os.MkdirAll("/etc/dropbear", 0o700); err != nil {
		return nil, err
	}
	return &supervise.Service{
		Name: sshService,
		// In the foreground, host keys made when first needed, keys only, no root.
		Command:    []string{server, "-F", "-E", "-R", "-s", "-g", "-w", "-p", "22"},
		Env:        environment(),
		StopWithin: stopServiceWithin,
	}, nil
}

// addUser adds an account to the user databases below root and gives it the keys.
func addUser(root, name string, keys []string) error {
	home := "/home/" + name
	for path, line := range map[string]string{
		"etc/passwd": fmt.Sprintf("%s:x:%d:%d::%s:%s", name, sshUserID, sshUserID, home, sshShell),
		"etc/group":  fmt.Sprintf("%s:x:%d:", name, sshUserID),
		"etc/shadow": name + ":*:19000:0:99999:7:::",
	} {
		if err := addAccountLine(filepath.Join(root, path), name, line); err != nil {
			return err
		}
	}
	dir := filepath.Join(root, home, ".ssh")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	authorized := filepath.Join(dir, "authorized_keys")
	if err := os.WriteFile(authorized, []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	for _, path := range []string{filepath.Join(root, home), dir, authorized} {
		if err := os.Chown(path, sshUserID, sshUserID); err != nil {
			return err
		}
	}
	return nil
}

// addAccountLine appends line unless the file has an entry of this name.
func addAccountLine(path, name, line string) error {
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if bytes.HasPrefix(content, []byte(name+":")) || bytes.Contains(content, []byte("\n"+name+":")) {
		return nil
	}
	if len(content) > 0 && !bytes.HasSuffix(content, []byte("\n")) {
		content = append(content, '\n')
	}
	mode := os.FileMode(0o644)
	if filepath.Base(path) == "shadow" {
		mode = 0o640
	}
	return writeFile(path, append(content, line+"\n"...), mode)
}
