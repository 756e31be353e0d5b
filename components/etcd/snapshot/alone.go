package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// A member of several that is made the only one cannot go on as it was. So that is done only
// when it is known what it goes on with: with what it holds, or with what the backups do, which
// are fetched before. Until then its data are read and not changed.

// decision is that a member goes on with what it holds. It is noted before it is made the only
// one, so that a run that comes after does not have to ask again.
type decision struct {
	ID string `json:"id"`
	// Kept is as in a report.
	Kept string `json:"kept,omitempty"`
}

func (r recovering) decision() string { return r.dataDir + ".alone" }

// examineAlone says what a member goes on with that is to be the only one.
func (r recovering) examineAlone(ctx context.Context, o *offer) (verdict, error) {
	reason, err := absent(r.dataDir)
	if reason != "" || err != nil {
		return verdict{reason: reason}, err
	}
	if found, err := r.decided(); err != nil || found != nil {
		if found == nil {
			return verdict{}, err
		}
		return verdict{kept: found.Kept}, nil
	}
	seen, err := runChild(ctx, "tail", tail{DataDir: r.dataDir})
	if err != nil || seen.damage != "" {
		return verdict{reason: seen.damage}, err
	}
	return r.choose(ctx, o, seen.content)
}

// unchanged is said of an attempt that failed before it was known what a member goes on with.
const unchanged = "nothing was changed: the member is not made the only one before it is known what it goes on with"

// choose decides between the data and the backups. The data hold what seen says, and up to one
// revision more for each entry of their log that the database has not applied.
func (r recovering) choose(ctx context.Context, o *offer, seen content) (verdict, error) {
	found, most := verdict{content: seen}, seen.Revision+seen.Ahead
	if err := r.askAlone(ctx, o, most); err != nil {
		if !r.complete || most <= 1 {
			return verdict{}, fmt.Errorf("%w; whether the member has all that was acknowledged is not known; %s", err, unchanged)
		}
		found.kept = fmt.Sprintf("the backups could not be asked for (%v), and this member has all that was acknowledged: the data of most members are sound, and none reach further", err)
		return found, nil
	}
	if len(o.list) == 0 || seen.Revision > 1 && seen.Revision >= o.newest {
		return found, nil
	}
	err := r.take(ctx, o)
	switch {
	case errors.Is(err, errNoFull) && most > 1:
		found.kept = err.Error()
	case err != nil:
		return verdict{}, fmt.Errorf("%w; backups are named to reach %d, and the member holds %d; %s", err, o.newest, seen.Revision, unchanged)
	case o.recording.reached() > most:
		found.reason = behind(seen.Revision, o.recording.reached())
	case o.recording.reached() <= seen.Revision:
		found.kept = o.less()
	default:
		return r.compare(ctx, o)
	}
	return found, nil
}

// askAlone does not wait for a store that is away where the member can go on without.
func (r recovering) askAlone(ctx context.Context, o *offer, most int64) error {
	if r.complete && most > 1 {
		return o.askOnce(ctx)
	}
	return o.ask(ctx)
}

// compare finds out whether the data reach as far as the backups, which are at hand, where only
// the member itself knows.
func (r recovering) compare(ctx context.Context, o *offer) (verdict, error) {
	found, err := r.makeAlone(ctx)
	switch {
	case err != nil || found.reason != "":
	case found.Revision < o.recording.reached():
		found.reason = behind(found.Revision, o.recording.reached())
	case found.Revision < o.newest:
		found.kept = o.less()
	}
	return found, err
}

// goAlone makes the member the only one, for the reason that it is decided for.
func (r recovering) goAlone(ctx context.Context, kept string) (verdict, error) {
	r.step("decide")
	text, err := json.Marshal(decision{ID: r.id, Kept: kept})
	if err != nil {
		return verdict{}, fmt.Errorf("encode the decision: %w", err)
	}
	if err := writeNote(r.decision(), string(text)); err != nil {
		return verdict{}, err
	}
	found, err := r.makeAlone(ctx)
	if err != nil || found.reason == "" {
		found.kept = kept
		return found, err
	}
	// With these data nobody goes on.
	if err := os.RemoveAll(r.decision()); err != nil {
		return verdict{}, fmt.Errorf("take a decision back: %w", err)
	}
	return found, nil
}

func (r recovering) makeAlone(ctx context.Context) (verdict, error) {
	r.step("alone")
	seen, err := runChild(ctx, "examine", examination{DataDir: r.dataDir, Name: r.name, Alone: true})
	if err != nil || seen.damage != "" {
		return verdict{reason: seen.damage}, err
	}
	return verdict{content: seen.content, made: true}, nil
}

// decided returns what an earlier run of this recovery has decided; nil if none has.
func (r recovering) decided() (*decision, error) {
	text, err := os.ReadFile(r.decision())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for an earlier run: %w", err)
	}
	found := &decision{}
	if json.Unmarshal(text, found) != nil || found.ID != r.id {
		return nil, nil
	}
	return found, nil
}
