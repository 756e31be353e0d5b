package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
)

// report is what a backup says when it has ended well, as one line of JSON.
type report struct {
	// Time is that of the snapshot, and Revision what etcd had reached.
	Time     time.Time `json:"time"`
	Revision int64     `json:"revision"`
	// Size is that of the object in the store, in bytes.
	Size     int64  `json:"size"`
	Duration string `json:"duration"`
	Name     string `json:"name"`
	// Warning says what went wrong without harm to the backup.
	Warning string `json:"warning,omitempty"`
}

type backing struct {
	saving
	// scratch is a directory for the snapshot before it is sealed: it must not be
	// etcd's volume, which a backup never writes to.
	scratch          string
	store, recipient string
	keep             int
	// reportTo is a file that gets the report besides the standard output; none if empty.
	reportTo string
	// timeout bounds the whole: a client of etcd waits for ever for one that is away.
	timeout time.Duration
	now     func() time.Time
}

func backupCommand() *cobra.Command {
	b := backing{now: time.Now}
	command := &cobra.Command{
		Use: "backup", Short: "Put a sealed snapshot into a store, and remove the ones that are not to be kept", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return b.run(command.Context(), command.OutOrStdout()) },
	}
	flags := command.Flags()
	b.addMember(flags)
	flags.StringVar(&b.scratch, "scratch", "", "directory with room for a snapshot, which is removed again")
	flags.StringVar(&b.store, "store", "", "URL of the store: file:///directory")
	flags.StringVar(&b.recipient, "recipient", "", "public key (age1…) that backups are sealed for")
	flags.IntVar(&b.keep, "keep", 1, "how many backups to keep, the new one included")
	flags.DurationVar(&b.timeout, "timeout", 25*time.Minute, "how long the backup may take")
	flags.StringVar(&b.reportTo, "report", "", "file to write the report to besides")
	return command
}

// run finds out first whether the store and the key are of any use: etcd is not
// asked for what nobody could keep.
func (b backing) run(ctx context.Context, out io.Writer) error {
	started := b.now()
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	if b.keep < 1 {
		return fmt.Errorf("--keep is %d: at least the new backup must be kept", b.keep)
	}
	recipient, err := age.ParseX25519Recipient(b.recipient)
	if err != nil {
		return fmt.Errorf("read --recipient: %w", err)
	}
	store, err := openStore(ctx, b.store)
	if err != nil {
		return err
	}
	defer store.close()
	// What is beyond retention goes first, since the store may be full.
	if err := store.retain(ctx, b.keep); err != nil {
		return err
	}
	path, revision, err := b.snapshot(ctx)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	said := report{Time: started.UTC().Truncate(time.Second), Revision: revision, Name: nameOf(revision, started)}
	if said.Size, err = b.put(ctx, store, recipient, path, said.Name); err != nil {
		return err
	}
	if err := store.retain(ctx, b.keep); err != nil {
		said.Warning = err.Error()
	}
	said.Duration = b.now().Sub(started).Round(time.Millisecond).String()
	return b.say(out, said)
}

// snapshot saves etcd's content to scratch and reads the revision from there: etcd
// goes on meanwhile, so that what it says itself is not that of the snapshot.
func (b backing) snapshot(ctx context.Context) (string, int64, error) {
	b.to = filepath.Join(b.scratch, "backup"+suffix)
	if err := os.Remove(b.to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", 0, fmt.Errorf("remove what an interrupted backup left: %w", err)
	}
	if err := b.saving.run(ctx); err != nil {
		return "", 0, err
	}
	status, err := snapshot.NewV3(zap.NewNop()).Status(b.to)
	if err != nil {
		return "", 0, fmt.Errorf("read the snapshot's revision: %w", err)
	}
	return b.to, status.Revision, nil
}

// put seals the snapshot on its way to the store.
func (b backing) put(ctx context.Context, s *store, recipient age.Recipient, path, name string) (int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("read the snapshot: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, fmt.Errorf("read the snapshot: %w", err)
	}
	if err := s.hasRoom(info.Size()); err != nil {
		return 0, err
	}
	return s.put(ctx, name, func(w io.Writer) error { return seal(w, file, recipient) })
}

func (b backing) say(out io.Writer, said report) error {
	line, err := json.Marshal(said)
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if b.reportTo != "" {
		if err := os.WriteFile(b.reportTo, line, 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	_, err = fmt.Fprintf(out, "%s\n", line)
	return err
}
