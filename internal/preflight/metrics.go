package preflight

import (
	"bufio"
	"io"
	"slices"
	"strconv"
	"strings"

	"berth.dev/berth/internal/policy"
)

// The API server's metrics: which deprecated APIs were asked for since it started,
// and how often everything was.
const (
	metricDeprecated = "apiserver_requested_deprecated_apis"
	metricRequests   = "apiserver_request_total"
	// longestLine of its metrics is far below this.
	longestLine = 1 << 20
)

// readVerbs are those that hold no upgrade up.
var readVerbs = []string{"GET", "LIST", "WATCH", "WATCHLIST", "CONNECT"}

// api names an API in metrics.
type api struct{ group, version, resource, subresource string }

// parseUses reads the two metrics from the text that Prometheus reads too.
func parseUses(text io.Reader) ([]policy.APIUse, error) {
	removed, writes := map[api]string{}, map[api]int64{}
	scanner := bufio.NewScanner(text)
	scanner.Buffer(nil, longestLine)
	for scanner.Scan() {
		name, found, value := parseSample(scanner.Text())
		of := api{found["group"], found["version"], found["resource"], found["subresource"]}
		switch {
		case name == metricDeprecated && value > 0 && found["removed_release"] != "":
			removed[of] = found["removed_release"]
		case name == metricRequests && !slices.Contains(readVerbs, found["verb"]) && !strings.HasPrefix(found["code"], "4"):
			writes[of] += int64(value)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	uses := make([]policy.APIUse, 0, len(removed))
	for of, release := range removed {
		uses = append(uses, policy.APIUse{
			Group: of.group, Version: of.version, Resource: of.resource, Subresource: of.subresource, RemovedRelease: release, Writes: writes[of],
		})
	}
	return uses, nil
}

// parseSample reads name{label="value",…} value; what is no sample has no name.
func parseSample(line string) (name string, found map[string]string, value float64) {
	if !strings.HasPrefix(line, metricDeprecated+"{") && !strings.HasPrefix(line, metricRequests+"{") {
		return "", nil, 0
	}
	name, rest, _ := strings.Cut(line, "{")
	end := strings.LastIndexByte(rest, '}')
	if end < 0 {
		return "", nil, 0
	}
	value, err := strconv.ParseFloat(strings.TrimSpace(rest[end+1:]), 64)
	if err != nil {
		return "", nil, 0
	}
	// No label of the two metrics has a comma or a quote in its value.
	found = map[string]string{}
	for pair := range strings.SplitSeq(rest[:end], ",") {
		if key, quoted, ok := strings.Cut(pair, "="); ok {
			found[key] = strings.Trim(quoted, `"`)
		}
	}
	return name, found, value
}
