package cluster

import (
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/etcd"
	"berth.dev/berth/internal/policy"
)

// What members hold counts when it was seen twice. Where it never is the same twice nothing is
// done, and that is told and looked at less often; it begins anew when it was the same for once.
func TestLooks(t *testing.T) {
	began := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		why string
		// looks are what one member was seen to hold, one each ten seconds.
		looks       []uint32
		again, long bool
		holds       time.Duration
	}{
		{"one look", []uint32{1}, false, false, looksApart},
		{"the same twice", []uint32{1, 1}, true, false, tornAgain},
		{"another thing", []uint32{1, 2}, false, false, looksApart},
		{"another thing each time", []uint32{1, 2, 3, 4, 5, 6, 7}, false, true, tornAgain},
		{"it settles late", []uint32{1, 2, 3, 4, 5, 6, 7, 7}, true, true, tornAgain},
		{"it stays for long, and then changes for once", []uint32{1, 1, 1, 1, 1, 1, 1, 1, 2}, false, false, looksApart},
	} {
		var l looks
		var last look
		for i, hash := range c.looks {
			found := policy.EtcdCorruption{Alarmed: []uint64{0}, Members: []policy.EtcdHash{{ID: 1, Answered: true, Hash: hash}, {ID: 2, Answered: true, Hash: 100}}}
			last = l.note("uid", found, began.Add(time.Duration(i)*looksApart), looksApart)
		}
		if last.found.Again != c.again || last.found.Long != c.long || last.holds != c.holds || last.told() != (c.again || c.long) {
			t.Errorf("%s: %+v", c.why, last)
		}
		if c.long && !c.again && !strings.Contains(last.message, "another thing at each look") {
			t.Errorf("%s: it says %q", c.why, last.message)
		}
	}
}

// One that had not come up when the alarm was seen holds a copy of another one's data once it has,
// and is no witness for it; until the alarm is taken back, or the cluster goes.
func TestCopyIsRemembered(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for why, c := range map[string]struct {
		between func(*looks)
		want    policy.CorruptVerdict
	}{
		"the alarm stays":      {func(*looks) {}, policy.CorruptTorn},
		"it is taken back":     {func(l *looks) { l.note("uid", policy.EtcdCorruption{}, now, looksApart) }, policy.CorruptOdd},
		"the cluster was gone": {func(l *looks) { l.forget("uid") }, policy.CorruptOdd},
	} {
		var l looks
		found := policy.EtcdCorruption{Alarmed: []uint64{0}, Anew: []uint64{3}, Members: []policy.EtcdHash{{ID: 1, Answered: true, Hash: 7}, {ID: 2, Answered: true, Hash: 8}, {ID: 3}}}
		l.note("uid", found, now, looksApart)
		if last := l.note("uid", found, now.Add(looksApart), looksApart); last.found.Verdict() != policy.CorruptTorn {
			t.Errorf("%s: %s while it has not come up", why, last.found.Verdict())
		}
		c.between(&l)
		came := policy.EtcdCorruption{Alarmed: []uint64{0}, Members: []policy.EtcdHash{found.Members[0], found.Members[1], {ID: 3, Answered: true, Hash: 8}}}
		var last look
		for i := range time.Duration(3) {
			last = l.note("uid", came, now.Add((i+2)*looksApart), looksApart)
		}
		if last.found.Verdict() != c.want {
			t.Errorf("%s: %s, %+v", why, last.found.Verdict(), last.found)
		}
	}
}

// Where two members differ and the third is being made anew, or has never come up, the operator is
// told; one that is away and has data of its own is waited for.
func TestWhoIsWaitedForWhileTwoDiffer(t *testing.T) {
	began := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for why, c := range map[string]struct {
		third     policy.EtcdMember
		replacing *policy.EtcdReplacement
		says      string
	}{
		"the third is away":             {policy.EtcdMember{ID: 3, Ordinal: 2, Started: true}, nil, "are waited for"},
		"the third goes":                {policy.EtcdMember{ID: 3, Ordinal: 2, Started: true}, &policy.EtcdReplacement{ID: 3, Ordinal: 2}, "no two of its 2 members hold the same"},
		"the third has yet to come up":  {policy.EtcdMember{ID: 3, Ordinal: 2}, nil, "no two of its 2 members hold the same"},
		"the third has taken its place": {policy.EtcdMember{ID: 3, Ordinal: 2, Started: true}, &policy.EtcdReplacement{ID: 9, Ordinal: 2}, "no two of its 2 members hold the same"},
	} {
		cluster := backThen(began, 0)
		r := reconcilerOf(t, began, cluster)
		r.LooksApart = looksApart
		r.Members = &askedEtcd{corrupt: etcd.Corruption{Alarmed: []uint64{1}, Members: []etcd.Hash{{ID: 1, Answered: true, Hash: 7}, {ID: 2, Answered: true, Hash: 8}, {ID: 3}}}}
		var p *pass
		for _, after := range []time.Duration{0, looksApart} {
			w := policy.EtcdWorld{Members: []policy.EtcdMember{{ID: 1, Started: true, Leader: true}, {ID: 2, Ordinal: 1, Started: true}, c.third}, Replacing: c.replacing}
			p = &pass{cluster: cluster.DeepCopy(), now: began.Add(after)}
			p.found.replicas = &redundancy{}
			if err := r.corruption(t.Context(), p, etcd.Target{}, &w); err != nil || !w.Alarmed || w.Agreed || w.Odd != 0 {
				t.Errorf("%s: %+v (%v)", why, w, err)
			}
		}
		if !strings.Contains(p.found.replicas.message, c.says) {
			t.Errorf("%s: it says %q", why, p.found.replicas.message)
		}
	}
}
