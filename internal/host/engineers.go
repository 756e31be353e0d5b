package host

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"berth.dev/berth/internal/identity"
)

// EngineerName is the engineer of support that `berth up` makes if there is none (C7).
const EngineerName = "support@berth.internal"

// engineersDir has a file for each of support's engineers, of whose name it is, with the
// secret in it.
const engineersDir = "engineers"

const hashSuffix = "-hash"

// engineers are support's, as identity.FileEngineers has them: who has a file in the
// directory, and the first one where there is no directory yet.
func (k keystore) engineers() ([]byte, error) {
	if _, err := os.Stat(k.path(engineersDir)); os.IsNotExist(err) {
		if err := ensureDir(k.dir, engineersDir); err != nil {
			return nil, err
		}
		if _, _, err := k.secret(filepath.Join(engineersDir, EngineerName)); err != nil {
			return nil, err
		}
	}
	entries, err := os.ReadDir(k.path(engineersDir))
	if err != nil {
		return nil, fmt.Errorf("list engineers: %w", err)
	}
	var lines bytes.Buffer
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasSuffix(name, hashSuffix) || strings.HasPrefix(name, ".") {
			continue
		}
		if !identity.EngineerName(name) {
			return nil, fmt.Errorf("%s: an engineer's name is 1 to 64 letters, digits, and any of . _ @ -", k.path(filepath.Join(engineersDir, name)))
		}
		_, hash, err := k.secret(filepath.Join(engineersDir, name))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&lines, "%s %s\n", name, hash)
	}
	return lines.Bytes(), nil
}

// EngineerEnvironment is Environment for an engineer of support instead of the customer.
func EngineerEnvironment(stateDir, name string) ([]Variable, error) {
	variables, err := Environment(stateDir)
	if err != nil {
		return nil, err
	}
	paths, err := NewPaths(stateDir)
	if err != nil {
		return nil, err
	}
	if !identity.EngineerName(name) {
		return nil, fmt.Errorf("%q is no engineer's name", name)
	}
	secret, err := os.ReadFile(filepath.Join(paths.berthPKI(), engineersDir, name))
	if err != nil {
		return nil, fmt.Errorf("read the secret of engineer %s: %w", name, err)
	}
	for i := range variables {
		switch variables[i].Name {
		case "AZURE_CLIENT_ID":
			variables[i].Value = name
		case "AZURE_CLIENT_SECRET":
			variables[i].Value = strings.TrimSpace(string(secret))
		case "AZURE_CONFIG_DIR":
			variables[i].Value += "-" + name // two who log in do not share what az keeps
		}
	}
	return variables, nil
}
