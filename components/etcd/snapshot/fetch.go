package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"filippo.io/age"
	"github.com/spf13/cobra"
)

type fetching struct {
	store, name, identity, to string
}

func fetchCommand() *cobra.Command {
	var f fetching
	command := &cobra.Command{
		Use: "fetch", Short: "Open a backup and write its snapshot to a file, for restore", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return f.run(command.Context()) },
	}
	flags := command.Flags()
	flags.StringVar(&f.store, "store", "", "URL of the store: file:///directory")
	flags.StringVar(&f.name, "name", "", "name of the backup")
	flags.StringVar(&f.identity, "identity", "", "file of the secret key (AGE-SECRET-KEY-…)")
	flags.StringVar(&f.to, "to", "", "file to write")
	return command
}

// run gives the file its name when it is known to be whole.
func (f fetching) run(ctx context.Context) error {
	keys, err := os.Open(f.identity)
	if err != nil {
		return fmt.Errorf("read --identity: %w", err)
	}
	defer keys.Close()
	identities, err := age.ParseIdentities(keys)
	if err != nil {
		return fmt.Errorf("read --identity: %w", err)
	}
	store, err := openStore(ctx, f.store)
	if err != nil {
		return err
	}
	defer store.close()
	part := f.to + ".part"
	defer os.Remove(part)
	if err := f.write(ctx, store, part, identities); err != nil {
		return fmt.Errorf("fetch %s: %w", f.name, err)
	}
	if err := verify(part); err != nil {
		return fmt.Errorf("verify the snapshot: %w", err)
	}
	if err := os.Rename(part, f.to); err != nil {
		return fmt.Errorf("name the snapshot: %w", err)
	}
	return syncDir(filepath.Dir(f.to))
}

func (f fetching) write(ctx context.Context, s *store, path string, identities []age.Identity) error {
	sealed, err := s.bucket.NewReader(ctx, f.name, nil)
	if err != nil {
		return err
	}
	defer sealed.Close()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unseal(file, sealed, identities...); err != nil {
		return err
	}
	return file.Sync()
}
