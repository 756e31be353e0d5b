package nft

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/knftables"
)

// Writer owns the kernel's table. It is not safe for concurrent use.
type Writer struct {
	nft     knftables.Interface
	written *Table // nil: unknown, so the next Write replaces everything
}

// NewWriter returns a Writer that runs the nft command in the network namespace of its caller.
func NewWriter() (*Writer, error) {
	backend, err := knftables.New(knftables.InetFamily, TableName)
	if err != nil {
		return nil, fmt.Errorf("find nftables: %w", err)
	}
	return &Writer{nft: backend}, nil
}

// NewWriterOn returns a Writer on another backend, for tests.
func NewWriterOn(backend knftables.Interface) *Writer { return &Writer{nft: backend} }

// Exists says whether the table is in the kernel, left by an earlier run.
func (w *Writer) Exists(ctx context.Context) bool {
	chains, err := w.nft.List(ctx, "chains")
	return err == nil && slices.Contains(chains, "forward")
}

// Write makes the kernel's table equal to want, atomically: packets see the old rules or the new ones. The first Write,
// and one after an error, replaces the whole table. It reports whether anything had to change.
func (w *Writer) Write(ctx context.Context, want *Table) (bool, error) {
	tx := w.nft.NewTransaction()
	if w.written == nil {
		tx.Add(&knftables.Table{})
		tx.Delete(&knftables.Table{})
		tx.Add(&knftables.Table{Comment: knftables.PtrTo("network agent of Berth")})
		diff(tx, &Table{}, want)
	} else {
		diff(tx, w.written, want)
	}
	if tx.NumOperations() == 0 {
		return false, nil
	}
	if err := w.nft.Run(ctx, tx); err != nil {
		w.written = nil
		return false, fmt.Errorf("write nftables table %s: %w", TableName, err)
	}
	w.written = want
	return true, nil
}

// Verify forgets what was written if the kernel's chains are no longer those: somebody flushed the rules. The next
// Write then replaces the table.
func (w *Writer) Verify(ctx context.Context) error {
	if w.written == nil {
		return nil
	}
	chains, err := w.nft.List(ctx, "chains")
	if err != nil && !knftables.IsNotFound(err) {
		return fmt.Errorf("list nftables chains: %w", err)
	}
	slices.Sort(chains)
	if !slices.Equal(chains, slices.Sorted(maps.Keys(w.written.Chains))) {
		w.written = nil
	}
	return nil
}

// diff adds to tx what turns have into want. The order keeps every reference valid inside the transaction: new objects,
// their elements, rules, verdicts, then what is no longer referred to.
func diff(tx *knftables.Transaction, have, want *Table) {
	for _, name := range sortedKeys(want.Chains) {
		if _, exists := have.Chains[name]; !exists {
			addChain(tx, name, want.Chains[name])
		}
	}
	for _, name := range sortedKeys(want.Sets) {
		old, exists := have.Sets[name]
		if !exists {
			addSet(tx, name, want.Sets[name])
		}
		diffSet(tx, name, old, want.Sets[name])
	}
	for _, name := range sortedKeys(want.Maps) {
		if _, exists := have.Maps[name]; !exists {
			tx.Add(&knftables.Map{Name: name, Type: want.Maps[name].Type})
		}
	}
	for _, name := range sortedKeys(want.Chains) {
		old, exists := have.Chains[name]
		if !exists || !slices.Equal(old.Rules, want.Chains[name].Rules) {
			writeRules(tx, name, want.Chains[name], exists)
		}
	}
	for _, name := range sortedKeys(want.Maps) {
		diffMap(tx, name, have.Maps[name], want.Maps[name])
	}
	removeUnused(tx, have, want)
}

func removeUnused(tx *knftables.Transaction, have, want *Table) {
	var chains []string
	for _, name := range sortedKeys(have.Chains) {
		if _, wanted := want.Chains[name]; !wanted {
			tx.Flush(&knftables.Chain{Name: name})
			chains = append(chains, name)
		}
	}
	for _, name := range sortedKeys(have.Maps) {
		if _, wanted := want.Maps[name]; !wanted {
			tx.Delete(&knftables.Map{Name: name})
		}
	}
	for _, name := range chains {
		tx.Delete(&knftables.Chain{Name: name})
	}
	for _, name := range sortedKeys(have.Sets) {
		if _, wanted := want.Sets[name]; !wanted {
			tx.Delete(&knftables.Set{Name: name})
		}
	}
}

func addChain(tx *knftables.Transaction, name string, chain Chain) {
	object := &knftables.Chain{Name: name}
	if chain.Base != nil {
		base := *chain.Base
		object.Type, object.Hook, object.Priority = &base.Type, &base.Hook, &base.Priority
	}
	tx.Add(object)
}

func addSet(tx *knftables.Transaction, name string, set Set) {
	object := &knftables.Set{Name: name, Type: set.Type}
	if set.Interval {
		object.Flags = []knftables.SetFlag{knftables.IntervalFlag}
	}
	tx.Add(object)
}

func writeRules(tx *knftables.Transaction, name string, chain Chain, exists bool) {
	if exists {
		tx.Flush(&knftables.Chain{Name: name})
	}
	for _, rule := range chain.Rules {
		object := &knftables.Rule{Chain: name, Rule: rule.Text}
		if rule.Comment != "" {
			object.Comment = &rule.Comment
		}
		tx.Add(object)
	}
}

// diffSet deletes before it adds: in an interval set the new element may overlap the old.
func diffSet(tx *knftables.Transaction, name string, have, want Set) {
	for _, element := range sortedKeys(have.Elements) {
		if _, wanted := want.Elements[element]; !wanted {
			tx.Delete(&knftables.Element{Set: name, Key: strings.Split(element, " . ")})
		}
	}
	for _, element := range sortedKeys(want.Elements) {
		if _, exists := have.Elements[element]; !exists {
			tx.Add(&knftables.Element{Set: name, Key: strings.Split(element, " . ")})
		}
	}
}

func diffMap(tx *knftables.Transaction, name string, have, want Map) {
	for _, key := range sortedKeys(have.Elements) {
		if value, wanted := want.Elements[key]; !wanted || value != have.Elements[key] {
			tx.Delete(&knftables.Element{Map: name, Key: []string{key}})
		}
	}
	for _, key := range sortedKeys(want.Elements) {
		value := want.Elements[key]
		if old, exists := have.Elements[key]; !exists || old != value {
			tx.Add(&knftables.Element{Map: name, Key: []string{key}, Value: []string{value}})
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
