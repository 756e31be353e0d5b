package policy

import "testing"

func TestEtcdCorruption(t *testing.T) {
	holds := func(id uint64, hash uint32) EtcdHash {
		return EtcdHash{ID: id, Answered: true, Hash: hash, Compacted: 5, Revision: 9}
	}
	behind := holds(3, 7)
	behind.Revision = 8
	compacted := holds(3, 7)
	compacted.Compacted = 4
	members := func(m ...EtcdHash) []EtcdHash { return m }
	for name, c := range map[string]struct {
		alarmed   []uint64
		members   []EtcdHash
		replacing bool
		odd       uint64
		agreed    bool
		told      bool
	}{
		"no alarm":          {nil, members(holds(1, 7), holds(2, 7), holds(3, 8)), false, 0, false, false},
		"the third differs": {[]uint64{3}, members(holds(1, 7), holds(2, 7), holds(3, 8)), false, 3, false, false},
		"the first differs, and another was named":          {[]uint64{3}, members(holds(1, 8), holds(2, 7), holds(3, 7)), false, 1, false, false},
		"the second differs, and none was named":            {[]uint64{0}, members(holds(1, 7), holds(2, 8), holds(3, 7)), false, 2, false, false},
		"one is at another revision":                        {[]uint64{3}, members(holds(1, 7), holds(2, 7), behind), false, 3, false, false},
		"one has let other history go":                      {[]uint64{3}, members(holds(1, 7), holds(2, 7), compacted), false, 3, false, false},
		"all differ":                                        {[]uint64{0}, members(holds(1, 7), holds(2, 8), holds(3, 9)), false, 0, false, true},
		"one does not answer":                               {[]uint64{3}, members(holds(1, 7), EtcdHash{ID: 2}, holds(3, 8)), false, 0, false, false},
		"two of two differ":                                 {[]uint64{2}, members(holds(1, 7), holds(2, 8)), false, 0, false, true},
		"a lone one":                                        {[]uint64{1}, members(holds(1, 7)), false, 0, false, true},
		"the named one has been removed":                    {[]uint64{3}, members(holds(1, 7), holds(2, 7)), true, 0, true, false},
		"and Berth does not know of it any more":            {[]uint64{3}, members(holds(1, 7), holds(2, 7), holds(4, 7)), false, 0, true, false},
		"the one that differed has been, another was named": {[]uint64{2}, members(holds(1, 7), holds(2, 7)), true, 0, true, false},
		"one is removed, and the others differ":             {[]uint64{3}, members(holds(1, 7), holds(2, 8)), true, 0, false, false},
		"they agree, and one of them is named":              {[]uint64{3}, members(holds(1, 7), holds(2, 7), holds(3, 7)), false, 0, false, true},
		"they agree, and none is named":                     {[]uint64{0}, members(holds(1, 7), holds(2, 7), holds(3, 7)), false, 0, false, true},
		"no member is known":                                {[]uint64{3}, nil, false, 0, false, false},
	} {
		corruption := EtcdCorruption{Alarmed: c.alarmed, Members: c.members}
		odd, ok := corruption.Odd()
		agreed, message := corruption.Agreed(c.replacing), CorruptMessage(corruption, c.replacing)
		if odd != c.odd || ok != (c.odd != 0) || agreed != c.agreed || (message != "") != c.told {
			t.Errorf("%s: odd %d, agreed %v, told %q", name, odd, agreed, message)
		}
	}
}
