package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/storage/datadir"
)

// entry is a place in the log of a member. Of several members the one whose last entry has
// the highest term, and among those the highest index, has everything that a majority has
// acknowledged: by this rule they elect their leader.
type entry struct {
	Term  uint64 `json:"term"`
	Index uint64 `json:"index"`
}

// lookReport is what is on a member's data directory, as one line of JSON.
type lookReport struct {
	entry
	// Damage is what is wrong with it; empty if it is sound.
	Damage string `json:"damage,omitempty"`
}

type looking struct{ dataDir, reportTo string }

func lookCommand() *cobra.Command {
	l := looking{}
	command := &cobra.Command{
		Use: "look", Short: "Say how far a member's data reach, and change nothing", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return l.run(command.Context(), command.OutOrStdout()) },
	}
	command.Flags().StringVar(&l.dataDir, "data-dir", "", "data directory of etcd")
	command.Flags().StringVar(&l.reportTo, "report", "", "file to write the report to besides")
	_ = command.MarkFlagRequired("data-dir")
	return command
}

func (l looking) run(ctx context.Context, out io.Writer) error {
	said := lookReport{}
	reason, err := absent(l.dataDir)
	if err != nil {
		return err
	}
	if said.Damage = reason; reason == "" {
		found, err := runChild(ctx, "tail", tail{DataDir: l.dataDir})
		if err != nil {
			return err
		}
		said.entry, said.Damage = found.Last, found.damage
	}
	return say(out, l.reportTo, said)
}

// tail finds the last entry, and about which revision, without starting an etcd, which would
// change the data.
type tail struct {
	DataDir string `json:"dataDir"`
}

func (t tail) run(_ context.Context, stage func(string)) (content, error) {
	stage("check the database")
	held, err := checkDatabase(datadir.ToBackendFileName(t.DataDir))
	if err != nil {
		return content{}, err
	}
	stage("check the log")
	log, err := checkLog(datadir.ToWALDir(t.DataDir), held.applied)
	ahead := func(index uint64) int64 { return max(0, int64(index)-int64(held.applied)) }
	return content{Revision: held.revision, Last: log.last, Ahead: ahead(log.last.Index), Heard: ahead(log.heard)}, err
}
