package clause

import (
	"fmt"
	"strings"
)

// Page is docs/support-policy.md.
func Page() string {
	var out strings.Builder
	out.WriteString(`# The support policy

What the service promises and refuses, clause by clause, what holds each of it and the test that proves it. This page is
written from the tables in ` + "`internal/policy/clause`" + ` by ` + "`make generate`" + `; a test fails if it is stale, or names code or a test that there
is not. Figures are defaults of ServicePolicy.

`)
	count := map[Status]int{}
	for _, part := range Parts() {
		for _, c := range part.Clauses {
			count[c.Status]++
		}
	}
	fmt.Fprintf(&out, "%d clauses are held, %d in part, %d not yet; %d are what people do, which no program holds.\n", count[Held], count[InPart], count[NotYet], count[OfPeople])
	for _, part := range Parts() {
		fmt.Fprintf(&out, "\n## %s\n\n| | Clause | Status | Held by | Proven by |\n|---|---|---|---|---|\n", part.Title)
		for _, c := range part.Clauses {
			short := c.Short
			if c.Missing != "" {
				short += " *Missing: " + c.Missing + "*"
			}
			fmt.Fprintf(&out, "| %s | %s | %s | %s | %s |\n", c.ID, short, c.Status, links(c.Code), links(c.Tests))
		}
	}
	return out.String()
}

// links are references as the page, which is in docs, shows them.
func links(refs []string) string {
	parts := make([]string, 0, len(refs))
	for _, ref := range refs {
		file, symbol, _ := strings.Cut(ref, ":")
		parts = append(parts, fmt.Sprintf("[%s](../%s)", symbol, file))
	}
	return strings.Join(parts, ", ")
}
