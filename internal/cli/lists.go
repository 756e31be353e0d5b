package cli

import (
	"fmt"
	"strings"
)

// listFlags take several values as az does: --tags a=b c=d.
var listFlags = map[string]bool{
	"--tags": true, "--labels": true, "--nodepool-labels": true, "--nodepool-tags": true,
	"--contact-additional-emails": true,
}

// spreadLists repeats a list flag before each of its values, which is what the flag parser understands. No command takes
// arguments without a flag, so the values end at the next flag.
func spreadLists(args []string) []string {
	out := make([]string, 0, len(args))
	flag, taken := "", 0
	for _, arg := range args {
		switch {
		case strings.HasPrefix(arg, "-"):
			flag, taken = "", 0
			if listFlags[arg] {
				flag = arg
			}
		case flag != "":
			if taken > 0 {
				out = append(out, flag)
			}
			taken++
		}
		out = append(out, arg)
	}
	return out
}

// pairs reads key=value entries; without any it is nil, which leaves a value alone. A single empty entry means none at
// all: --tags "" clears.
func pairs(flag string, entries []string) (map[string]*string, error) {
	if entries == nil {
		return nil, nil
	}
	out := map[string]*string{}
	if len(entries) == 1 && entries[0] == "" {
		return out, nil
	}
	for _, entry := range entries {
		key, value, _ := strings.Cut(entry, "=")
		if key == "" {
			return nil, usageError{fmt.Errorf("--%s: %q is not KEY=VALUE", flag, entry)}
		}
		out[key] = &value
	}
	return out, nil
}

// commaList reads a,b,c; the empty text is the empty list.
func commaList(text string) []*string {
	out := []*string{}
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			out = append(out, &entry)
		}
	}
	return out
}
