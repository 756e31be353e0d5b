package e2e

import (
	"regexp"
	"strings"

	"berth.dev/berth/test/harness"
)

// alphaOn is what a component says of an alpha feature that is on. The two switches for
// all of a stage are no features.
var alphaOn = regexp.MustCompile(`(?m)^kubernetes_feature_enabled\{name="([^"]+)",stage="ALPHA"\} 1$`)

// stableOnly finds no alpha feature on and no alpha API served, on the API server and on a
// node (K1).
func stableOnly(e *harness.Env) {
	node := e.ReadyNodes("c1")[0]
	for what, path := range map[string]string{"the API server": "/metrics", "the kubelet": "/api/v1/nodes/" + node + "/proxy/metrics"} {
		metrics := e.Cluster("c1", "get", "--raw", path)
		if !strings.Contains(metrics, `kubernetes_feature_enabled{`) {
			e.T.Errorf("%s does not tell its features", what)
		}
		for _, on := range alphaOn.FindAllStringSubmatch(metrics, -1) {
			e.T.Errorf("%s has the alpha feature %s on", what, on[1])
		}
	}
	for _, version := range strings.Fields(e.Cluster("c1", "api-versions")) {
		if strings.Contains(version, "alpha") {
			e.T.Errorf("the API server serves %s", version)
		}
	}
}
