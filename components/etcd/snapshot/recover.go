package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

const (
	// logRoom is what etcd's log takes beside the database: two files of 64 MB, one
	// of which is being prepared, and what the deltas add. In bytes.
	logRoom = 256 << 20
	// askLimit is how long an etcd that is up waits for what the source says.
	askLimit = 20 * time.Second
	// reportedNames bounds how many damaged backups a report names: the kubelet keeps
	// 4 KiB of it.
	reportedNames = 40
)

// recoveryReport is what a recovery says when it has ended well, as one line of JSON.
type recoveryReport struct {
	// Restored is false if nothing was lost, or backups give less than there is: nothing
	// changed then.
	Restored bool `json:"restored"`
	// Reason is what was wrong with the data.
	Reason string `json:"reason,omitempty"`
	// Snapshot is the name of the full backup, and SnapshotTime its time.
	Snapshot     string     `json:"snapshot,omitempty"`
	SnapshotTime *time.Time `json:"snapshotTime,omitempty"`
	// Damaged are the backups that were passed over, and Deltas is the number of
	// those that were replayed.
	Damaged []string `json:"damaged,omitempty"`
	Deltas  int      `json:"deltas"`
	// Revision is the last that is back, as it was counted before; Time is when it
	// was recorded.
	Revision int64      `json:"revision"`
	Time     *time.Time `json:"time,omitempty"`
	// Recorded is the last revision that any backup is named to hold, damaged or not.
	Recorded int64 `json:"recorded,omitempty"`
	// Keys is how many keys etcd has.
	Keys     int64  `json:"keys"`
	Duration string `json:"duration"`
}

type recovering struct {
	asking
	restoring
	// alone: the member was one of several and goes on without the others.
	alone bool
	// id is that of the recovery: each is done once.
	id string
	// reportTo is a file that gets the report besides the standard output; none if empty.
	reportTo string
	// step is called between the steps, with the name of what follows. Tests die there.
	step func(string)
}

func recoverCommand(step func(string)) *cobra.Command {
	r := recovering{step: step}
	command := &cobra.Command{
		Use: "recover", Short: "Replace a data directory that no etcd comes up on by what backups hold, once for each ID", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return r.run(command.Context(), command.OutOrStdout()) },
	}
	flags := command.Flags()
	r.asking.addFlags(flags)
	r.addMember(flags)
	flags.BoolVar(&r.alone, "alone", false, "make a member of several the only one, with what it holds")
	flags.StringVar(&r.id, "id", "", "identity of this recovery, of which a repetition says the report again")
	flags.StringVar(&r.reportTo, "report", "", "file to write the report to besides")
	for _, name := range []string{"source", "data-dir", "name", "peer", "token", "id"} {
		_ = command.MarkFlagRequired(name)
	}
	return command
}

func (r recovering) run(ctx context.Context, out io.Writer) error {
	started := time.Now()
	said, done, err := r.resume()
	if err != nil {
		return err
	}
	if !done {
		if said, err = r.recover(ctx, started); err != nil {
			// The volume is etcd's. What is left here is removed by the next run.
			_ = os.RemoveAll(r.work())
			return err
		}
	}
	return say(out, r.reportTo, said)
}

// recover examines the data and replaces it if it is lost.
func (r recovering) recover(ctx context.Context, started time.Time) (recoveryReport, error) {
	r.step("prepare")
	if err := r.prepare(); err != nil {
		return recoveryReport{}, err
	}
	source, err := r.open()
	if err != nil {
		return recoveryReport{}, err
	}
	defer source.close()
	r.step("examine")
	reason, found, err := r.examine(ctx, source)
	if err != nil {
		return recoveryReport{}, err
	}
	if reason == "" {
		said := recoveryReport{Revision: found.Revision, Keys: found.Keys, Duration: since(started)}
		return said, r.tidy()
	}
	r.step("fetch")
	said, err := r.rebuild(ctx, &gathering{source: source, dir: r.work()})
	if err != nil {
		_ = os.RemoveAll(r.fresh())
		return recoveryReport{}, fmt.Errorf("%w; what was wrong with the data: %s", err, reason)
	}
	said.Duration = since(started)
	if said.Revision <= found.Revision {
		// Of what the backups are named to hold some is damaged, and the data have more than the rest.
		said = recoveryReport{Revision: found.Revision, Keys: found.Keys, Damaged: said.Damaged, Recorded: said.Recorded, Duration: said.Duration}
		return said, r.tidy()
	}
	said.Reason = reason
	return said, r.finish(said)
}

// prepare makes the directory for what is fetched. Evidence of an earlier recovery
// goes first if there is no room.
func (r recovering) prepare() error {
	if err := os.RemoveAll(r.fresh()); err != nil {
		return fmt.Errorf("remove what an interrupted recovery left: %w", err)
	}
	try := func() error {
		if err := emptyDir(r.work()); err != nil {
			return err
		}
		return probe(r.work())
	}
	err := try()
	if errors.Is(err, syscall.ENOSPC) && r.hasEvidence() {
		if err := os.RemoveAll(r.lost()); err != nil {
			return fmt.Errorf("make room: %w", err)
		}
		err = try()
	}
	if err != nil {
		return fmt.Errorf("prepare the volume: %w", err)
	}
	return nil
}

// examine says what is wrong with the data; empty if nothing was lost. With it comes what they
// hold, if an etcd comes up on them.
func (r recovering) examine(ctx context.Context, source *source) (string, content, error) {
	reason, err := absent(r.dataDir)
	if reason != "" || err != nil {
		return reason, content{}, err
	}
	found, err := runChild(ctx, "examine", examination{DataDir: r.dataDir, Name: r.name, Alone: r.alone})
	if err != nil || found.damage != "" {
		return found.damage, content{}, err
	}
	empty := found.Keys == 0 && found.Revision <= 1
	if !empty && !r.alone {
		// An etcd that is up does not wait for a store that is away.
		source = source.once()
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, askLimit)
		defer cancel()
	}
	list, err := source.list(ctx)
	switch {
	case err != nil && (empty || r.alone):
		// The only one that is left of several may have been behind the others for long.
		return "", content{}, err
	case err != nil:
		return "", found.content, nil
	case empty && len(list) > 0:
		return "etcd is empty", content{}, nil
	case found.Revision < newest(list):
		return fmt.Sprintf("etcd is at revision %d, and backups reach %d", found.Revision, newest(list)), found.content, nil
	}
	return "", found.content, nil
}

// rebuild makes the new data directory beside the old one.
func (r recovering) rebuild(ctx context.Context, g *gathering) (recoveryReport, error) {
	list, err := g.source.list(ctx)
	if err != nil {
		return recoveryReport{}, err
	}
	for {
		recording, err := r.gather(ctx, g, list)
		if err != nil {
			return recoveryReport{}, err
		}
		r.step("rebuild")
		if err := r.clear(recording); err != nil {
			return recoveryReport{}, err
		}
		found, err := runChild(ctx, "rebuild", rebuilding{
			DataDir: r.fresh(), Name: r.name, Peer: r.peer, Token: r.token,
			Snapshot: recording.snapshot, Revision: recording.revision, Deltas: recording.paths, Used: highest(list),
		})
		if err != nil {
			return recoveryReport{}, err
		}
		if found.damage != "" {
			g.note(recording.full, found.damage)
			continue
		}
		said := report(recording, g.damaged, found.content)
		said.Recorded = newest(list)
		return said, nil
	}
}

// gather gives up the evidence of an earlier recovery if what is fetched has no room.
func (r recovering) gather(ctx context.Context, g *gathering, list []backup) (recording, error) {
	found, err := g.gather(ctx, list)
	if errors.Is(err, syscall.ENOSPC) && r.hasEvidence() {
		if err := os.RemoveAll(r.lost()); err != nil {
			return recording{}, fmt.Errorf("make room: %w", err)
		}
		return g.gather(ctx, list)
	}
	return found, err
}

// clear makes room for the new data directory. Evidence goes before the data, and
// the data only now that there is a snapshot which is known to be whole, and only if
// that is enough.
func (r recovering) clear(found recording) error {
	if err := os.RemoveAll(r.fresh()); err != nil {
		return fmt.Errorf("remove a directory that was not to be had whole: %w", err)
	}
	info, err := os.Stat(found.snapshot)
	if err != nil {
		return err
	}
	free, err := freeBytes(filepath.Dir(r.dataDir))
	if err != nil {
		return err
	}
	missing := info.Size() + info.Size()/8 + logRoom - free
	var given []string
	for _, dir := range []string{r.lost(), r.dataDir} {
		if missing > 0 {
			given, missing = append(given, dir), missing-usedBytes(dir)
		}
	}
	if missing > 0 {
		return fmt.Errorf("the volume has no room for the restored data: %d MiB are missing, %w", missing>>20, syscall.ENOSPC)
	}
	for _, dir := range given {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("make room: %w", err)
		}
	}
	return nil
}

func report(found recording, damaged []string, result content) recoveryReport {
	return recoveryReport{
		Restored: true, Snapshot: found.full.Name, SnapshotTime: &found.full.Time,
		Damaged: damaged[:min(len(damaged), reportedNames)], Deltas: len(found.deltas),
		Revision: found.reached(), Time: new(found.last().Time), Keys: result.Keys,
	}
}

func since(started time.Time) string { return time.Since(started).Round(time.Millisecond).String() }

// say writes a report to the output, and to a file unless that has no name.
func say(out io.Writer, path string, report any) error {
	line, err := json.Marshal(report)
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if path != "" {
		if err := os.WriteFile(path, line, 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	_, err = fmt.Fprintf(out, "%s\n", line)
	return err
}
