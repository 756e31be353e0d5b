package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// offer is what the backups give, each part of which is asked for once.
type offer struct {
	gathering
	// list are all backups if listed, newest the last revision of the present history that any
	// is named to hold, and highest that of any history.
	list            []backup
	listed          bool
	newest, highest int64
	// recording is what they give, if gathered.
	recording recording
	gathered  bool
	// cleared: there are no other data any more.
	cleared bool
}

// ask asks which backups there are.
func (o *offer) ask(ctx context.Context) error { return o.askFrom(ctx, o.source) }

// askOnce does so for an etcd that can go on without: it does not wait for a store that is away.
func (o *offer) askOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return o.askFrom(ctx, o.source.once())
}

func (o *offer) askFrom(ctx context.Context, source *source) error {
	if o.listed {
		return nil
	}
	list, err := source.list(ctx)
	if err != nil {
		return err
	}
	o.list, o.listed, o.newest, o.highest = list, true, newest(list), highest(list)
	return nil
}

// less says that the data have more than the backups.
func (o *offer) less() string {
	return fmt.Sprintf("backups are named to reach %d, but %d are damaged, and the rest has less", o.newest, len(o.damaged))
}

// take fetches what the backups give. It gives up the evidence of an earlier recovery if what is
// fetched has no room.
func (r recovering) take(ctx context.Context, o *offer) error {
	if o.gathered {
		return nil
	}
	if err := o.ask(ctx); err != nil {
		return err
	}
	found, err := o.gather(ctx, o.list)
	if errors.Is(err, syscall.ENOSPC) && r.hasEvidence() {
		if err := os.RemoveAll(r.lost()); err != nil {
			return fmt.Errorf("make room: %w", err)
		}
		found, err = o.gather(ctx, o.list)
	}
	if err != nil {
		return err
	}
	o.recording, o.gathered = found, true
	return nil
}

// rebuild makes the new data directory beside the old one. Nothing is restored, and the data
// stay, if they are sound and the backups turn out to have less.
func (r recovering) rebuild(ctx context.Context, o *offer, found *verdict) (recoveryReport, error) {
	for {
		if stay, err := r.stays(ctx, o, found); stay || err != nil {
			return recoveryReport{}, err
		}
		damage, err := r.clear(ctx, o, found)
		if err != nil {
			return recoveryReport{}, err
		}
		made := outcome{damage: damage}
		if damage == "" {
			r.step("rebuild")
			made, err = runChild(ctx, "rebuild", rebuilding{
				DataDir: r.fresh(), Name: r.name, Peer: r.peer, Token: r.token,
				Snapshot: o.recording.snapshot, Revision: o.recording.revision, Deltas: o.recording.paths, Used: o.highest,
			})
		}
		if err != nil {
			return recoveryReport{}, err
		}
		if made.damage == "" {
			said := report(o.recording, o.damaged, made.content)
			said.Recorded = o.newest
			return said, nil
		}
		if err := r.passOver(ctx, o, made.damage); err != nil {
			return recoveryReport{}, err
		}
	}
}

// stays says whether the data stay, as the backups turn out to have no more. Where only the log's
// last entries decide since one was passed over, it is chosen once more.
func (r recovering) stays(ctx context.Context, o *offer, found *verdict) (bool, error) {
	err := r.take(ctx, o)
	switch sound := found.Revision > 0 || found.most > 1; {
	case sound && errors.Is(err, errNoFull):
		found.reason, found.kept = "", oneLine(err.Error())
	case err != nil:
		return false, err
	case found.Revision > 0 && o.recording.reached() <= found.Revision:
		found.reason, found.kept = "", o.less()
	case o.recording.reached() <= found.most:
		chosen, err := r.choose(ctx, o, found.content)
		if err != nil {
			return false, err
		}
		*found = chosen
	}
	return found.reason == "", nil
}

// passOver goes on without a full that no etcd comes up on. One that there is nothing else than
// stays until there is another one.
func (r recovering) passOver(ctx context.Context, o *offer, damage string) error {
	full := o.recording.full
	if o.cleared {
		if err := o.ask(ctx); err != nil {
			return fmt.Errorf("no etcd comes up on %s (%s), and of others nothing is known: %w", full.Name, damage, err)
		}
		if len(fulls(without(o.list, slices.Concat(o.damaged, []string{full.Name})))) == 0 {
			return fmt.Errorf("no etcd comes up on %s (%s), and there is no other full backup", full.Name, damage)
		}
		if err := os.Remove(r.fetched()); err != nil {
			return fmt.Errorf("make room for another backup: %w", err)
		}
	}
	o.note(full, damage)
	o.gathered = false
	return nil
}

// clear makes room for the new data directory. Evidence goes before the data, and the data only
// if that is enough, and for backups that are known to be whole: if one is not, it is said what
// is wrong with it.
func (r recovering) clear(ctx context.Context, o *offer, found *verdict) (string, error) {
	if err := os.RemoveAll(r.fresh()); err != nil {
		return "", fmt.Errorf("remove a directory that was not to be had whole: %w", err)
	}
	info, err := os.Stat(o.recording.snapshot)
	if err != nil {
		return "", err
	}
	free, err := r.free(filepath.Dir(r.dataDir))
	if err != nil {
		return "", err
	}
	missing := info.Size() + info.Size()/8 + logRoom - free
	evidence, data := usedBytes(r.lost()), usedBytes(r.dataDir)
	switch {
	case missing <= 0:
	case missing <= evidence:
		if err := os.RemoveAll(r.lost()); err != nil {
			return "", fmt.Errorf("make room: %w", err)
		}
	case missing <= evidence+data:
		return r.giveUp(ctx, o, found)
	default:
		return "", fmt.Errorf("the volume has no room for the restored data: %d MiB are missing, %w", (missing-evidence-data)>>20, syscall.ENOSPC)
	}
	if o.cleared {
		return "", r.keep(o, *found)
	}
	return "", nil
}
