package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
)

// revisionBump is how far revisions jump: no client may take an old revision that
// it remembers for one of the restored history.
const revisionBump = 1_000_000_000

type restoring struct {
	// from is the snapshot and dataDir what etcd starts on.
	from, dataDir string
	// name, peer and token are the member's, as in its flags.
	name, peer, token string
	// lead is how far clients may have seen beyond the snapshot.
	lead int64
}

func restoreCommand() *cobra.Command {
	var r restoring
	command := &cobra.Command{
		Use: "restore", Short: "Replace a data directory, whose etcd must not run, once for each snapshot", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return r.run() },
	}
	flags := command.Flags()
	flags.StringVar(&r.from, "from", "", "snapshot to restore")
	r.addMember(flags)
	return command
}

// addMember adds the flags that say which data directory is replaced, and whose it is.
func (r *restoring) addMember(flags *pflag.FlagSet) {
	flags.StringVar(&r.dataDir, "data-dir", "", "data directory to replace")
	flags.StringVar(&r.name, "name", "", "name of the member")
	flags.StringVar(&r.peer, "peer", "", "peer URL of the member")
	flags.StringVar(&r.token, "token", "", "token of the cluster")
}

// run replaces the directory and then notes the snapshot's name beside it. etcd
// starts after that only, so that a repetition loses nothing it has written since.
func (r restoring) run() error {
	parent, note := filepath.Dir(r.dataDir), r.dataDir+".restored"
	if last, err := os.ReadFile(note); err == nil && string(last) == filepath.Base(r.from) {
		return nil
	}
	if err := verify(r.from); err != nil {
		return fmt.Errorf("verify the snapshot: %w", err)
	}
	fresh, old := r.dataDir+".new", r.dataDir+".old"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("remove what an interrupted restore left: %w", err)
	}
	if err := r.makeRoom(parent); err != nil {
		return err
	}
	if err := r.write(fresh); err != nil {
		return err
	}
	if err := swap(fresh, r.dataDir, old); err != nil {
		return err
	}
	if err := writeNote(note, filepath.Base(r.from)); err != nil {
		return err
	}
	return os.RemoveAll(old)
}

// write makes the data directory of a snapshot whose hash has been verified: to do so
// again would take a third of its time.
func (r restoring) write(dir string) error {
	err := snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath: r.from, Name: r.name, OutputDataDir: dir,
		PeerURLs: []string{r.peer}, InitialCluster: r.name + "=" + r.peer, InitialClusterToken: r.token,
		RevisionBump: uint64(revisionBump + r.lead), MarkCompacted: true, SkipHashCheck: true,
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", r.from, err)
	}
	return nil
}

// makeRoom gives up the data that is to be replaced if the disk cannot hold both;
// the snapshot is known to be whole.
func (r restoring) makeRoom(parent string) error {
	info, err := os.Stat(r.from)
	if err != nil {
		return err
	}
	free, err := freeBytes(parent)
	if err != nil {
		return err
	}
	if free > info.Size()+info.Size()/8 {
		return nil
	}
	if err := os.RemoveAll(r.dataDir); err != nil {
		return fmt.Errorf("make room: %w", err)
	}
	return nil
}
