package host

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/internal/backup"
)

// restoreRecord is what restore.json holds from when a restore begins until the
// management cluster runs on what it brought back.
type restoreRecord struct {
	// Store is the URL without anything secret.
	Store string    `json:"store"`
	Begun time.Time `json:"begun"`
	// Point is the time up to which everything is back; nil until etcd's data are in
	// place. What there is before that is removed by the next attempt.
	Point *time.Time `json:"point,omitempty"`
}

// restoring puts the newest backup of Berth's own state into an empty state directory
// (C3, X3): the files of its machine, and the data of the management cluster's etcd.
type restoring struct {
	progress
	paths     Paths
	artifacts Artifacts
	store     string
	key, id   string
}

// errInterrupted says that what is in a state directory is half of a restore's.
var errInterrupted = errors.New("a restore of this state directory was interrupted: say \"berth up --restore URL\" again, which begins anew")

// checkRestored refuses to go on from half a restore.
func checkRestored(paths Paths) error {
	var record restoreRecord
	found, err := readJSON(paths.restoreRecord(), &record)
	if err == nil && found && record.Point == nil {
		err = errInterrupted
	}
	return err
}

// restoreState does what is left to do of a restore.
func (u *upper) restoreState(ctx context.Context) error {
	var record restoreRecord
	found, err := readJSON(u.paths.restoreRecord(), &record)
	if err != nil {
		return err
	}
	if found && record.Point != nil {
		u.step("the restore had put everything in its place already")
		return nil
	}
	if !found {
		if err := refuseOccupied(u.paths); err != nil {
			return err
		}
	}
	r := restoring{progress: u.progress, paths: u.paths, artifacts: u.artifacts, store: u.Restore}
	if r.key, err = readRecoveryKey(u.paths, u.RecoveryKey); err != nil {
		return err
	}
	return r.run(ctx)
}

// refuseOccupied wants a state directory that has nothing but backups and the recovery
// key: what a restore brings back must not meet what somebody still needs.
func refuseOccupied(paths Paths) error {
	if runningSupervisor(paths) != nil {
		return fmt.Errorf("Berth is up in %s: a restore needs an empty state directory", paths.State) //nolint:staticcheck // a name
	}
	spared := []string{paths.backups(), paths.run(""), filepath.Join(paths.State, "logs"), filepath.Join(paths.State, "lost+found")}
	return filepath.WalkDir(paths.State, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("look into the state directory: %w", err)
		case entry.IsDir() && slices.Contains(spared, path):
			return fs.SkipDir
		case entry.IsDir(), path == paths.recoveryKey():
			return nil
		}
		return fmt.Errorf("%s is not empty: there is %s. A restore makes everything anew; move the directory away first, or name another one with --state-dir", paths.State, path)
	})
}

func (r *restoring) run(ctx context.Context) error {
	files, err := r.find(ctx)
	if err != nil {
		return err
	}
	record := restoreRecord{Store: r.shown(), Begun: time.Now().UTC()}
	if err := writeJSON(r.paths.restoreRecord(), record); err != nil {
		return err
	}
	if err := r.clear(); err != nil {
		return err
	}
	if err := r.adopt(ctx); err != nil {
		return err
	}
	said, err := r.rebuild(ctx)
	if err != nil {
		return err
	}
	if err := writeState(r.paths, files); err != nil {
		return err
	}
	if err := r.tidy(); err != nil {
		return err
	}
	record.Point = said.Time
	if record.Point == nil {
		record.Point = &record.Begun
	}
	return writeJSON(r.paths.restoreRecord(), record)
}

// shown is the store's URL without anything secret.
func (r *restoring) shown() string { return backup.Redact(r.store) }

// find opens the newest bundle that is whole: the key fits, and there is something to
// restore, before anything is written.
func (r *restoring) find(ctx context.Context) (map[string][]byte, error) {
	publicKey, err := backup.PublicKey(r.key)
	if err != nil {
		return nil, err
	}
	r.id = backup.ManagementID(publicKey)
	parts, err := backup.Parts(ctx, r.store)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(parts, r.id) {
		if slices.ContainsFunc(parts, isManagement) {
			return nil, fmt.Errorf("the recovery key does not open what %s has of Berth: it is another Berth's", r.shown())
		}
		return nil, fmt.Errorf("%s has no backup of Berth", r.shown())
	}
	store, err := backup.OpenStore(ctx, r.store, r.id)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	found, err := store.Bundle(ctx, r.key)
	if err != nil {
		return nil, fmt.Errorf("the files of the machine: %w", err)
	}
	if len(found.Damaged) > 0 {
		r.step("damaged, passed over: %s", strings.Join(found.Damaged, ", "))
	}
	r.step("%s has a backup that the recovery key opens (%d files of the machine)", r.shown(), len(found.Files))
	return found.Files, nil
}

// isManagement says whether a part of a store is that of a management cluster.
func isManagement(part string) bool { return strings.HasPrefix(part, backup.ManagementPrefix) }

// clear removes what an interrupted restore left.
func (r *restoring) clear() error {
	for _, path := range []string{r.paths.instance(), r.paths.kubernetesPKI(), r.paths.machine("etcd"), r.paths.machine("etcd.new"), r.paths.machine("etcd.lost")} {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove what an interrupted restore left: %w", err)
		}
	}
	if err := writeFile(r.paths.recoveryKey(), []byte(r.key+"\n"), 0o600); err != nil {
		return err
	}
	return r.tidy()
}

// tidy removes what `etcd-snapshot recover` notes beside the data, and makes the
// directories again that the machine needs.
func (r *restoring) tidy() error {
	for _, name := range []string{"etcd.recovered", "recovery"} {
		if err := os.RemoveAll(r.paths.machine(name)); err != nil {
			return fmt.Errorf("tidy up after the restore: %w", err)
		}
	}
	return r.paths.create()
}

// adopt brings the backups of a directory to where this Berth has its own: clusters
// get their data back from there.
func (r *restoring) adopt(ctx context.Context) error {
	parsed, err := url.Parse(r.store)
	if err != nil || parsed.Scheme != "file" {
		return err
	}
	from, own := filepath.Clean(parsed.Path), r.paths.backups()
	if same, err := sameFile(from, own); err != nil || same {
		return err
	}
	copied, size, err := copyBackups(ctx, from, own)
	if err != nil {
		return err
	}
	r.step("%d backups (%d MiB) are in %s too", copied, size>>20, own)
	return nil
}

// rebuilt is what `etcd-snapshot recover` says.
type rebuilt struct {
	Snapshot string     `json:"snapshot"`
	Damaged  []string   `json:"damaged"`
	Deltas   int        `json:"deltas"`
	Revision int64      `json:"revision"`
	Time     *time.Time `json:"time"`
	Keys     int64      `json:"keys"`
}

// rebuild makes the data directory of the management cluster's etcd, by the program
// that recovers those of clusters.
func (r *restoring) rebuild(ctx context.Context) (rebuilt, error) {
	var said rebuilt
	scratch, err := os.MkdirTemp(r.paths.run(""), "restore-")
	if err != nil {
		return said, fmt.Errorf("make room for certificates: %w", err)
	}
	defer os.RemoveAll(scratch)
	address, stop, err := r.serve(ctx, scratch)
	if err != nil {
		return said, err
	}
	defer stop()
	command := exec.CommandContext(ctx, filepath.Join(r.artifacts.Dir, "out", "etcd-snapshot"), "recover",
		"--source=https://"+address+"/backups/"+r.id,
		"--cacert="+filepath.Join(scratch, "ca.crt"), "--cert="+filepath.Join(scratch, "client.crt"), "--key="+filepath.Join(scratch, "client.key"),
		"--data-dir="+r.paths.machine("etcd"), "--name="+etcdMember, "--peer="+etcdPeerURL, "--token="+etcdToken,
		fmt.Sprintf("--id=restore-%d", time.Now().UnixMilli()))
	var complaint bytes.Buffer
	command.Stderr = &complaint
	report, err := command.Output()
	if err != nil {
		return said, fmt.Errorf("restore the management cluster: %w: %s", err, strings.TrimSpace(complaint.String()))
	}
	if err := json.Unmarshal(report, &said); err != nil || said.Snapshot == "" {
		return said, fmt.Errorf("restore the management cluster: the report %q is not understood", report)
	}
	if len(said.Damaged) > 0 {
		r.step("damaged, passed over: %s", strings.Join(said.Damaged, ", "))
	}
	r.step("%d keys of the management cluster are back: %s and %d deltas, up to revision %d", said.Keys, said.Snapshot, said.Deltas, said.Revision)
	return said, nil
}

// serve gives opened backups to whoever shows the certificate that it leaves in a
// directory, until stop is called.
func (r *restoring) serve(ctx context.Context, scratch string) (address string, stop func(), err error) {
	keys, err := newSourceKeys(time.Now())
	if err != nil {
		return "", nil, err
	}
	for name, content := range map[string][]byte{"ca.crt": keys.authority, "client.crt": keys.client, "client.key": keys.clientKey} {
		if err := writeFile(filepath.Join(scratch, name), content, 0o600); err != nil {
			return "", nil, err
		}
	}
	pair, err := tls.X509KeyPair(keys.server, keys.serverKey)
	if err != nil {
		return "", nil, fmt.Errorf("make certificates: %w", err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(keys.authority)
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("give out backups: %w", err)
	}
	server := &http.Server{
		Handler: backup.Source{
			Allow: func(*http.Request, string) error { return nil }, // the certificate is the key
			Vault: func(context.Context, string) (backup.Vault, error) {
				return backup.Vault{Stores: []string{r.store}, Key: r.key}, nil
			},
			Log: slog.New(slog.DiscardHandler),
		}.Handler(),
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients},
		ReadHeaderTimeout: requestTimeout,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	go func() { _ = server.ServeTLS(listener, "", "") }() // ends with stop
	return listener.Addr().String(), func() { _ = server.Close() }, nil
}
