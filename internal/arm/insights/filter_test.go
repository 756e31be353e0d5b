package insights

import (
	"strings"
	"testing"
)

// Whatever is asked, a filter either has a start and only known fields, or is refused.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		"", "eventTimestamp ge '2026-01-01T00:00:00Z' and eventTimestamp le '2026-01-02T00:00:00Z' and resourceGroupName eq 'rg1'",
		"eventTimestamp ge 2026-01-01T00:00:00.123456 and caller eq 'a'", "eventTimestamp ge '2026-01-01' and (caller eq 'a')",
		"eventTimestamp ge '2026-01-01' or caller eq 'a'", "eventTimestamp ge '2026-01-01' and caller eq 'a and b'", "caller eq ''",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseFilter(text)
		if err != nil {
			return
		}
		if !strings.Contains(strings.ToLower(text), "eventtimestamp") || len(parsed) == 0 {
			t.Errorf("%q has no start", text)
		}
		for _, one := range parsed {
			if _, known := fields[one.field]; !known || one.at.IsZero() && one.operator != "eq" && one.value == "" {
				t.Errorf("%q: %+v", text, one)
			}
		}
	})
}
