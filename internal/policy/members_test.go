package policy

import (
	"fmt"
	"slices"
	"testing"
)

// world makes etcds for the tables: one letter for each member, in the order of their
// ordinals. L leads, v votes, d is dead, l is a learner, n has not started, - is none.
func etcdOf(wanted int32, members string) EtcdWorld {
	w := EtcdWorld{Wanted: wanted}
	for i, kind := range members {
		m := EtcdMember{ID: uint64(i + 1), Ordinal: int32(i), Started: kind != 'n', Healthy: kind == 'L' || kind == 'v' || kind == 'l', Leader: kind == 'L', Learner: kind == 'l'}
		if kind != '-' {
			w.Members = append(w.Members, m)
		}
	}
	return w
}

func TestEtcdSteps(t *testing.T) {
	lost := func(w EtcdWorld, ordinals ...int32) EtcdWorld { w.Lost = ordinals; return w }
	serving := func(w EtcdWorld) EtcdWorld { w.Serving = true; return w }
	replacing := func(w EtcdWorld, id uint64, ordinal int32, wiped bool) EtcdWorld {
		w.Replacing = &EtcdReplacement{ID: id, Ordinal: ordinal, Wiped: wiped}
		return w
	}
	alarmed := func(w EtcdWorld) EtcdWorld { w.Alarmed = true; return w }
	unkept := func(w EtcdWorld, id uint64) EtcdWorld { w.Alarmed, w.Odd = true, id; return w }
	odd := func(w EtcdWorld, id uint64) EtcdWorld { w.Alarmed, w.Odd, w.Kept = true, id, true; return w }
	agreed := func(w EtcdWorld) EtcdWorld { w.Alarmed, w.Agreed = true, true; return w }
	alone := func(w EtcdWorld, is, wanted bool) EtcdWorld { w.Members[0].Alone, w.Alone = is, wanted; return w }
	for _, c := range []struct {
		why  string
		in   EtcdWorld
		want string
	}{
		{"one of one", etcdOf(1, "L"), "Settled 0"},
		{"three of three", etcdOf(3, "vLv"), "Settled 0"},
		{"nobody leads, so that nothing can be changed", etcdOf(3, "vvv"), "Wait 0"},
		{"nobody leads, and two are lost", lost(etcdOf(3, "vdd"), 1, 2), "Wait 0"},
		{"there is nothing at all", etcdOf(3, ""), "Wait 0"},

		{"the single member gets an address that others reach", alone(etcdOf(3, "L"), true, false), "Address 0"},
		{"and gives it up again", alone(etcdOf(1, "L"), false, true), "Address 0"},

		{"it grows by one without a vote", etcdOf(3, "L"), "AddLearner 1"},
		{"which has to come up", etcdOf(3, "Ln"), "Wait 0"},
		{"and gets a vote", etcdOf(3, "Ll"), "Promote 1"},
		{"before the next", etcdOf(3, "Lv"), "AddLearner 2"},
		{"and that one too", etcdOf(3, "Lvl"), "Promote 2"},
		{"nobody is added while one is away", etcdOf(3, "Ld"), "Wait 0"},

		{"it shrinks from the end", etcdOf(1, "Lvv"), "Remove 2"},
		{"one by one", etcdOf(1, "Lv"), "Remove 1"},
		{"the leader is moved before it is removed", etcdOf(1, "vvL"), "MoveLeader 0"},
		{"a member that has not started goes too", etcdOf(1, "Ln"), "Remove 1"},
		{"nobody is removed while the first is away", etcdOf(1, "dLv"), "Wait 0"},
		{"the first is made anew before it is left alone", lost(etcdOf(1, "dLv"), 0), "Mark 0"},
		{"in its turn, without a vote at first", replacing(etcdOf(1, "-Lv"), 1, 0, false), "AddLearner 0"},

		{"one that is away for a while is waited for", serving(etcdOf(3, "Lvd")), "Wait 0"},
		{"one that lost its data is written down", serving(lost(etcdOf(3, "Lvd"), 2)), "Mark 2"},
		{"one whose pod ends and which answers is not", serving(lost(etcdOf(3, "Lvv"), 2)), "Settled 0"},
		{"one at a time", replacing(serving(lost(etcdOf(3, "Ldv"), 1)), 9, 2, true), "Forget 2"},
		{"what is written down is removed", replacing(serving(etcdOf(3, "Lvd")), 3, 2, false), "Remove 2"},
		{"and added with a vote, since API servers dial it", replacing(serving(etcdOf(3, "Lv-")), 3, 2, false), "AddVoter 2"},
		{"not while another is away", replacing(serving(etcdOf(3, "Ld-")), 3, 2, false), "Wait 0"},
		{"its volume goes", replacing(serving(etcdOf(3, "Lvn")), 9, 2, false), "Wipe 2"},
		{"once", replacing(serving(etcdOf(3, "Lvn")), 9, 2, true), "Forget 2"},
		{"and not when the new one has come up on it", replacing(serving(etcdOf(3, "Lvv")), 9, 2, false), "Forget 2"},
		{"which is all", serving(etcdOf(3, "Lvn")), "Wait 0"},
		{"of three one is left, whose data were put back", serving(etcdOf(3, "--L")), "AddLearner 0"},
		{"what one holds that holds other data is put aside", serving(unkept(etcdOf(3, "Lvv"), 3)), "Keep 2"},
		{"it leads no more before", serving(unkept(etcdOf(3, "Lvv"), 1)), "MoveLeader 1"},
		{"it is put aside also if it is away", serving(lost(unkept(etcdOf(3, "Lvd"), 3), 2)), "Keep 2"},
		{"and made anew", serving(odd(etcdOf(3, "Lvd"), 3)), "Mark 2"},
		{"nobody else goes while it is not known who holds other data", serving(lost(alarmed(etcdOf(3, "Lvd")), 2)), "Wait 0"},
		{"nor comes, as it would copy what may be wrong", replacing(serving(alarmed(etcdOf(3, "Lv-"))), 3, 2, false), "Wait 0"},
		{"nor has its volume wiped", replacing(serving(alarmed(etcdOf(3, "Lvn"))), 9, 2, false), "Wait 0"},
		{"nor gets a vote", alarmed(etcdOf(3, "Ll")), "Wait 0"},
		{"nor does it shrink", alarmed(etcdOf(1, "Lvv")), "Wait 0"},
		{"one that has been made anew is forgotten all the same", replacing(serving(alarmed(etcdOf(3, "Lvv"))), 9, 2, true), "Forget 2"},
		{"so that another one has its turn", replacing(serving(odd(etcdOf(3, "Lvv"), 2)), 9, 2, true), "Forget 2"},
		{"one that holds other data is written down", serving(odd(etcdOf(3, "Lvv"), 3)), "Mark 2"},
		{"one that leads leads no more before", serving(odd(etcdOf(3, "Lvv"), 1)), "MoveLeader 1"},
		{"also one that has come to lead since", replacing(serving(odd(etcdOf(3, "vvL"), 3)), 3, 2, false), "MoveLeader 0"},
		{"it is removed", replacing(serving(odd(etcdOf(3, "Lvv"), 3)), 3, 2, false), "Remove 2"},
		{"the others take writes at once", replacing(serving(agreed(etcdOf(3, "Lv-"))), 3, 2, false), "Disarm 0"},
		{"and it is made anew", replacing(serving(etcdOf(3, "Lv-")), 3, 2, false), "AddVoter 2"},
		{"another one's turn comes later", replacing(serving(odd(etcdOf(3, "Lvn"), 2)), 9, 2, true), "Forget 2"},
		{"a replacement that is not wanted any more is forgotten", replacing(etcdOf(1, "L"), 9, 2, false), "Forget 0"},
	} {
		action, ordinal := NextEtcdStep(c.in)
		if got := fmt.Sprintf("%s %d", action, ordinal); got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
	}
}

// From every etcd with a majority, whatever is wrong with the others, the steps lead to
// what is wanted, never to less than a majority, and to nobody's loss but that of the
// members that are lost.
func TestEtcdStepsLeadThere(t *testing.T) {
	kinds := "Lvdln-"
	var walk func(prefix string)
	walk = func(prefix string) {
		if len(prefix) < 3 {
			for _, kind := range kinds {
				walk(prefix + string(kind))
			}
			return
		}
		for _, wanted := range []int32{1, 3} {
			for _, serving := range []bool{false, true} {
				for odd := range uint64(4) { // none, or one of three of which the others are well
					w := etcdOf(wanted, prefix)
					if !majority(w) || leaders(w) != 1 || odd > 0 && (len(w.Members) < 3 || w.any(func(m EtcdMember) bool { return m.unfinished() && m.ID != odd })) {
						continue
					}
					w.Serving, w.Odd, w.Alarmed = serving && wanted == 3, odd, odd > 0
					w.drive(t, fmt.Sprint(prefix, odd))
				}
			}
		}
	}
	walk("")
}

func leaders(w EtcdWorld) (n int) {
	for _, m := range w.Members {
		if m.Leader {
			n++
		}
	}
	return n
}

// majority: more than half of those that vote are well.
func majority(w EtcdWorld) bool {
	voters, well := 0, 0
	for _, m := range w.Members {
		if !m.Learner {
			voters++
			if m.Healthy {
				well++
			}
		}
	}
	return 2*well > voters
}

// drive plays etcd and the pods: what is added starts once its volume is empty, and
// dead members are found to be lost.
func (w EtcdWorld) drive(t *testing.T, from string) {
	var path []string
	next := uint64(100)
	for range 40 {
		w.Lost = nil
		for _, m := range w.Members {
			if m.Started && !m.Healthy {
				w.Lost = append(w.Lost, m.Ordinal)
			}
		}
		action, ordinal := NextEtcdStep(w)
		path = append(path, fmt.Sprintf("%s %d", action, ordinal))
		switch action {
		case EtcdSettled:
			if w.any(func(m EtcdMember) bool { return m.ID == w.Odd }) || int32(len(w.Members)) != w.Wanted || w.any(EtcdMember.unfinished) || w.Replacing != nil {
				t.Errorf("%s to %d is settled with %+v: %v", from, w.Wanted, w.Members, path)
			}
			return
		case EtcdWait:
			w.edit(func(m EtcdMember) (EtcdMember, bool) {
				m.Healthy, m.Started = m.Healthy || !m.Started, true
				return m, true
			})
		case EtcdKeep:
			w.Kept = true
		case EtcdDisarm:
			w.Alarmed, w.Agreed = false, false
		case EtcdMark:
			if w.Alarmed && !w.Kept {
				t.Errorf("%s to %d gives up what a member holds: %v", from, w.Wanted, path)
			}
			w.edit(func(m EtcdMember) (EtcdMember, bool) {
				if m.Ordinal == ordinal {
					w.Replacing = &EtcdReplacement{ID: m.ID, Ordinal: ordinal}
				}
				return m, true
			})
		case EtcdForget:
			w.Replacing = nil
		case EtcdWipe:
			w.Replacing.Wiped = true
		case EtcdMoveLeader:
			w.edit(func(m EtcdMember) (EtcdMember, bool) { m.Leader = m.Ordinal == ordinal; return m, true })
		case EtcdRemove:
			w.edit(func(m EtcdMember) (EtcdMember, bool) { return m, m.Ordinal != ordinal })
			w.Agreed = w.Alarmed && !w.any(func(m EtcdMember) bool { return m.ID == w.Odd })
		case EtcdPromote:
			w.edit(func(m EtcdMember) (EtcdMember, bool) { m.Learner = m.Learner && m.Ordinal != ordinal; return m, true })
		case EtcdAddLearner, EtcdAddVoter:
			next++
			w.Members = append(w.Members, EtcdMember{ID: next, Ordinal: ordinal, Learner: action == EtcdAddLearner})
		}
		if leaders(w) == 0 || !majority(w) {
			t.Errorf("%s to %d loses its leader or its majority: %v", from, w.Wanted, path)
			return
		}
	}
	t.Errorf("%s to %d does not end: %v", from, w.Wanted, path)
}

func (w *EtcdWorld) edit(change func(EtcdMember) (EtcdMember, bool)) {
	var members []EtcdMember
	for _, m := range w.Members {
		if changed, keep := change(m); keep {
			members = append(members, changed)
		}
	}
	w.Members = members
}

// Who is made anew, and who never came up, has no data of its own.
func TestWhoHasNothingOfItsOwn(t *testing.T) {
	voters := []EtcdMember{{ID: 1, Ordinal: 0, Started: true}, {ID: 2, Ordinal: 1, Started: true}}
	for why, c := range map[string]struct {
		third     EtcdMember
		replacing *EtcdReplacement
		want      []uint64
	}{
		"a member like the others":         {EtcdMember{ID: 3, Ordinal: 2, Started: true}, nil, nil},
		"the one that goes":                {EtcdMember{ID: 3, Ordinal: 2, Started: true}, &EtcdReplacement{ID: 3, Ordinal: 2}, []uint64{3}},
		"the one in its place":             {EtcdMember{ID: 4, Ordinal: 2, Started: true}, &EtcdReplacement{ID: 3, Ordinal: 2}, []uint64{4}},
		"one that has not come up before":  {EtcdMember{ID: 4, Ordinal: 2}, nil, []uint64{4}},
		"and is not the one that is known": {EtcdMember{ID: 4, Ordinal: 2}, &EtcdReplacement{ID: 3, Ordinal: 2}, []uint64{4}},
	} {
		w := EtcdWorld{Members: append(slices.Clone(voters), c.third), Replacing: c.replacing}
		if got := w.Anew(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", why, got, c.want)
		}
	}
}
