package nft

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/knftables"

	"berth.dev/berth/internal/network/netpol"
)

// randomWorld is a node and a rule set made of a few pods and profiles, so that two draws share some and differ in some.
func randomWorld(random *rand.Rand) (*Node, *netpol.RuleSet) {
	node := &Node{PodCIDR: netip.MustParsePrefix("10.244.1.0/24"), VXLANPort: 8472, Masquerade: random.IntN(4) > 0}
	for i := range random.IntN(4) {
		node.Peers = append(node.Peers, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	for range random.IntN(4) {
		addr := netip.AddrFrom4([4]byte{10, byte(random.IntN(3)), byte(random.IntN(2)), 0})
		node.Unmasked = append(node.Unmasked, netip.PrefixFrom(addr, 8+random.IntN(17)).Masked())
	}
	if random.IntN(8) == 0 {
		return node, nil
	}
	rules := &netpol.RuleSet{Profiles: map[string]*netpol.Profile{}, Sets: map[string]*netpol.Set{
		"pods-1":      {Kind: netpol.Addresses, Elements: elements(random, "10.244.1.2", "10.244.1.3", "10.244.2.9")},
		"blocks-1":    {Kind: netpol.Blocks, Elements: elements(random, "0.0.0.0/1", "128.0.0.0/2", "224.0.0.0/4", "192.0.2.1/32")},
		"endpoints-1": {Kind: netpol.Endpoints, Elements: elements(random, "10.244.1.2 . tcp . 80", "10.244.1.2 . sctp . 81")},
	}}
	if random.IntN(2) == 0 {
		rules.Sets["blocks-all"] = &netpol.Set{Kind: netpol.Blocks, Elements: map[string]struct{}{"0.0.0.0/0": {}}}
	}
	rules.Isolated[0], rules.Isolated[1] = map[netip.Addr]string{}, map[netip.Addr]string{}
	for i := range 1 + random.IntN(4) {
		direction := netpol.Direction(i % 2)
		name := fmt.Sprintf("%s-%d", direction, i)
		profile := &netpol.Profile{Direction: direction}
		for range random.IntN(4) {
			profile.Matches = append(profile.Matches, randomMatch(random, rules))
		}
		rules.Profiles[name] = profile
		for range random.IntN(3) {
			addr := netip.AddrFrom4([4]byte{10, 244, 1, byte(2 + random.IntN(5))})
			rules.Isolated[direction][addr] = name
			if !slices.Contains(rules.Known, addr) {
				rules.Known = append(rules.Known, addr)
			}
		}
	}
	return node, rules
}

func elements(random *rand.Rand, from ...string) map[string]struct{} {
	out := map[string]struct{}{}
	for _, element := range from {
		if random.IntN(2) == 0 {
			out[element] = struct{}{}
		}
	}
	return out
}

func randomMatch(random *rand.Rand, rules *netpol.RuleSet) netpol.Match {
	match := netpol.Match{Policy: `ns/policy-` + strings.Repeat("x", random.IntN(300))}
	sets := slices.Sorted(maps.Keys(rules.Sets))
	if set := sets[random.IntN(len(sets))]; rules.Sets[set].Kind == netpol.Endpoints {
		match.Endpoints = set
		return match
	} else if random.IntN(3) > 0 {
		match.Peers = set
	}
	if random.IntN(3) > 0 {
		match.Protocol = []netpol.Protocol{netpol.TCP, netpol.UDP, netpol.SCTP}[random.IntN(3)]
		match.Ports = [][]netpol.Range{nil, {{First: 80, Last: 80}}, {{First: 1, Last: 79}, {First: 443, Last: 443}, {First: 60000, Last: 65535}}}[random.IntN(3)]
	}
	return match
}

// However the table came about, step by step or at once, it is the same.
func TestWriteByStepsEqualsWriteAtOnce(t *testing.T) {
	ctx := context.Background()
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 2))
		steps := knftables.NewFake(knftables.InetFamily, TableName)
		writer := NewWriterOn(steps)
		for step := range 12 {
			table := Render(randomWorld(random))
			if _, err := writer.Write(ctx, table); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, step, err)
			}
			if changed, err := writer.Write(ctx, table); err != nil || changed {
				t.Fatalf("seed %d step %d: writing the same again: changed %t, %v", seed, step, changed, err)
			}
			fresh := knftables.NewFake(knftables.InetFamily, TableName)
			if _, err := NewWriterOn(fresh).Write(ctx, table); err != nil {
				t.Fatal(err)
			}
			if got, want := canonical(steps.Dump()), canonical(fresh.Dump()); got != want {
				t.Fatalf("seed %d step %d: by steps:\n%s\nat once:\n%s", seed, step, got, want)
			}
		}
	}
}

// canonical sorts what has no order: everything but the rules of one chain.
func canonical(dump string) string {
	var rules, others []string
	for _, line := range strings.Split(dump, "\n") {
		if strings.HasPrefix(line, "add rule") {
			rules = append(rules, line)
			continue
		}
		others = append(others, line)
	}
	slices.SortStableFunc(rules, func(a, b string) int { return strings.Compare(chainOf(a), chainOf(b)) })
	slices.Sort(others)
	return strings.Join(append(others, rules...), "\n")
}

func chainOf(line string) string { return strings.Fields(line)[4] }

// A table that somebody else emptied comes back whole.
func TestVerifyNoticesLostTable(t *testing.T) {
	ctx := context.Background()
	fake := knftables.NewFake(knftables.InetFamily, TableName)
	writer := NewWriterOn(fake)
	table := Render(randomWorld(rand.New(rand.NewPCG(1, 1))))
	if writer.Exists(ctx) {
		t.Error("table exists before it was written")
	}
	if _, err := writer.Write(ctx, table); err != nil {
		t.Fatal(err)
	}
	if err := writer.Verify(ctx); err != nil {
		t.Fatal(err)
	}
	if changed, err := writer.Write(ctx, table); err != nil || changed {
		t.Errorf("an intact table was written again: %v", err)
	}
	before := fake.Dump()
	tx := fake.NewTransaction()
	tx.Delete(&knftables.Table{})
	if err := fake.Run(ctx, tx); err != nil {
		t.Fatal(err)
	}
	if err := writer.Verify(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Write(ctx, table); err != nil {
		t.Fatal(err)
	}
	if got := fake.Dump(); canonical(got) != canonical(before) {
		t.Errorf("after the loss:\n%s\nbefore:\n%s", got, before)
	}
}

// After an error nothing is assumed about the kernel: the next write replaces the table.
func TestWriteRecoversFromError(t *testing.T) {
	ctx := context.Background()
	fake := knftables.NewFake(knftables.InetFamily, TableName)
	writer := NewWriterOn(fake)
	random := rand.New(rand.NewPCG(3, 3))
	if _, err := writer.Write(ctx, Render(randomWorld(random))); err != nil {
		t.Fatal(err)
	}
	broken := Render(randomWorld(random))
	broken.Chains["forward"] = Chain{Base: broken.Chains["forward"].Base, Rules: []Rule{{Text: "jump nowhere"}}}
	if _, err := writer.Write(ctx, broken); err == nil {
		t.Fatal("a jump to nowhere was written")
	}
	want := Render(randomWorld(random))
	if _, err := writer.Write(ctx, want); err != nil {
		t.Fatal(err)
	}
	fresh := knftables.NewFake(knftables.InetFamily, TableName)
	if _, err := NewWriterOn(fresh).Write(ctx, want); err != nil {
		t.Fatal(err)
	}
	if canonical(fake.Dump()) != canonical(fresh.Dump()) {
		t.Error("table differs from a fresh one after an error")
	}
}

// The kernel and the nft command take everything that Render can say, in any order of changes.
func TestWriteToKernel(t *testing.T) {
	inNewNetworkNamespace(t, func() {
		ctx := context.Background()
		writer, err := NewWriter()
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(4, 4))
		for step := range 15 {
			table := Render(randomWorld(random))
			if _, err := writer.Write(ctx, table); err != nil {
				t.Fatalf("step %d: %v", step, err)
			}
			if err := writer.Verify(ctx); err != nil || writer.written == nil {
				t.Fatalf("step %d: chains differ from those written: %v", step, err)
			}
		}
		if !writer.Exists(ctx) {
			t.Error("table is not there")
		}
	})
}

func TestDisjoint(t *testing.T) {
	var in []netip.Prefix
	for _, text := range []string{"10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/8", "192.0.2.7/24", "fd00::/8"} {
		in = append(in, netip.MustParsePrefix(text))
	}
	if got := fmt.Sprint(disjoint(in)); got != "[10.0.0.0/8 192.0.2.0/24]" {
		t.Errorf("disjoint: %s", got)
	}
}
