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

// decision is why a member is made the only one: it goes on with what it holds, and a run that
// comes after does not have to ask again. It is noted before.
type decision struct {
	ID string `json:"id"`
	// Open: it is not decided. Asked: the member was made the only one to be asked how far it
	// reaches, with backups at hand.
	Open  bool `json:"open,omitempty"`
	Asked bool `json:"asked,omitempty"`
	// Behind is a revision that was recorded, and that the member turned out not to reach.
	Behind int64 `json:"behind,omitempty"`
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
	found, err := r.decided()
	if err != nil {
		return verdict{}, err
	}
	if found != nil && !found.Open {
		return verdict{kept: found.Kept}, nil
	}
	seen, err := runChild(ctx, "tail", tail{DataDir: r.dataDir})
	if err != nil || seen.damage != "" {
		return verdict{reason: seen.damage}, err
	}
	return r.choose(ctx, o, seen.content)
}

// undecided notes what a run found out that has not decided yet. What was noted before stays.
func (r recovering) undecided(note func(*decision)) error {
	found, err := r.decided()
	if err != nil {
		return err
	}
	if found == nil {
		found = &decision{ID: r.id, Open: true}
	}
	note(found)
	return r.decide(*found)
}

// reaches says whether the member may have all that is known to have been recorded, where its log
// holds no more than most.
func (r recovering) reaches(most int64) (bool, error) {
	found, err := r.decided()
	return found == nil || most >= found.Behind, err
}

const (
	// unchanged is said of an attempt that failed before it was known what a member goes on with,
	// and opened where it had to be asked itself.
	unchanged = "nothing was changed: the member is not made the only one before it is known what it goes on with"
	opened    = "the member was made the only one to find out how far it reaches, and nothing else was changed"
	// hasAll is why one can do without backups.
	hasAll = "this member has all that was acknowledged: the data of most members are sound, and none reach further"
)

// sofar says what an attempt that fails has changed.
func (r recovering) sofar() string {
	if found, err := r.decided(); err == nil && found != nil && found.Asked {
		return opened
	}
	return unchanged
}

// choose decides between the data and the backups. The data hold what seen says, and up to one
// revision more for each entry of their log that the database has not applied. Entries of which
// the member has not heard that they were acknowledged count against what was recorded only if it
// has all that was: others may have acknowledged other writes in their place, and recorded those.
func (r recovering) choose(ctx context.Context, o *offer, seen content) (verdict, error) {
	found, most := verdict{content: seen, most: seen.Revision + seen.Heard}, seen.Revision+seen.Ahead
	if r.complete {
		found.most = most
	}
	reaches, err := r.reaches(most)
	if err != nil {
		return verdict{}, err
	}
	enough := r.complete && most > 1 && reaches
	switch err := r.askAlone(ctx, o, enough); {
	case err != nil && enough && ctx.Err() == nil:
		found.kept = fmt.Sprintf("the backups could not be asked for (%s), and %s", oneLine(err.Error()), hasAll)
		return found, nil
	case err != nil:
		return verdict{}, fmt.Errorf("%w; whether the member has all that was acknowledged is not known; %s", err, r.sofar())
	case len(o.list) == 0 || seen.Revision > 1 && seen.Revision >= o.newest:
		return found, nil
	}
	return r.chooseBy(ctx, o, found, most, enough)
}

// chooseBy decides by what the backups give, where they are named to reach beyond the database.
// The log holds no more than most.
func (r recovering) chooseBy(ctx context.Context, o *offer, found verdict, most int64, enough bool) (verdict, error) {
	without := enough && o.newest <= most
	err := r.takeAlone(ctx, o, without)
	switch {
	case errors.Is(err, errNoFull) && most > 1:
		found.kept = oneLine(err.Error())
	case err != nil && without && ctx.Err() == nil:
		found.kept = fmt.Sprintf("the backups could not be fetched (%s), and %s", oneLine(err.Error()), hasAll)
	case err != nil:
		if o.newest > most {
			err = errors.Join(err, r.undecided(func(d *decision) { d.Behind = max(d.Behind, o.newest) }))
		}
		return verdict{}, fmt.Errorf("%w; backups are named to reach %d, and the member holds %d; %s", err, o.newest, found.Revision, r.sofar())
	case o.recording.reached() > found.most:
		found.reason = behind(found.Revision, o.recording.reached())
	case o.recording.reached() <= found.Revision:
		found.kept = o.less()
	default:
		return r.compare(ctx, o)
	}
	return found, nil
}

// askAlone does not wait for a store that is away where the member can go on without.
func (r recovering) askAlone(ctx context.Context, o *offer, without bool) error {
	if without {
		return o.askOnce(ctx)
	}
	return o.ask(ctx)
}

// takeAlone does not wait for a store that is away either where the member can go on without.
func (r recovering) takeAlone(ctx context.Context, o *offer, without bool) error {
	if without {
		patient := o.source
		o.source = patient.once()
		defer func() { o.source = patient }()
	}
	return r.take(ctx, o)
}

// compare finds out whether the data reach as far as the backups, which are at hand, where only
// the member itself knows.
func (r recovering) compare(ctx context.Context, o *offer) (verdict, error) {
	r.step("compare")
	if err := r.undecided(func(d *decision) { d.Asked = true }); err != nil {
		return verdict{}, err
	}
	found, err := r.makeAlone(ctx, r.complete)
	switch {
	case err != nil:
		return verdict{}, fmt.Errorf("%w; %s", err, opened)
	case found.reason != "":
	case found.Revision < o.recording.reached():
		found.reason = behind(found.Revision, o.recording.reached())
		err = r.undecided(func(d *decision) { d.Behind = max(d.Behind, o.recording.reached()) })
	case found.Revision < o.newest:
		found.kept = o.less()
	}
	return found, err
}

func (r recovering) decide(on decision) error {
	text, err := json.Marshal(on)
	if err != nil {
		return fmt.Errorf("encode the decision: %w", err)
	}
	return writeNote(r.decision(), string(text))
}

// goAlone makes the member the only one, for the reason that it is decided for. What was fetched
// makes room for what etcd writes then.
func (r recovering) goAlone(ctx context.Context, o *offer, kept string) (verdict, error) {
	r.step("decide")
	if err := r.decide(decision{ID: r.id, Kept: kept}); err != nil {
		return verdict{}, err
	}
	o.recording, o.gathered = recording{}, false
	if err := emptyDir(r.work()); err != nil {
		return verdict{}, err
	}
	found, err := r.makeAlone(ctx, true)
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

// makeAlone makes the member the only one, with all of its log or what it has heard to be
// acknowledged.
func (r recovering) makeAlone(ctx context.Context, all bool) (verdict, error) {
	r.step("alone")
	seen, err := runChild(ctx, "examine", examination{DataDir: r.dataDir, Name: r.name, Alone: true, All: all})
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
