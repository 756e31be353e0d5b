package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/install"
	"berth.dev/berth/internal/pki"
)

// etcdBackupUser is who Berth is to the management cluster's etcd.
const etcdBackupUser = "berth-backup"

// ensureRecoveryKey draws the key that opens the backups of Berth's own state, once, and
// returns its public half. It never leaves the state directory: whoever is to restore
// on another machine needs a copy that the operator made (X3).
func ensureRecoveryKey(paths Paths, now time.Time) (publicKey string, drawn bool, err error) {
	k := keystore{paths.berthPKI(), now}
	raw, err := k.once(filepath.Base(paths.recoveryKey()), func() ([]byte, error) {
		drawn = true
		key, err := backup.NewKey()
		return []byte(key + "\n"), err
	})
	if err != nil {
		return "", false, err
	}
	publicKey, err = backup.PublicKey(keyIn(raw))
	if err != nil {
		return "", false, fmt.Errorf("%s: %w", paths.recoveryKey(), err)
	}
	return publicKey, drawn, nil
}

// keyIn is the key in a file that may have comments, as age-keygen writes them.
func keyIn(raw []byte) string {
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return ""
}

// stateFiles are the files that a machine cannot be without and that are in no etcd:
// who this Berth is, and the keys of everything (see the package documentation). The
// recovery key is not among them, since it would be needed to read them.
func stateFiles(paths Paths) (map[string][]byte, error) {
	files := map[string][]byte{}
	add := func(path string) error {
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(paths.State, path)
		files[name] = raw
		return err
	}
	if err := add(paths.instance()); err != nil {
		return nil, fmt.Errorf("collect the state: %w", err)
	}
	err := filepath.WalkDir(filepath.Join(paths.State, "pki"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || path == paths.recoveryKey() || strings.HasPrefix(entry.Name(), ".") {
			return err
		}
		return add(path)
	})
	if err != nil {
		return nil, fmt.Errorf("collect the state: %w", err)
	}
	return files, nil
}

// managementBackup is what Berth needs to back up this management cluster.
func managementBackup(paths Paths, publicKey string) (*install.Management, error) {
	files, err := stateFiles(paths)
	if err != nil {
		return nil, err
	}
	bundle, err := backup.SealBundle(publicKey, files)
	if err != nil {
		return nil, err
	}
	m := &install.Management{Endpoint: etcdURL, PublicKey: publicKey, Bundle: bundle.Sealed, Digest: bundle.Digest}
	for name, into := range map[string]*[]byte{"etcd-ca.crt": &m.CA, "etcd-backup.crt": &m.Cert, "etcd-backup.key": &m.Key} {
		if *into, err = os.ReadFile(filepath.Join(paths.kubernetesPKI(), name)); err != nil {
			return nil, fmt.Errorf("collect what backups need: %w", err)
		}
	}
	return m, nil
}

// sourceKeys are certificates for one restore: the program that rebuilds etcd's data
// gets opened backups from this process, and nobody else on the host does.
type sourceKeys struct {
	authority, server, serverKey, client, clientKey []byte
}

func newSourceKeys(now time.Time) (sourceKeys, error) {
	const life = 24 * time.Hour
	var keys sourceKeys
	authority, err := pki.NewAuthority("berth-restore-ca", life, now)
	if err != nil {
		return keys, err
	}
	keys.authority = authority.CertPEM
	var serverErr, clientErr error
	keys.server, keys.serverKey, serverErr = authority.Issue(pki.Request{CommonName: "berth-restore", IPs: loopback(), Usage: pki.Server, Life: life}, now)
	keys.client, keys.clientKey, clientErr = authority.Issue(pki.Request{CommonName: "etcd-snapshot", Usage: pki.Client, Life: life}, now)
	return keys, errors.Join(serverErr, clientErr)
}

// writeState puts the files of a bundle into a state directory.
func writeState(paths Paths, files map[string][]byte) error {
	for name, content := range files {
		path := filepath.Join(paths.State, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("write the state: %w", err)
		}
		if err := writeFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// readRecoveryKey reads the operator's copy of the key, or the one that is already in
// the state directory.
func readRecoveryKey(paths Paths, file string) (string, error) {
	if file == "" {
		file = paths.recoveryKey()
	}
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && file == paths.recoveryKey() {
		return "", errors.New("--restore needs --recovery-key: the copy of pki/berth/recovery.key that you kept")
	}
	if err != nil {
		return "", fmt.Errorf("read the recovery key: %w", err)
	}
	key := keyIn(bytes.TrimSpace(raw))
	if _, err := backup.PublicKey(key); err != nil {
		return "", fmt.Errorf("%s is no recovery key: a line with AGE-SECRET-KEY-1… is wanted", file)
	}
	return key, nil
}
