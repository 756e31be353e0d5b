package policy

import (
	"fmt"
	"slices"
)

// EtcdHash is what one member of etcd holds, as a hash of it.
type EtcdHash struct {
	ID uint64
	// Learner: it has no vote.
	Learner bool
	// Answered: the rest is known.
	Answered bool
	// Hash is of all keys and values up to Revision, which is what the member has reached;
	// Compacted is how far its history has gone.
	Hash                uint32
	Compacted, Revision int64
}

// EtcdCorruption is what is known of an etcd whose members may hold different data.
type EtcdCorruption struct {
	// Alarmed are the IDs of the members that the alarm CORRUPT names, zero where it names
	// none; there are none without the alarm.
	Alarmed []uint64
	// Members are all of them.
	Members []EtcdHash
	// Again: all of this was the same when it was looked at some time before.
	Again bool
	// Long: it was another thing at each look for longer than a member takes to catch up, mostly.
	Long bool
	// Replacing: a member is being made anew, and may have gone.
	Replacing bool
	// Anew are the IDs of members that have nothing of their own to tell: one that goes, as it
	// is made anew, or one in its place, which had not come up when the alarm was first seen.
	Anew []uint64
}

// CorruptVerdict is what is to be done about the alarm CORRUPT.
type CorruptVerdict string

// The verdicts.
const (
	// CorruptNone: the alarm is not raised.
	CorruptNone CorruptVerdict = "None"
	// CorruptSettled: those that are left agree, and the alarm is about one that has gone. It
	// is taken back.
	CorruptSettled CorruptVerdict = "Settled"
	// CorruptOnce: nothing is decided on one look. A member may be about to catch up, or have
	// misread for once.
	CorruptOnce CorruptVerdict = "Once"
	// CorruptOdd: one member holds other data than the two others. It is made anew.
	CorruptOdd CorruptVerdict = "Odd"
	// CorruptStale: a majority holds the same, and nobody is known to hold anything else. The
	// alarm is taken back.
	CorruptStale CorruptVerdict = "Stale"
	// CorruptAway: those that answer do not agree; one that is away may tell who is right.
	CorruptAway CorruptVerdict = "Away"
	// CorruptTorn: what is right cannot be told. The operator decides.
	CorruptTorn CorruptVerdict = "Torn"
)

// corruptRule is one row: what is to be done if it holds.
type corruptRule struct {
	verdict CorruptVerdict
	holds   func(EtcdCorruption) bool
}

// corruptRules are the table of the alarm CORRUPT; the first row that holds counts.
var corruptRules = []corruptRule{
	{CorruptNone, func(c EtcdCorruption) bool { return len(c.Alarmed) == 0 }},
	{CorruptSettled, EtcdCorruption.settled},
	{CorruptOnce, func(c EtcdCorruption) bool { return !c.Again }},
	{CorruptOdd, func(c EtcdCorruption) bool { _, odd := c.Odd(); return odd }},
	{CorruptStale, EtcdCorruption.stale},
	{CorruptTorn, EtcdCorruption.told},
	{CorruptAway, func(EtcdCorruption) bool { return true }},
}

// Verdict is what is to be done.
func (c EtcdCorruption) Verdict() CorruptVerdict {
	return corruptRules[c.row()].verdict
}

// row is that of the table which counts.
func (c EtcdCorruption) row() int {
	return slices.IndexFunc(corruptRules, func(rule corruptRule) bool { return rule.holds(c) })
}

// Odd is the member that holds other data than the other two of three, which agree and have
// a vote. Those are a majority: what was acknowledged is theirs. The alarm may name another
// one: not every check of etcd's looks for a majority. Of one that does not answer nothing is
// known but what the alarm says. One that was made anew agrees with whom it is a copy of, and is
// no witness for it.
func (c EtcdCorruption) Odd() (uint64, bool) {
	if len(c.Alarmed) == 0 || len(c.Members) != HighlyAvailableMembers {
		return 0, false
	}
	for i, m := range c.Members {
		one, other := c.Members[(i+1)%3], c.Members[(i+2)%3]
		if c.witness(one) && c.witness(other) && one.holds(other) && !m.holds(one) && (m.Answered || slices.Contains(c.Alarmed, m.ID)) {
			return m.ID, true
		}
	}
	return 0, false
}

func (c EtcdCorruption) witness(m EtcdHash) bool { return !m.Learner && !slices.Contains(c.Anew, m.ID) }

// settled says whether all members hold the same, and the alarm is about one that is none any
// more, or that is about to be replaced.
func (c EtcdCorruption) settled() bool {
	if len(c.Members) == 0 || c.answered() < len(c.Members) || !c.agree() {
		return false
	}
	return c.Replacing || !slices.ContainsFunc(c.Alarmed, func(id uint64) bool {
		return id == 0 || slices.ContainsFunc(c.Members, func(m EtcdHash) bool { return m.ID == id })
	})
}

// stale says whether all that answer hold the same, are all or a majority of several that does
// not count a copy, and nobody whom the alarm names is away. What the alarm was about has gone
// since, with the history that it was found in, or was misread.
func (c EtcdCorruption) stale() bool {
	voters, well := 0, 0
	for _, m := range c.Members {
		if !m.Answered && slices.Contains(c.Alarmed, m.ID) {
			return false
		}
		if !m.Learner {
			voters++
			if m.Answered && c.witness(m) {
				well++
			}
		}
	}
	return c.agree() && voters > 1 && (c.answered() == len(c.Members) || well > 1 && 2*well > voters)
}

// told says whether nobody is away but members that have nothing of their own to tell: they are
// not waited for.
func (c EtcdCorruption) told() bool {
	return !slices.ContainsFunc(c.Members, func(m EtcdHash) bool { return !m.Answered && !slices.Contains(c.Anew, m.ID) })
}

// agree: all that answer hold the same.
func (c EtcdCorruption) agree() bool {
	first := slices.IndexFunc(c.Members, func(m EtcdHash) bool { return m.Answered })
	return first >= 0 && !slices.ContainsFunc(c.Members, func(m EtcdHash) bool { return m.Answered && !m.holds(c.Members[first]) })
}

func (c EtcdCorruption) answered() (n int) {
	for _, m := range c.Members {
		if m.Answered {
			n++
		}
	}
	return n
}

// holds the same as another member, and as much. Nobody knows it of one that is away.
func (h EtcdHash) holds(other EtcdHash) bool {
	return h.Answered && other.Answered && h.Hash == other.Hash && h.Compacted == other.Compacted && h.Revision == other.Revision
}

// etcdForgets is how many compactions etcd remembers what it held at (hashStorageMaxSize of
// package mvcc).
const etcdForgets = 10

// Forget are the revisions at which etcd is to compact its history once an alarm that is stale
// was taken back: the leader would raise it anew each minute for what members remember to have
// held. With all members there it looks at the newest compaction alone; while one is away it
// goes through all that it remembers. A compaction takes the history of one revision.
func (c EtcdCorruption) Forget() []int64 {
	first := slices.IndexFunc(c.Members, func(m EtcdHash) bool { return m.Answered })
	if first < 0 {
		return nil
	}
	often, m := int64(1), c.Members[first]
	if c.answered() < len(c.Members) {
		often = etcdForgets
	}
	var revisions []int64
	for revision := m.Compacted + 1; revision <= min(m.Compacted+often, m.Revision); revision++ {
		revisions = append(revisions, revision)
	}
	return revisions
}

// CorruptMessage is what is said of an etcd with the alarm CORRUPT that nothing is done to by
// itself yet, or at all; empty if something is.
func CorruptMessage(c EtcdCorruption) string {
	const (
		raised   = "etcd has raised the alarm CORRUPT, so that nothing is read or written"
		operator = "Nothing is done by itself: what is right cannot be told from here. Take back the alarm, or have the backups back"
	)
	switch c.Verdict() {
	case CorruptOnce:
		if c.Long {
			return raised + ", and what its members hold is another thing at each look. Nothing is done before it stays the same: a member still catches up, or reads its data differently each time, as with a bad disk or bad memory. Take the node of such a one away"
		}
		return raised + ". What its members hold is looked at once more before anything is done"
	case CorruptAway:
		return fmt.Sprintf("%s, and the %d of its %d members that answer do not hold the same. The others are waited for: they may tell which is right", raised, c.answered(), len(c.Members))
	case CorruptTorn:
		voters, beside := 0, ""
		for _, m := range c.Members {
			switch {
			case slices.Contains(c.Anew, m.ID):
				beside = " beside one that is made anew, which has nothing of its own to tell"
			case !m.Learner:
				voters++
			}
		}
		if voters < 2 {
			return raised + ", and it has one member with a vote" + beside + ", with which nothing can be compared. " + operator
		}
		return fmt.Sprintf("%s, and no two of its %d members hold the same%s. %s", raised, voters, beside, operator)
	default:
		return ""
	}
}
