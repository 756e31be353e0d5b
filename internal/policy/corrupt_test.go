package policy

import (
	"slices"
	"strings"
	"testing"
)

func TestEtcdCorruption(t *testing.T) {
	holds := func(id uint64, hash uint32) EtcdHash {
		return EtcdHash{ID: id, Answered: true, Hash: hash, Compacted: 5, Revision: 9}
	}
	behind := holds(3, 7)
	behind.Revision = 8
	compacted := holds(3, 7)
	compacted.Compacted = 4
	learns := func(m EtcdHash) EtcdHash { m.Learner = true; return m }
	away := func(id uint64) EtcdHash { return EtcdHash{ID: id} }
	members := func(m ...EtcdHash) []EtcdHash { return m }
	for name, c := range map[string]struct {
		alarmed   []uint64
		members   []EtcdHash
		replacing bool
		want      CorruptVerdict
		odd       uint64
		said      string
	}{
		"no alarm":          {nil, members(holds(1, 7), holds(2, 7), holds(3, 8)), false, CorruptNone, 0, ""},
		"the third differs": {[]uint64{3}, members(holds(1, 7), holds(2, 7), holds(3, 8)), false, CorruptOdd, 3, ""},
		"the first differs, and another was named":          {[]uint64{3}, members(holds(1, 8), holds(2, 7), holds(3, 7)), false, CorruptOdd, 1, ""},
		"the second differs, and none was named":            {[]uint64{0}, members(holds(1, 7), holds(2, 8), holds(3, 7)), false, CorruptOdd, 2, ""},
		"one stays at another revision":                     {[]uint64{3}, members(holds(1, 7), holds(2, 7), behind), false, CorruptOdd, 3, ""},
		"one has let other history go":                      {[]uint64{3}, members(holds(1, 7), holds(2, 7), compacted), false, CorruptOdd, 3, ""},
		"all differ":                                        {[]uint64{0}, members(holds(1, 7), holds(2, 8), holds(3, 9)), false, CorruptTorn, 0, "no two of its 3 members"},
		"two of two differ":                                 {[]uint64{2}, members(holds(1, 7), holds(2, 8)), false, CorruptTorn, 0, "no two of its 2 members"},
		"a lone one":                                        {[]uint64{1}, members(holds(1, 7)), false, CorruptTorn, 0, "one member"},
		"two agree, and the one that is named is away":      {[]uint64{2}, members(holds(1, 7), away(2), holds(3, 7)), false, CorruptOdd, 2, ""},
		"two agree, and nobody said anything of the third":  {[]uint64{3}, members(holds(1, 7), away(2), holds(3, 7)), false, CorruptStale, 0, ""},
		"two differ, and the third is away":                 {[]uint64{3}, members(holds(1, 7), away(2), holds(3, 8)), false, CorruptAway, 0, "the 2 of its 3 members"},
		"two differ, and the one that is named is away":     {[]uint64{2}, members(holds(1, 7), away(2), holds(3, 8)), false, CorruptAway, 0, "the 2 of its 3 members"},
		"one answers":                                       {[]uint64{1}, members(holds(1, 7), away(2), away(3)), false, CorruptAway, 0, "the 1 of its 3 members"},
		"nobody answers":                                    {[]uint64{1}, members(away(1), away(2), away(3)), false, CorruptAway, 0, "the 0 of its 3 members"},
		"a voter and a copy of another's data against it":   {[]uint64{0}, members(holds(1, 7), holds(2, 8), learns(holds(3, 8))), false, CorruptTorn, 0, "no two of its 2 members"},
		"a learner that is no copy of the voters":           {[]uint64{3}, members(holds(1, 7), holds(2, 7), learns(holds(3, 8))), false, CorruptOdd, 3, ""},
		"the only voter and a copy that is none":            {[]uint64{0}, members(holds(1, 7), learns(holds(2, 8))), false, CorruptTorn, 0, "one member"},
		"the only voter and a copy":                         {[]uint64{0}, members(holds(1, 7), learns(holds(2, 7))), false, CorruptTorn, 0, "one member"},
		"the named one has been removed":                    {[]uint64{3}, members(holds(1, 7), holds(2, 7)), true, CorruptSettled, 0, ""},
		"and Berth does not know of it any more":            {[]uint64{3}, members(holds(1, 7), holds(2, 7), holds(4, 7)), false, CorruptSettled, 0, ""},
		"the one that differed has been, another was named": {[]uint64{2}, members(holds(1, 7), holds(2, 7)), true, CorruptSettled, 0, ""},
		"one is removed, and the others differ":             {[]uint64{3}, members(holds(1, 7), holds(2, 8)), true, CorruptTorn, 0, "no two of its 2 members"},
		"one is added, and has not come up":                 {[]uint64{3}, members(holds(1, 7), holds(2, 7), away(4)), true, CorruptStale, 0, ""},
		"they agree, and one of them is named":              {[]uint64{3}, members(holds(1, 7), holds(2, 7), holds(3, 7)), false, CorruptStale, 0, ""},
		"they agree, and none is named":                     {[]uint64{0}, members(holds(1, 7), holds(2, 7), holds(3, 7)), false, CorruptStale, 0, ""},
	} {
		corruption := EtcdCorruption{Alarmed: c.alarmed, Members: c.members, Again: true, Replacing: c.replacing}
		got, said := corruption.Verdict(), CorruptMessage(corruption)
		if odd, _ := corruption.Odd(); got != c.want || c.want == CorruptOdd && odd != c.odd || !strings.Contains(said, c.said) || (said == "") != (c.said == "") {
			t.Errorf("%s: %s (%d), %q", name, got, odd, said)
		}
		corruption.Again = false
		want := CorruptOnce
		if c.want == CorruptNone || c.want == CorruptSettled {
			want = c.want
		}
		if got := corruption.Verdict(); got != want || (CorruptMessage(corruption) == "") != (want != CorruptOnce) {
			t.Errorf("%s, seen once: %s", name, got)
		}
	}
}

// Nobody waits for a member that has nothing of its own to tell: the one that is made anew.
func TestMemberThatIsMadeAnewIsNotWaitedFor(t *testing.T) {
	holds := func(id uint64, hash uint32) EtcdHash {
		return EtcdHash{ID: id, Answered: true, Hash: hash, Compacted: 5, Revision: 9}
	}
	away := func(id uint64) EtcdHash { return EtcdHash{ID: id} }
	for name, c := range map[string]struct {
		alarmed, anew []uint64
		members       []EtcdHash
		want          CorruptVerdict
		said          string
	}{
		"two differ, and the one that goes is away":         {[]uint64{3}, []uint64{3}, []EtcdHash{holds(1, 7), holds(2, 8), away(3)}, CorruptTorn, "no two of its 2 members hold the same beside one that is made anew"},
		"two differ, and the new one has not come up":       {[]uint64{1}, []uint64{4}, []EtcdHash{holds(1, 7), holds(2, 8), away(4)}, CorruptTorn, "have the backups back"},
		"two differ, and none is named":                     {[]uint64{0}, []uint64{4}, []EtcdHash{away(4), holds(1, 7), holds(2, 8)}, CorruptTorn, "no two of its 2 members"},
		"another one is away, beside the new one":           {[]uint64{1}, []uint64{4}, []EtcdHash{holds(1, 7), away(2), holds(4, 8)}, CorruptAway, "are waited for"},
		"one is away, and the new one has not come up":      {[]uint64{1}, []uint64{4}, []EtcdHash{holds(1, 7), away(2), away(4)}, CorruptAway, "are waited for"},
		"the two others agree, and the new one is not up":   {[]uint64{3}, []uint64{4}, []EtcdHash{holds(1, 7), holds(2, 7), away(4)}, CorruptStale, ""},
		"the only one, and the second has not come up":      {[]uint64{1}, []uint64{4}, []EtcdHash{holds(1, 7), away(4)}, CorruptTorn, "one member with a vote"},
		"the new one is a copy of one of two that differ":   {[]uint64{1}, []uint64{4}, []EtcdHash{holds(1, 7), holds(2, 8), holds(4, 8)}, CorruptTorn, "no two of its 2 members hold the same beside one that is made anew"},
		"another one is away, and the new one is a copy":    {[]uint64{2}, []uint64{4}, []EtcdHash{holds(1, 7), away(2), holds(4, 7)}, CorruptAway, "are waited for"},
		"nobody is named, and the new one is a copy":        {[]uint64{0}, []uint64{4}, []EtcdHash{holds(1, 7), away(2), holds(4, 7)}, CorruptAway, "are waited for"},
		"the copy is named, and one is away":                {[]uint64{4}, []uint64{4}, []EtcdHash{holds(1, 7), away(2), holds(4, 7)}, CorruptAway, "are waited for"},
		"all agree, the new one among them":                 {[]uint64{0}, []uint64{4}, []EtcdHash{holds(1, 7), holds(2, 7), holds(4, 7)}, CorruptSettled, ""},
		"the new one is no copy of the others, which agree": {[]uint64{1}, []uint64{4}, []EtcdHash{holds(1, 7), holds(2, 7), holds(4, 8)}, CorruptOdd, ""},
		"the new one answers, and the three are of no mind": {[]uint64{1}, []uint64{4}, []EtcdHash{holds(1, 7), holds(2, 8), holds(4, 9)}, CorruptTorn, "no two of its 2 members hold the same beside one that is made anew"},
	} {
		corruption := EtcdCorruption{Alarmed: c.alarmed, Members: c.members, Again: true, Replacing: true, Anew: c.anew}
		if got, said := corruption.Verdict(), CorruptMessage(corruption); got != c.want || !strings.Contains(said, c.said) {
			t.Errorf("%s: %s, %q", name, got, said)
		}
	}
}

// Whatever up to three members answer, and whomever the alarm names: nobody is made anew
// against a majority, the alarm is not taken back while anybody holds other data, and nothing
// is decided on one look while the named one may be there. Every row counts.
func TestCorruptRulesHoldEverywhere(t *testing.T) {
	counts := map[int]bool{}
	everyCorruption(nil, func(c EtcdCorruption) {
		verdict := c.Verdict()
		counts[c.row()] = true
		odd, _ := c.Odd()
		same := map[uint32]int{}
		for _, m := range c.Members {
			if m.Answered && !m.Learner && !slices.Contains(c.Anew, m.ID) {
				same[m.Hash]++
			}
		}
		oddHash := slices.IndexFunc(c.Members, func(m EtcdHash) bool { return m.ID == odd && m.Answered })
		disarmed := verdict == CorruptSettled || verdict == CorruptStale
		for what, broken := range map[string]bool{
			"without an alarm something is done":            (verdict == CorruptNone) != (len(c.Alarmed) == 0),
			"it is decided at the first look":               !c.Again && (verdict == CorruptOdd || verdict == CorruptStale),
			"one is made anew that holds what most do":      verdict == CorruptOdd && oddHash >= 0 && same[c.Members[oddHash].Hash] > 1,
			"one is made anew without a majority":           verdict == CorruptOdd && !slices.ContainsFunc(c.Members, func(m EtcdHash) bool { return m.ID != odd && same[m.Hash] == 2 }),
			"one that is away is made anew for nothing":     verdict == CorruptOdd && oddHash < 0 && !slices.Contains(c.Alarmed, odd),
			"the alarm is taken back beside other data":     disarmed && !c.agree(),
			"the alarm is taken back, and one knows better": verdict == CorruptStale && slices.ContainsFunc(c.Members, func(m EtcdHash) bool { return !m.Answered && slices.Contains(c.Alarmed, m.ID) }),
			"one is waited for that has nothing to tell":    verdict == CorruptAway && !slices.ContainsFunc(c.Members, func(m EtcdHash) bool { return !m.Answered && !slices.Contains(c.Anew, m.ID) }),
			"the operator is asked before one who may tell": verdict == CorruptTorn && slices.ContainsFunc(c.Members, func(m EtcdHash) bool { return !m.Answered && !slices.Contains(c.Anew, m.ID) }),
			"nobody is told of what nothing is done about":  (CorruptMessage(c) == "") != (verdict == CorruptNone || verdict == CorruptOdd || disarmed),
		} {
			if broken {
				t.Errorf("%s: %s of %+v", what, verdict, c)
			}
		}
	})
	for row, rule := range corruptRules {
		if !counts[row] {
			t.Errorf("row %d, %s, never counts", row, rule.verdict)
		}
	}
}

// everyCorruption walks all of up to three members.
func everyCorruption(members []EtcdHash, visit func(EtcdCorruption)) {
	if len(members) > 0 {
		for _, alarmed := range [][]uint64{nil, {0}, {1}, {2}, {3}, {9}, {1, 2}} {
			for bits := range 4 {
				for _, anew := range [][]uint64{nil, {1}, {2}, {3}} {
					visit(EtcdCorruption{Alarmed: alarmed, Members: members, Again: bits&1 == 1, Replacing: bits&2 == 2, Anew: anew})
				}
			}
		}
	}
	if len(members) == HighlyAvailableMembers {
		return
	}
	id := uint64(len(members) + 1)
	for _, learner := range []bool{false, true} {
		everyCorruption(append(slices.Clone(members), EtcdHash{ID: id, Learner: learner}), visit)
		for hash := range uint32(3) {
			everyCorruption(append(slices.Clone(members), EtcdHash{ID: id, Learner: learner, Answered: true, Hash: hash, Compacted: 5, Revision: 9}), visit)
		}
	}
}

// What members remember to have held must not raise the alarm anew, and history is let go by
// no more than that takes.
func TestForget(t *testing.T) {
	holds := EtcdHash{ID: 1, Answered: true, Compacted: 5, Revision: 9}
	long := EtcdHash{ID: 1, Answered: true, Compacted: 5, Revision: 900}
	young := EtcdHash{ID: 1, Answered: true, Compacted: 9, Revision: 9}
	for name, c := range map[string]struct {
		members []EtcdHash
		want    []int64
	}{
		"all are there, and the newest is compared":      {[]EtcdHash{holds, holds, holds}, []int64{6}},
		"one is away, and all that they remember is":     {[]EtcdHash{{ID: 3}, long, long}, []int64{6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
		"one is away, and there is no more history":      {[]EtcdHash{{ID: 3}, holds, holds}, []int64{6, 7, 8, 9}},
		"nothing was written since the last compaction":  {[]EtcdHash{young, young, young}, nil},
		"nobody answers, of whom anything could be said": {[]EtcdHash{{ID: 3}}, nil},
	} {
		if got := (EtcdCorruption{Members: c.members}).Forget(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
