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
	// Kept is why the data stay where backups have more, or may have.
	Kept string `json:"kept,omitempty"`
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

// hooks are what tests of a recovery take the place of.
type hooks struct {
	// step is called between the steps, with the name of what follows. Tests die there.
	step func(string)
	// free says how many bytes can be written to the file system of a directory.
	free func(dir string) (int64, error)
}

type recovering struct {
	hooks
	asking
	restoring
	// alone: the member was one of several and goes on without the others.
	alone bool
	// complete: it has all that was acknowledged, since the data of most members are sound and
	// none reach further.
	complete bool
	// id is that of the recovery: each is done once.
	id string
	// reportTo is a file that gets the report besides the standard output; none if empty.
	reportTo string
}

func recoverCommand(h hooks) *cobra.Command {
	r := recovering{hooks: h}
	command := &cobra.Command{
		Use: "recover", Short: "Replace a data directory that no etcd comes up on by what backups hold, once for each ID", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return r.run(command.Context(), command.OutOrStdout()) },
	}
	flags := command.Flags()
	r.asking.addFlags(flags)
	r.addMember(flags)
	flags.BoolVar(&r.alone, "alone", false, "make a member of several the only one, with what it holds or the backups do")
	flags.BoolVar(&r.complete, "complete", false, "with --alone: it has all that was acknowledged, and goes on with that where the backups cannot be asked for")
	flags.StringVar(&r.id, "id", "", "identity of this recovery, of which a repetition says the report again")
	flags.StringVar(&r.reportTo, "report", "", "file to write the report to besides")
	for _, name := range []string{"source", "data-dir", "name", "peer", "token", "id"} {
		_ = command.MarkFlagRequired(name)
	}
	return command
}

func (r recovering) run(ctx context.Context, out io.Writer) error {
	started := time.Now()
	if r.id == "" || !filepath.IsAbs(r.dataDir) {
		return errors.New("--id must not be empty, and --data-dir must be an absolute path")
	}
	held, err := r.lock(ctx)
	if err != nil {
		return err
	}
	defer held.Close()
	said, done, err := r.resume()
	if err != nil {
		return err
	}
	if !done {
		if said, err = r.recover(ctx, started); err != nil {
			return r.leave(err)
		}
	}
	return say(out, r.reportTo, said)
}

// leave ends a run that failed. The volume is etcd's: nothing stays there of what was fetched,
// but where the data have made room for it.
func (r recovering) leave(err error) error {
	if r.madeRoom() {
		return fmt.Errorf("%w; the data had to make room for the backups, which stay in %s: the next attempt goes on with those", err, r.work())
	}
	_ = os.RemoveAll(r.work())
	return err
}

// verdict is what was found out about the data.
type verdict struct {
	// content is what they hold, if an etcd comes up on them.
	content
	// reason is what is wrong with them; empty if they stay.
	reason string
	// kept is why they stay where backups have more, or may have; empty if they do not.
	kept string
	// most is the last revision that the data of one to be the only member may hold; zero if none
	// but content's.
	most int64
	// made: the member has been made the only one.
	made bool
}

// recover examines the data and replaces it if it is lost.
func (r recovering) recover(ctx context.Context, started time.Time) (recoveryReport, error) {
	r.step("prepare")
	source, err := r.open()
	if err != nil {
		return recoveryReport{}, err
	}
	defer source.close()
	o := &offer{gathering: gathering{source: source, dir: r.work()}}
	found, err := r.find(ctx, o)
	for err == nil {
		if found.reason != "" {
			r.step("fetch")
			said, err := r.rebuild(ctx, o, &found)
			if err != nil {
				_ = os.RemoveAll(r.fresh())
				return recoveryReport{}, fmt.Errorf("%w; what was wrong with the data: %s", err, found.reason)
			}
			if said.Restored {
				said.Reason, said.Duration = found.reason, since(started)
				return said, r.finish(said)
			}
		}
		if !r.alone || found.made {
			return r.stay(o, found, started)
		}
		found, err = r.goAlone(ctx, o, found.kept)
	}
	return recoveryReport{}, err
}

// find says what is wrong with the data, unless an earlier run has removed them.
func (r recovering) find(ctx context.Context, o *offer) (verdict, error) {
	if found, err := r.left(ctx, o); err != nil || found.reason != "" {
		return found, err
	}
	if err := r.bringBack(); err != nil {
		return verdict{}, err
	}
	if err := r.prepare(); err != nil {
		return verdict{}, err
	}
	r.step("examine")
	if r.alone {
		return r.examineAlone(ctx, o)
	}
	return r.examine(ctx, o)
}

// stay ends a recovery that leaves the data as they are. One that made a member the only one is
// noted, so that a repetition says the same.
func (r recovering) stay(o *offer, found verdict, started time.Time) (recoveryReport, error) {
	said := recoveryReport{
		Revision: found.Revision, Keys: found.Keys, Kept: found.kept, Damaged: o.damaged[:min(len(o.damaged), reportedNames)], Duration: since(started),
	}
	if o.newest > found.Revision {
		said.Recorded = o.newest
	}
	if r.alone {
		return said, r.conclude(mark{ID: r.id, Report: said})
	}
	return said, r.tidy()
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

// examine says what is wrong with the data; nothing if nothing was lost.
func (r recovering) examine(ctx context.Context, o *offer) (verdict, error) {
	reason, err := absent(r.dataDir)
	if reason != "" || err != nil {
		return verdict{reason: reason}, err
	}
	seen, err := runChild(ctx, "examine", examination{DataDir: r.dataDir, Name: r.name})
	if err != nil || seen.damage != "" {
		return verdict{reason: seen.damage}, err
	}
	empty := seen.Keys == 0 && seen.Revision <= 1
	ask := o.askOnce
	if empty {
		ask = o.ask
	}
	err = ask(ctx)
	switch {
	case err != nil && empty:
		return verdict{}, err
	case err != nil:
		return verdict{content: seen.content, kept: fmt.Sprintf("what the backups hold could not be asked for (%s)", oneLine(err.Error()))}, nil
	case empty && len(o.list) > 0:
		return verdict{reason: "etcd is empty"}, nil
	case seen.Revision < o.newest:
		return verdict{content: seen.content, reason: behind(seen.Revision, o.newest)}, nil
	}
	return verdict{content: seen.content}, nil
}

func behind(revision, reached int64) string {
	return fmt.Sprintf("etcd is at revision %d, and backups reach %d", revision, reached)
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
