package policy

import (
	"fmt"
	"slices"
)

// EtcdHash is what one member of etcd holds, as a hash of it.
type EtcdHash struct {
	ID uint64
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
}

// Odd is the member that holds other data than the other two of three, which agree. Those
// are a majority: what was acknowledged is theirs. The alarm may name another one: not
// every check of etcd's looks for a majority.
func (c EtcdCorruption) Odd() (uint64, bool) {
	if len(c.Alarmed) == 0 || len(c.Members) != HighlyAvailableMembers || !c.answered() {
		return 0, false
	}
	for i, m := range c.Members {
		one, other := c.Members[(i+1)%3], c.Members[(i+2)%3]
		if one.holds(other) && !m.holds(one) {
			return m.ID, true
		}
	}
	return 0, false
}

// Agreed says whether all members hold the same, and the alarm is about one that is none any
// more, or that is about to be replaced.
func (c EtcdCorruption) Agreed(replacing bool) bool {
	if len(c.Alarmed) == 0 || !c.same() {
		return false
	}
	return replacing || !slices.ContainsFunc(c.Alarmed, func(id uint64) bool {
		return id == 0 || slices.ContainsFunc(c.Members, func(m EtcdHash) bool { return m.ID == id })
	})
}

// CorruptMessage is what the operator is told of an etcd that nothing is done to by itself;
// empty as long as it is not known, or something is done.
func CorruptMessage(c EtcdCorruption, replacing bool) string {
	_, odd := c.Odd()
	if len(c.Alarmed) == 0 || !c.answered() || odd || replacing || c.Agreed(replacing) {
		return ""
	}
	const operator = "Nothing is done by itself, and nothing is read or written: what is right cannot be told from here. Take back the alarm, or have the backups back"
	if c.same() {
		return fmt.Sprintf("etcd has raised the alarm CORRUPT, and its %d members hold the same now. %s", len(c.Members), operator)
	}
	return fmt.Sprintf("etcd has raised the alarm CORRUPT, and no two of its %d members hold the same. %s", len(c.Members), operator)
}

func (c EtcdCorruption) answered() bool {
	return len(c.Members) > 0 && !slices.ContainsFunc(c.Members, func(m EtcdHash) bool { return !m.Answered })
}

func (c EtcdCorruption) same() bool {
	return c.answered() && !slices.ContainsFunc(c.Members, func(m EtcdHash) bool { return !m.holds(c.Members[0]) })
}

// holds the same as another member, and as much.
func (h EtcdHash) holds(other EtcdHash) bool {
	return h.Hash == other.Hash && h.Compacted == other.Compacted && h.Revision == other.Revision
}
