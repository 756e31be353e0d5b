package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	// proofAttempts is how often a revision that is compacted meanwhile is replaced by
	// that of newer backups.
	proofAttempts = 5
	// newerBackups is how long there may be none: deltas are at most 30 s apart.
	newerBackups = 35 * time.Second
)

// errUnequal says that the backups are not all of what etcd holds, or not whole.
var errUnequal = errors.New("the backups do not give what etcd holds")

// proof is what a comparison found, as one line of JSON.
type proof struct {
	// Equal says that the backups are whole, reach Live and hold what etcd held.
	Equal bool `json:"equal"`
	// Live is the revision of etcd when the proof began.
	Live int64 `json:"live"`
	// Revision is the last that the backups hold; both sides are compared there. Keys
	// and Hash are those of etcd.
	Revision int64  `json:"revision"`
	Keys     int64  `json:"keys"`
	Hash     string `json:"hash"`
	// Differing says how many keys make the difference.
	Differing *difference `json:"differing,omitempty"`
	// Snapshot, Damaged, Deltas and Time are as in the report of a recovery.
	Snapshot string    `json:"snapshot"`
	Damaged  []string  `json:"damaged,omitempty"`
	Deltas   int       `json:"deltas"`
	Time     time.Time `json:"time"`
	Duration string    `json:"duration"`
}

// difference counts keys by what is wrong with them in the backups.
type difference struct {
	Missing int `json:"missing"`
	Extra   int `json:"extra"`
	Changed int `json:"changed"`
}

type proving struct {
	asking
	// live is the etcd to compare with, and liveAuthority that of its certificate.
	live, liveAuthority string
	// scratch is a directory with room for what is fetched and restored.
	scratch  string
	reportTo string
	// pause is how long newer backups are waited for, each time.
	pause time.Duration
}

func proveCommand() *cobra.Command {
	p := proving{pause: newerBackups}
	command := &cobra.Command{
		Use: "prove", Short: "Restore what backups hold into a scratch directory, and compare it with a running etcd", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return p.run(command.Context(), command.OutOrStdout()) },
	}
	flags := command.Flags()
	p.asking.addFlags(flags)
	flags.StringVar(&p.live, "live", "", "URL of the etcd to compare with")
	flags.StringVar(&p.liveAuthority, "live-cacert", "", "authority of that etcd's certificate")
	flags.StringVar(&p.scratch, "scratch", "", "directory with room for a recovery, which is removed again")
	flags.StringVar(&p.reportTo, "report", "", "file to write the report to besides")
	for _, name := range []string{"source", "live", "scratch"} {
		_ = command.MarkFlagRequired(name)
	}
	return command
}

func (p proving) run(ctx context.Context, out io.Writer) error {
	started := time.Now()
	source, err := p.open()
	if err != nil {
		return err
	}
	defer source.close()
	live, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer live.Close()
	defer os.RemoveAll(p.work())
	found, err := p.prove(ctx, source, live)
	if err != nil {
		return err
	}
	found.Duration = since(started)
	if err := say(out, p.reportTo, found); err != nil {
		return err
	}
	if !found.Equal {
		return errUnequal
	}
	return nil
}

func (p proving) work() string { return filepath.Join(p.scratch, "proof") }

// The files of a proof.
func (p proving) restored() string      { return filepath.Join(p.work(), "data") }
func (p proving) liveDigests() string   { return filepath.Join(p.work(), "live") }
func (p proving) backupDigests() string { return filepath.Join(p.work(), "backup") }

func (p proving) connect(ctx context.Context) (*clientv3.Client, error) {
	config, err := tlsConfig(p.liveAuthority, p.cert, p.key)
	if err != nil {
		return nil, err
	}
	live, err := clientv3.New(clientv3.Config{Endpoints: []string{p.live}, TLS: config, DialTimeout: dialTimeout, Context: ctx, Logger: zap.NewNop()})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", p.live, err)
	}
	return live, nil
}

// prove reads the running etcd before it restores the backups: what was the present
// when the backups were made is compacted some minutes later.
func (p proving) prove(ctx context.Context, source *source, live *clientv3.Client) (proof, error) {
	now, err := revisionOf(ctx, live)
	if err != nil {
		return proof{}, err
	}
	recording, damaged, want, err := p.read(ctx, source, live, now)
	if err != nil {
		return proof{}, err
	}
	const name = "proof"
	got, err := runChild(ctx, "rebuild", rebuilding{
		DataDir: p.restored(), Name: name, Peer: "http://127.0.0.1:2380", Token: name,
		Snapshot: recording.snapshot, Revision: recording.revision, Deltas: recording.paths, Digests: p.backupDigests(),
	})
	if err != nil {
		return proof{}, err
	}
	if got.damage != "" {
		return proof{}, fmt.Errorf("no etcd comes up on %s: %s", recording.full.Name, got.damage)
	}
	same := got.Hash == want.Hash
	found := proof{
		Equal: same && len(damaged) == 0 && want.Revision >= now, Live: now, Revision: want.Revision, Keys: want.Keys, Hash: want.Hash, Snapshot: recording.full.Name,
		Damaged: damaged[:min(len(damaged), reportedNames)], Deltas: len(recording.deltas), Time: recording.last().Time,
	}
	if !same {
		found.Differing, err = p.compare()
	}
	return found, err
}

// revisionOf asks the whole etcd how far it is.
func revisionOf(ctx context.Context, live clientv3.KV) (int64, error) {
	answer, err := readPage(ctx, live, "berth", clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("ask etcd for its revision: %w", err)
	}
	return answer.Header.Revision, nil
}

// read fetches the backups, and reads what the running etcd held where they end. It waits
// for those that reach what etcd had when it was asked, as long as they may take.
func (p proving) read(ctx context.Context, source *source, live *clientv3.Client, wanted int64) (recording, []string, content, error) {
	for attempt := 1; ; attempt++ {
		if err := emptyDir(p.work()); err != nil {
			return recording{}, nil, content{}, err
		}
		list, err := source.list(ctx)
		if err != nil {
			return recording{}, nil, content{}, err
		}
		last := attempt == proofAttempts
		if newest(list) >= wanted || last {
			g := &gathering{source: source, dir: p.work()}
			fetched, err := g.gather(ctx, list)
			if err != nil {
				return recording{}, nil, content{}, err
			}
			held, err := readTo(ctx, live, fetched.reached(), p.liveDigests())
			if err == nil {
				return fetched, g.damaged, held, nil
			}
			if !errors.Is(err, rpctypes.ErrCompacted) || last {
				return recording{}, nil, content{}, fmt.Errorf("read etcd at revision %d, which the backups reach: %w", fetched.reached(), err)
			}
		}
		select {
		case <-ctx.Done():
			return recording{}, nil, content{}, ctx.Err()
		case <-time.After(p.pause):
		}
	}
}

// compare counts the keys that differ.
func (p proving) compare() (*difference, error) {
	held, err := readDigests(p.liveDigests())
	if err != nil {
		return nil, err
	}
	restored, err := readDigests(p.backupDigests())
	if err != nil {
		return nil, err
	}
	d := &difference{}
	for key, value := range held {
		switch got, there := restored[key]; {
		case !there:
			d.Missing++
		case got != value:
			d.Changed++
		}
	}
	for key := range restored {
		if _, there := held[key]; !there {
			d.Extra++
		}
	}
	return d, nil
}
