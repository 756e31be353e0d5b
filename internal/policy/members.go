package policy

import "slices"

// HighlyAvailableMembers is how many members the etcd of a highly available control plane
// has: one may be away.
const HighlyAvailableMembers = 3

// EtcdMember is one member as etcd itself knows it.
type EtcdMember struct {
	ID uint64
	// Ordinal is that of its pod.
	Ordinal int32
	// Alone: its address is one that no other member reaches.
	Alone bool
	// Started: it has come up once. Learner: it has no vote yet.
	Started, Learner bool
	// Healthy: it answers, and Leader: it leads.
	Healthy, Leader bool
}

// EtcdWorld is what a step of etcd's membership is decided on.
type EtcdWorld struct {
	Members []EtcdMember
	// Wanted is how many members there are to be, with the ordinals from zero, and Alone
	// that the only one is to have an address that no other reaches.
	Wanted int32
	Alone  bool
	// Serving: API servers dial every member.
	Serving bool
	// Lost are the ordinals of those that end each time they start.
	Lost []int32
	// Replacing is the member that is being made anew; nil if none is.
	Replacing *EtcdReplacement
	// Alarmed: the alarm is raised that members hold different data. Odd is the ID of the one
	// that holds other data than the others, which agree; zero if there is none. Kept: its
	// volume outlives it, if it has one. Agreed: the alarm has nothing left to tell of.
	Alarmed bool
	Odd     uint64
	Kept    bool
	Agreed  bool
}

// EtcdReplacement is a member that is removed and added again.
type EtcdReplacement struct {
	ID      uint64
	Ordinal int32
	// Wiped: the volume with what is left of its data is gone.
	Wiped bool
}

// EtcdAction is one change of etcd's membership.
type EtcdAction string

// The actions. Each is a call, or a write, that changes what the next decision sees.
const (
	// EtcdWait: something has to happen by itself first.
	EtcdWait EtcdAction = "Wait"
	// EtcdSettled: etcd is as wanted.
	EtcdSettled EtcdAction = "Settled"
	// EtcdAddress gives the only member the address that it is to have.
	EtcdAddress EtcdAction = "Address"
	// EtcdMoveLeader makes a member the leader.
	EtcdMoveLeader EtcdAction = "MoveLeader"
	EtcdRemove     EtcdAction = "Remove"
	// EtcdMark writes down that a member is replaced, EtcdForget that it was.
	EtcdMark   EtcdAction = "Mark"
	EtcdForget EtcdAction = "Forget"
	// EtcdKeep has the volume of a member that is about to be replaced outlive it.
	EtcdKeep EtcdAction = "Keep"
	// EtcdWipe deletes a replaced member's volume.
	EtcdWipe EtcdAction = "Wipe"
	// EtcdAddLearner adds a member without a vote, and EtcdAddVoter one with.
	EtcdAddLearner EtcdAction = "AddLearner"
	EtcdAddVoter   EtcdAction = "AddVoter"
	EtcdPromote    EtcdAction = "Promote"
	// EtcdDisarm takes the alarm CORRUPT back.
	EtcdDisarm EtcdAction = "Disarm"
)

// etcdRule is one row: the ordinal that something is done to, if the row holds.
type etcdRule struct {
	action EtcdAction
	pick   func(EtcdWorld) (int32, bool)
}

// etcdRules take etcd from what it has to what is wanted, one member at a time; the first
// that holds counts. Nothing is done without a leader, which only a majority has. A
// single member's place is never taken by one without a vote or without data, and the
// last to go is never the first. What holds other data than the others leads no more, is put
// aside and goes; the others take writes again before it is made anew. While it is not known
// who holds other data, nobody goes and nobody comes: a new member copies another one's data,
// and would make a majority of what may be wrong.
var etcdRules = []etcdRule{
	{EtcdWait, whole(func(w EtcdWorld) bool { return !w.any(EtcdMember.leads) })},
	{EtcdAddress, whole(func(w EtcdWorld) bool { return len(w.Members) == 1 && w.Members[0].Alone != w.Alone })},
	{EtcdMoveLeader, func(w EtcdWorld) (int32, bool) {
		if !w.any(func(m EtcdMember) bool { return m.Leader && w.goes(m) }) {
			return 0, false
		}
		return w.ordinal(func(m EtcdMember) bool { return m.Healthy && !m.Learner && !w.goes(m) })
	}},
	{EtcdRemove, func(w EtcdWorld) (int32, bool) {
		return w.ordinal(func(m EtcdMember) bool { return w.Replacing != nil && m.ID == w.Replacing.ID && !m.Leader })
	}},
	{EtcdDisarm, whole(func(w EtcdWorld) bool { return w.Agreed })},
	{EtcdForget, func(w EtcdWorld) (int32, bool) {
		return w.replaced(func(m EtcdMember) bool { return m.Started || w.Replacing.Wiped })
	}},
	{EtcdKeep, func(w EtcdWorld) (int32, bool) {
		return w.ordinal(func(m EtcdMember) bool { return w.Replacing == nil && m.ID == w.Odd && !m.Leader && !w.Kept })
	}},
	{EtcdMark, func(w EtcdWorld) (int32, bool) {
		return w.ordinal(func(m EtcdMember) bool { return w.Replacing == nil && m.ID == w.Odd && !m.Leader })
	}},
	{EtcdWait, whole(func(w EtcdWorld) bool { return w.Alarmed })},
	{EtcdMark, func(w EtcdWorld) (int32, bool) {
		return w.ordinal(func(m EtcdMember) bool {
			return w.Replacing == nil && m.Started && !m.Healthy && slices.Contains(w.Lost, m.Ordinal)
		})
	}},
	{EtcdMoveLeader, func(w EtcdWorld) (int32, bool) {
		return 0, w.shrinks() && w.any(func(m EtcdMember) bool { return m.Ordinal >= w.Wanted && m.Leader })
	}},
	{EtcdRemove, func(w EtcdWorld) (int32, bool) {
		if !w.shrinks() {
			return 0, false
		}
		return w.highest()
	}},
	{EtcdPromote, func(w EtcdWorld) (int32, bool) {
		return w.ordinal(func(m EtcdMember) bool { return m.Learner && m.Started && m.Healthy })
	}},
	{EtcdAddVoter, func(w EtcdWorld) (int32, bool) { return w.missing(w.Serving && len(w.Members) > 1) }},
	{EtcdAddLearner, func(w EtcdWorld) (int32, bool) { return w.missing(true) }},
	{EtcdForget, func(w EtcdWorld) (int32, bool) { return 0, w.Replacing != nil && w.Replacing.Ordinal >= w.Wanted }},
	{EtcdWipe, func(w EtcdWorld) (int32, bool) { return w.replaced(func(EtcdMember) bool { return true }) }},
	{EtcdWait, whole(func(w EtcdWorld) bool { return w.any(EtcdMember.unfinished) })},
	{EtcdSettled, whole(func(EtcdWorld) bool { return true })},
}

// NextEtcdStep is what to do next, and to the member with which ordinal.
func NextEtcdStep(w EtcdWorld) (EtcdAction, int32) {
	for _, rule := range etcdRules {
		if ordinal, ok := rule.pick(w); ok {
			return rule.action, ordinal
		}
	}
	return EtcdWait, 0
}

func (m EtcdMember) leads() bool      { return m.Leader }
func (m EtcdMember) unfinished() bool { return m.Learner || !m.Healthy }

// goes: a member is replaced, or is about to be, since it holds other data than the others.
func (w EtcdWorld) goes(m EtcdMember) bool {
	return w.Replacing != nil && m.ID == w.Replacing.ID || w.Replacing == nil && m.ID == w.Odd
}

// Anew are the IDs of members that have no data of their own: the one that is made anew, and
// whoever has not come up before, who begins with a copy of another one's.
func (w EtcdWorld) Anew() []uint64 {
	var ids []uint64
	for _, m := range w.Members {
		if !m.Started || w.Replacing != nil && (m.ID == w.Replacing.ID || m.Ordinal == w.Replacing.Ordinal) {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// whole is a row about etcd as a whole.
func whole(holds func(EtcdWorld) bool) func(EtcdWorld) (int32, bool) {
	return func(w EtcdWorld) (int32, bool) { return 0, holds(w) }
}

func (w EtcdWorld) any(holds func(EtcdMember) bool) bool {
	return slices.ContainsFunc(w.Members, holds)
}

// ordinal is that of the first member that something holds for.
func (w EtcdWorld) ordinal(holds func(EtcdMember) bool) (int32, bool) {
	if i := slices.IndexFunc(w.Members, holds); i >= 0 {
		return w.Members[i].Ordinal, true
	}
	return 0, false
}

// shrinks: there are members too many, and the first is one that can go on alone.
func (w EtcdWorld) shrinks() bool {
	return w.any(func(m EtcdMember) bool { return m.Ordinal >= w.Wanted }) &&
		w.any(func(m EtcdMember) bool { return m.Ordinal == 0 && m.Healthy && !m.Learner })
}

// highest is the last member that is too many; one that is away goes before others, which
// the majority needs.
func (w EtcdWorld) highest() (int32, bool) {
	away, ok := w.ordinal(func(m EtcdMember) bool { return m.Ordinal >= w.Wanted && !m.Healthy })
	if ok {
		return away, true
	}
	last := int32(-1)
	for _, m := range w.Members {
		last = max(last, m.Ordinal)
	}
	return last, last >= w.Wanted
}

// missing is the first ordinal that no member has, once all others are well.
func (w EtcdWorld) missing(allowed bool) (int32, bool) {
	if !allowed || w.any(EtcdMember.unfinished) {
		return 0, false
	}
	for ordinal := range w.Wanted {
		if !w.any(func(m EtcdMember) bool { return m.Ordinal == ordinal }) {
			return ordinal, true
		}
	}
	return 0, false
}

// replaced is the new member in the place of one that is replaced.
func (w EtcdWorld) replaced(holds func(EtcdMember) bool) (int32, bool) {
	if w.Replacing == nil {
		return 0, false
	}
	return w.ordinal(func(m EtcdMember) bool { return m.Ordinal == w.Replacing.Ordinal && m.ID != w.Replacing.ID && holds(m) })
}
