// Package nft keeps one nftables table, `inet berth`, equal to what the network agent wants: the NetworkPolicy rule set,
// the masquerading of what leaves the cluster, and the checks that keep pods from forging addresses.
//
// Render is pure: it says what the table must contain. A Writer changes the kernel's table to that in one transaction,
// and sends only the differences.
package nft

import (
	"sigs.k8s.io/knftables"
)

// TableName is the name of the table, in family inet, that belongs to the agent alone.
const TableName = "berth"

// Table is the wanted content of the agent's table.
type Table struct {
	Chains map[string]Chain
	Sets   map[string]Set
	Maps   map[string]Map
}

// Chain is a chain with its rules, in order. A base chain has a Base.
type Chain struct {
	Base  *Base
	Rules []Rule
}

// Base attaches a chain to a netfilter hook. Its policy is accept.
type Base struct {
	Type     knftables.BaseChainType
	Hook     knftables.BaseChainHook
	Priority knftables.BaseChainPriority
}

// Rule is one rule in nftables' syntax with an optional comment.
type Rule struct {
	Text    string
	Comment string
}

// Set is a named set. An element is written as in nftables, concatenated keys with " . " between them.
type Set struct {
	Type     string
	Interval bool
	Elements map[string]struct{}
}

// Map is a named map from elements to values.
type Map struct {
	Type     string
	Elements map[string]string
}
