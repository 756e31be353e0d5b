package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/snapshot"
	"go.uber.org/zap"
)

// suffix is how the files of snapshots end.
const suffix = ".db"

// dialTimeout bounds the connection to etcd; a large snapshot may take longer.
const dialTimeout = 20 * time.Second

type saving struct {
	endpoint, cacert, cert, key string
	// to is the file to write. Others beside it are removed first: the volume has
	// room for what etcd may store and for one snapshot of it.
	to string
}

func saveCommand() *cobra.Command {
	var s saving
	command := &cobra.Command{
		Use: "save", Short: "Save a consistent state to a file, and remove the snapshots before it", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return s.run(command.Context()) },
	}
	flags := command.Flags()
	flags.StringVar(&s.to, "to", "", "file to write")
	flags.StringVar(&s.endpoint, "endpoint", "", "URL of the member to ask")
	flags.StringVar(&s.cacert, "cacert", "", "authority of the member's certificate")
	flags.StringVar(&s.cert, "cert", "", "certificate to show")
	flags.StringVar(&s.key, "key", "", "key of that certificate")
	return command
}

func (s saving) run(ctx context.Context) error {
	switch err := verify(s.to); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		// What is no whole snapshot is written again.
		if err := os.Remove(s.to); err != nil {
			return fmt.Errorf("remove a damaged snapshot: %w", err)
		}
	}
	dir := filepath.Dir(s.to)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of snapshots: %w", err)
	}
	if err := prune(dir, s.to); err != nil {
		return err
	}
	info := transport.TLSInfo{TrustedCAFile: s.cacert, CertFile: s.cert, KeyFile: s.key}
	config, err := info.ClientConfig()
	if err != nil {
		return fmt.Errorf("read certificates: %w", err)
	}
	client := clientv3.Config{Endpoints: []string{s.endpoint}, TLS: config, DialTimeout: dialTimeout, Context: ctx}
	if _, err := snapshot.SaveWithVersion(ctx, zap.NewNop(), client, s.to); err != nil {
		return fmt.Errorf("save a snapshot of %s: %w", s.endpoint, err)
	}
	if err := verify(s.to); err != nil {
		return fmt.Errorf("verify the snapshot: %w", err)
	}
	return syncDir(dir)
}

// prune removes all snapshots but one, and what an interrupted save left.
func prune(dir, keep string) error {
	for _, pattern := range []string{"*" + suffix, "*" + suffix + ".part"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return fmt.Errorf("list snapshots: %w", err)
		}
		for _, path := range paths {
			if path == keep {
				continue
			}
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("remove an old snapshot: %w", err)
			}
		}
	}
	return nil
}
